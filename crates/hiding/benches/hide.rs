//! Hiding and restoring an INVITE with four entries of ours: two in Via, two in Record-Route.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use hiding::{Hiding, Inside, Key, Keys};
use sip::{Instant, Message};

const INVITE: &str = "INVITE sip:bob@home2.example SIP/2.0\r\n\
    Via: SIP/2.0/UDP icscf.home1.example:5060;branch=z9hG4bK0123456789abcdef0123456789abcdef\r\n\
    Via: SIP/2.0/UDP scscf.core.home1.example:5060;branch=z9hG4bKfedcba9876543210fedcba9876543210;rport=5060;received=10.30.0.3\r\n\
    Via: SIP/2.0/UDP 10.30.0.1:5060;branch=z9hG4bK00112233445566770011223344556677\r\n\
    Via: SIP/2.0/UDP 192.0.2.7:7100;branch=z9hG4bK8899aabbccddeeff\r\n\
    Max-Forwards: 67\r\n\
    Record-Route: <sip:icscf.home1.example:5060;lr>\r\n\
    Record-Route: <sip:scscf.core.home1.example:5060;lr>\r\n\
    Record-Route: <sip:10.30.0.1:5060;lr>\r\n\
    From: <sip:alice@home1.example>;tag=1\r\n\
    To: <sip:bob@home2.example>\r\n\
    Call-ID: 0123456789abcdef\r\n\
    CSeq: 1 INVITE\r\n\
    Contact: <sip:alice@192.0.2.7:7100>\r\n\
    P-Asserted-Identity: <sip:alice@home1.example>\r\n\
    Content-Length: 0\r\n\r\n";

fn hide(criterion: &mut Criterion) {
    let inside = Inside::new(["core.home1.example"], ["10.30.0.0/16"], []);
    let hiding = inside
        .and_then(|inside| Hiding::new("home1.example", inside, Keys::one(1, Key::new(&[7; 16]))))
        .expect("these are names and addresses");
    let now = Instant::from_epoch(Duration::from_secs(1));
    let invite = Message::parse(INVITE).expect("it is one");
    let hidden = hiding.hide(&invite, || [9; 16]).expect("four entries are hidden");
    assert_eq!(hiding.leaks(&hidden.bytes()), []);
    let mut group = criterion.benchmark_group("hiding");
    group.bench_function("hide", |bencher| bencher.iter(|| hiding.hide(black_box(&invite), || [9; 16])));
    group.bench_function("restore", |bencher| bencher.iter(|| hiding.restore(now, black_box(&hidden))));
    group.bench_function("nothing to hide", |bencher| {
        bencher.iter(|| hiding.hide(black_box(&hidden), || [9; 16]))
    });
    group.finish();
}

criterion_group!(benches, hide);
criterion_main!(benches);
