//! SIP-9, SIP-16: where a stream is cut into segments must not change what it says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::framing::{Frame, Framer};

fn frames<'a>(segments: impl Iterator<Item = &'a [u8]>) -> Vec<Result<Vec<u8>, u16>> {
    let mut framer = Framer::new(1024);
    let mut found = Vec::new();
    for segment in segments {
        framer.push(segment);
        loop {
            match framer.next() {
                Ok(None) => break,
                Ok(Some(Frame::Message(message))) => found.push(Ok(message.bytes().to_vec())),
                Ok(Some(Frame::Malformed(_, octets))) => found.push(Ok(octets)),
                Ok(Some(Frame::KeepAlivePing)) => found.push(Ok(b"\r\n\r\n".to_vec())),
                Ok(Some(Frame::KeepAlivePong)) => found.push(Ok(b"\r\n".to_vec())),
                Err(error) => {
                    found.push(Err(error.status()));
                    return found;
                }
            }
        }
    }
    found
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, stream) = input;
    let whole = frames(std::iter::once(stream));
    let cut = frames(stream.chunks(usize::from(size) + 1));
    assert_eq!(whole, cut);
});
