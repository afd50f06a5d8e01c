//! One registration as the S-CSCF sees it: two REGISTERs, with the HSS and its AuC in the same process. What the UE
//! does between them is not counted.

use criterion::{Criterion, criterion_group, criterion_main};
use std::time::{Duration, Instant};

#[path = "../tests/net/mod.rs"]
mod net;

fn registration(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scscf/registration");
    group.bench_function("two-registers", |bencher| {
        let mut net = net::Net::new(net::config());
        let mut count = 0;
        bencher.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            for _ in 0..iterations {
                count += 1;
                let first = net::Register { call_id: format!("call-{count}"), ..net::Register::first() };
                let text = first.text(2 * count);
                let start = Instant::now();
                let challenge = net.send_text(net::flow(), &text);
                spent += start.elapsed();
                let second = net.protected(&first, &challenge[0]);
                let text = second.text(2 * count + 1);
                let start = Instant::now();
                let ok = net.send_text(net::flow(), &text);
                spent += start.elapsed();
                assert_eq!(ok[0].status(), Some(200));
                net.advance(Duration::from_secs(40));
                net.events.clear();
                net.asked.clear();
            }
            spent
        });
    });
    group.finish();
}

criterion_group!(benches, registration);
criterion_main!(benches);
