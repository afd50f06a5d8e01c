//! THG-13: whatever a message holds, tokens of ours among it, hiding and restoring it must not panic, and hidden
//! entries come back as they were.
//!
//! `%V`, `%R`, `%P` and `%C` in the input become tokens that open, so that what is behind the tag is reached too.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use hiding::{Hiding, Inside, Key, Keys};
use libfuzzer_sys::fuzz_target;
use sip::{Instant, Message, Name};

const ENTRIES: [Name; 6] =
    [Name::Via, Name::RecordRoute, Name::Route, Name::ServiceRoute, Name::Path, Name::Contact];

static HIDING: LazyLock<Hiding> = LazyLock::new(|| {
    let inside = Inside::new(["core.a"], ["10.0.0.0/8", "fd00::/8"], ["b.core.a"]).expect("they are sound");
    Hiding::new("a", inside, Keys::one(1, Key::new(&[1; 16]))).expect("it is a name")
});

/// A token of each kind, as an entry.
static TOKENS: LazyLock<[String; 4]> = LazyLock::new(|| {
    let entries = "INVITE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP b.core.a\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1\r\n\
        Route: <sip:10.0.0.1;lr>, <sip:s.core.a;lr>\r\nPath: <sip:10.0.0.1;ob;lr>\r\nContact: <sip:10.0.0.1>\r\n\
        From: <sip:x>\r\nTo: <sip:x>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\r\n";
    let message = Message::parse(entries).expect("it is sound");
    let hidden = HIDING.hide(&message, || [7; 16]).expect("it has entries of the inside");
    [Name::Via, Name::Route, Name::Path, Name::Contact]
        .map(|name| hidden.values(name).last().expect("it was hidden").to_owned())
});

fuzz_target!(|datagram: &[u8]| {
    let now = Instant::from_epoch(Duration::from_secs(1));
    let mut datagram = datagram.to_vec();
    for (mark, token) in [b"%V", b"%R", b"%P", b"%C"].into_iter().zip(TOKENS.iter()) {
        while datagram.len() < 100_000
            && let Some(at) = datagram.windows(2).position(|window| window == mark)
        {
            datagram.splice(at..at + 2, token.bytes());
        }
    }
    let Ok(message) = Message::parse(datagram) else { return };
    let restored = HIDING.restore(now, &message);
    if let Ok(Some(restored)) = &restored {
        // All tokens of ours are gone, unless somebody made tokens of tokens.
        let _ = HIDING.restore(now, restored);
    }
    let mut number = 0_u128;
    let hidden = HIDING.hide(&message, || {
        number += 1;
        number.to_be_bytes()
    });
    let Some(hidden) = hidden else { return };
    if !matches!(restored, Ok(None)) {
        return;
    }
    // There was no token before: what is restored is what was hidden.
    let back = HIDING.restore(now, &hidden).expect("they are our tokens").expect("something was hidden");
    for name in ENTRIES {
        assert!(name == Name::Contact || message.values(name).eq(back.values(name)));
        assert!(message.values(name).count() == back.values(name).count());
    }
});
