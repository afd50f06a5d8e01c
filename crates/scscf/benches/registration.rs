//! One registration as the S-CSCF sees it: two REGISTERs, with the HSS and its AuC in the same process.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

#[path = "../tests/net/mod.rs"]
mod net;

fn registration(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scscf/registration");
    group.bench_function("two-registers", |bencher| {
        bencher.iter_batched_ref(
            || {
                let mut net = net::Net::new(net::config());
                let first = net::Register::first();
                // The card's work is the UE's: the answer is made beforehand, by a twin of the network.
                let mut twin = net::Net::new(net::config());
                let challenge = twin.register(&first);
                let second = twin.protected(&first, &challenge);
                net.events.reserve(8);
                (net, first.text(1), second.text(2))
            },
            |(net, first, second)| {
                let challenged = net.send_text(net::flow(), first).len();
                let registered = net.send_text(net::flow(), second).len();
                (challenged, registered, net.scscf.registered())
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, registration);
criterion_main!(benches);
