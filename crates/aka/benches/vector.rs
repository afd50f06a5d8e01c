//! What one authentication costs at each end.

use std::hint::black_box;

use aka::{
    Algorithm, Amf, DigestAlgorithm, DigestInput, IndRange, Isim, K, Opc, Password, Rand, Sqn, SqnArray,
    SqnGenerator,
};
use criterion::{Criterion, criterion_group, criterion_main};

fn algorithm() -> Algorithm {
    Algorithm::milenage(K::from_bytes([0x11; 16]), Opc::from_bytes([0x22; 16]))
}

fn vector(c: &mut Criterion) {
    let mut group = c.benchmark_group("aka/vector");
    let algorithm_he = algorithm();
    let amf = Amf::from_bytes([0, 0]);
    let mut generator = SqnGenerator::new(Sqn::default(), IndRange::ALL);
    group.bench_function("milenage", |b| {
        b.iter(|| algorithm_he.vector(black_box(Rand::from_bytes([7; 16])), generator.next().unwrap(), amf));
    });
    let stale = algorithm_he.vector(Rand::from_bytes([7; 16]), Sqn::from_parts(1, 0).unwrap(), amf);
    let mut card = Isim::new(algorithm(), SqnArray::starting_at(Sqn::from_parts(5, 0).unwrap()));
    group.bench_function("card_sync_failure", |b| {
        b.iter(|| card.authenticate(black_box(&stale.rand), &stale.autn));
    });
    let password = Password::new(DigestAlgorithm::AkaV1Md5, &stale.xres, &stale.ik, &stale.ck);
    let input = DigestInput {
        username: "001010000000001@ims.mnc001.mcc001.3gppnetwork.org",
        realm: "ims.mnc001.mcc001.3gppnetwork.org",
        nonce: "I1U8vpY3qJ0hiuZNrke/NVXzKLQ1d7m5Sp/6w1Tfr7M=",
        uri: "sip:ims.mnc001.mcc001.3gppnetwork.org",
        method: "REGISTER",
        qop: None,
    };
    group.bench_function("digest_response", |b| b.iter(|| black_box(&input).response(&password)));
    group.finish();
}

criterion_group!(benches, vector);
criterion_main!(benches);
