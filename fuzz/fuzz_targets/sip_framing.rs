//! A byte stream: cut at once or octet by octet, the frames are the same, and memory stays bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::framing::{Frame, Framer, FramingError};

fn frames<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, Option<FramingError>) {
    let (mut framer, mut frames) = (Framer::default(), Vec::new());
    for chunk in chunks {
        framer.push(chunk);
        loop {
            match framer.next() {
                Ok(Some(Frame::Message(message))) => frames.push(message.bytes().to_vec()),
                Ok(Some(Frame::Malformed(_, octets))) => frames.push(octets),
                Ok(Some(Frame::KeepAlivePing)) => frames.push(b"ping".to_vec()),
                Ok(Some(Frame::KeepAlivePong)) => frames.push(b"pong".to_vec()),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        assert!(framer.buffered() < 1 << 20, "an unfinished frame grows without end");
    }
    (frames, None)
}

fuzz_target!(|stream: &[u8]| {
    let Some((size, stream)) = stream.split_first() else { return };
    let whole = frames(std::iter::once(stream));
    let pieces = frames(stream.chunks(usize::from(*size).max(1)));
    // A lone CRLF is a pong only once it is known that no second one follows.
    let messages = |(frames, error): (Vec<Vec<u8>>, Option<FramingError>)| {
        let kept = frames.into_iter().filter(|frame| !matches!(frame.as_slice(), b"ping" | b"pong"));
        (kept.collect::<Vec<_>>(), error)
    };
    assert_eq!(messages(whole), messages(pieces));
});
