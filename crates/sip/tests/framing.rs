//! SIP-9: where messages end in a stream.

use proptest::prelude::*;
use sip::framing::{Frame, Framer, FramingError};

mod samples;

fn with_length(line: &str, body: &str) -> String {
    samples::register().replace("Content-Length: 0", line) + body
}

fn all(framer: &mut Framer) -> Result<Vec<String>, FramingError> {
    let mut frames = Vec::new();
    while let Some(frame) = framer.next()? {
        frames.push(match frame {
            Frame::Message(message) => String::from_utf8_lossy(message.body()).into_owned(),
            Frame::KeepAlivePing => "ping".into(),
            Frame::KeepAlivePong => "pong".into(),
            Frame::Malformed(..) => "malformed".into(),
        });
    }
    Ok(frames)
}

fn read(stream: &str) -> Result<Vec<String>, FramingError> {
    let mut framer = Framer::default();
    framer.push(stream.as_bytes());
    all(&mut framer)
}

#[test]
fn sip_9_coalesced_messages_and_keep_alives() {
    let one = with_length("Content-Length: 3", "one");
    let two = with_length("l : 3", "two");
    let stream = format!("\r\n\r\n{one}\r\n\r\n\r\n{two}{one}");
    assert_eq!(read(&stream).unwrap(), ["ping", "one", "ping", "pong", "two", "one"]);
}

#[test]
fn sip_9_octet_by_octet() {
    let stream = with_length("Content-Length: 4\r\nX: y", "a\r\nb") + &with_length("Content-Length: 1", "c");
    let mut framer = Framer::default();
    let mut frames = Vec::new();
    for octet in stream.bytes() {
        framer.push(&[octet]);
        frames.extend(all(&mut framer).unwrap());
    }
    assert_eq!(frames, ["a\r\nb", "c"]);
    assert_eq!(framer.buffered(), 0);
}

#[test]
fn sip_9_refused_lengths() {
    for (line, error) in [
        ("X-None: 0", FramingError::LengthMissing),
        ("Content-Length: 3\r\nContent-Length: 3", FramingError::LengthRepeated),
        ("Content-Length: 3\r\nl: 4", FramingError::LengthRepeated),
        ("Content-Length: +3", FramingError::LengthMalformed),
        ("Content-Length: -3", FramingError::LengthMalformed),
        ("Content-Length: 3, 3", FramingError::LengthMalformed),
        ("Content-Length: 0x3", FramingError::LengthMalformed),
        ("Content-Length:", FramingError::LengthMalformed),
        ("Content-Length: 99999999999999999999999999", FramingError::LengthMalformed),
        ("Content-Length: 3\r\n 4", FramingError::LengthMalformed),
        ("Content-Length: 65537", FramingError::BodyTooLarge),
        ("Content-Length: 3\nX: y", FramingError::Head),
        ("Content-Length: 3\rX: y", FramingError::Head),
        ("Content-Length: 3\r\nX: a\0b", FramingError::Head),
        ("Content-Length: 3\r\nno header", FramingError::Head),
        ("Content Length: 3", FramingError::Head),
    ] {
        let mut framer = Framer::default();
        framer.push(with_length(line, "abc").as_bytes());
        assert_eq!(framer.next().unwrap_err(), error, "{line:?}");
        framer.push(samples::register().as_bytes());
        assert_eq!(framer.next().unwrap_err(), error, "an error is for ever");
    }
    assert_eq!(FramingError::BodyTooLarge.status(), 513);
    assert_eq!(FramingError::LengthMissing.status(), 400);
}

#[test]
fn sip_9_leading_zeros_and_blanks_are_one_number() {
    for line in ["Content-Length : 3", "CONTENT-LENGTH:\t003 ", "l:3"] {
        assert_eq!(read(&with_length(line, "abc")).unwrap(), ["abc"], "{line:?}");
    }
}

#[test]
fn sip_9_oversized_head() {
    let mut framer = Framer::default();
    framer.push(b"REGISTER sip:a SIP/2.0\r\n");
    let line = format!("X: {}\r\n", "a".repeat(1000));
    let error = (0..100).find_map(|_| {
        framer.push(line.as_bytes());
        framer.next().err()
    });
    assert_eq!(error, Some(FramingError::HeadTooLarge));
    assert_eq!(framer.buffered(), 0, "nothing is kept");
}

#[test]
fn sip_9_a_bad_message_in_a_sound_frame_does_not_end_the_stream() {
    let bad = samples::register().replace("CSeq: 2 REGISTER", "CSeq: x");
    assert_eq!(read(&(bad + &with_length("Content-Length: 1", "a"))).unwrap(), ["malformed", "a"]);
}

proptest! {
    #[test]
    fn sip_9_cuts_do_not_matter(bodies in proptest::collection::vec("[a-z\\r\\n]{0,20}", 1..5), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..10)) {
        let stream: String = bodies.iter().map(|body| with_length(&format!("Content-Length: {}", body.len()), body)).collect();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len())).chain([0, stream.len()]).collect();
        cuts.sort_unstable();
        let mut framer = Framer::default();
        let mut found = Vec::new();
        for cut in cuts.windows(2) {
            framer.push(&stream.as_bytes()[cut[0]..cut[1]]);
            found.extend(all(&mut framer).unwrap());
        }
        prop_assert_eq!(found, bodies);
    }

    #[test]
    fn sip_16_framer_never_panics(chunks in proptest::collection::vec("(\\r\\n|[A-Za-z:0-9 \\PC]|Content-Length: [0-9]{1,3}\\r\\n){0,20}", 0..6)) {
        let mut framer = Framer::new(100);
        for chunk in chunks {
            framer.push(chunk.as_bytes());
            while let Ok(Some(_)) = framer.next() {}
        }
    }
}
