//! Reading, forwarding and answering the REGISTER of a phone.

use criterion::{Criterion, criterion_group, criterion_main};
use sip::{Draft, Message, Name};
use std::hint::black_box;

#[path = "../tests/samples/mod.rs"]
mod samples;

fn parse(criterion: &mut Criterion) {
    let bytes = samples::register().into_bytes();
    let mut group = criterion.benchmark_group("sip/parse");
    group.throughput(criterion::Throughput::Bytes(bytes.len() as u64));
    // The copy of the datagram is part of the figure, as is freeing the message: the memory stays warm that way.
    group.bench_function("register", |bencher| bencher.iter(|| Message::parse(black_box(bytes.clone()))));
    group.finish();
    let Ok(message) = Message::parse(bytes) else { return };
    let mut group = criterion.benchmark_group("sip/write");
    group.bench_function("forward", |bencher| {
        bencher.iter(|| {
            let mut draft = Draft::forward(black_box(&message));
            draft.push_front(Name::Via, "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK0123456789abcdef");
            draft.set(Name::MaxForwards, "69").push_front(Name::Path, "<sip:term@pcscf.example;lr>");
            draft.finish()
        });
    });
    group.bench_function("reply", |bencher| {
        bencher.iter(|| Draft::reply(black_box(&message), 200, "OK", Some("tag1")).finish());
    });
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
