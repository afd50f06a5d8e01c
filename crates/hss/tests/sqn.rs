//! The sequence numbers in the vectors that leave the HSS, as a card with its array of them sees them.

use aka::{Algorithm, Amf, Impi, Impu, IndRange, Isim, IsimFailure, K, Opc, Sqn, SqnArray};
use cx::{Answer, AuthScheme, MultimediaAuthRequest, Request, ServerName};
use hss::{Hss, MemoryStore, Policy, Subscriber, SubscriberImpu, UnixTime};
use proptest::prelude::*;

fn origin() -> cx::Origin {
    cx::Origin { host: "scscf.home.example".into(), realm: "home.example".into() }
}

fn algorithm() -> Algorithm {
    Algorithm::milenage(K::from_bytes([0x11; 16]), Opc::from_bytes([0x22; 16]))
}

fn hss(last: Sqn, range: IndRange) -> Hss<MemoryStore> {
    let subscriber = Subscriber {
        impi: Impi::new("a@home.example").unwrap(),
        algorithm: algorithm(),
        amf: Amf::from_bytes([0, 0]),
        impus: vec![SubscriberImpu { impu: Impu::new("sip:a@home.example").unwrap(), barred: false }],
        anonymity: cx::Anonymity::default(),
    };
    let rows = vec![hss::csv::Imported { subscriber, sqn: last }];
    let store = MemoryStore::with(hss::subscriptions(rows).unwrap()).unwrap();
    let policy = Policy { ind: range, ..Policy::default() };
    Hss::new(policy, store, [7; 32], Box::new(|| UnixTime(0)))
}

fn mar(items: u32) -> MultimediaAuthRequest {
    MultimediaAuthRequest {
        impi: Impi::new("a@home.example").unwrap(),
        impu: Impu::new("sip:a@home.example").unwrap(),
        server_name: ServerName::new("sip:scscf.home.example").unwrap(),
        items,
        scheme: AuthScheme::DigestAka,
        resync: None,
    }
}

fn vectors(hss: &Hss<MemoryStore>, mar: MultimediaAuthRequest) -> Vec<aka::AuthVector> {
    match hss.answer(&origin(), Request::Mar(mar)) {
        Answer::Maa(Ok(answer)) => answer.vectors,
        other => panic!("no vectors: {other:?}"),
    }
}

/// The number in a vector: what an empty card takes for it is the only one that it has then accepted.
fn number(vector: &aka::AuthVector) -> Sqn {
    let near = |highest: u64| {
        let start = Sqn::from_parts(highest, 0).unwrap();
        let mut card = Isim::new(algorithm(), SqnArray::starting_at(start));
        card.authenticate(&vector.rand, &vector.autn).ok().map(|_| card.sqn().highest())
    };
    // A card takes a jump of 2^28 at most.
    let found = (0..64).find_map(|step| near(step << 28).filter(|sqn| sqn.seq() > step << 28));
    found.expect("a number below 2^34")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A card that EPS has taken far ahead, in slots of its own or in those of IMS, draws no number out of its range.
    #[test]
    fn aka_10_vectors_for_ims_never_use_a_slot_of_another_domain(
        first in 0u8..32, width in 0u8..32,
        he in 0u64..1 << 30, ms in 0u64..1 << 30, ms_ind in 0u8..32, items in 1u32..4,
    ) {
        let range = IndRange::new(first, (first + width).min(31)).unwrap();
        let hss = hss(Sqn::from_parts(he, first).unwrap(), range);
        let ahead = SqnArray::starting_at(Sqn::from_parts(ms, ms_ind).unwrap());
        let mut card = Isim::new(algorithm(), ahead);
        let mut resync = None;
        let mut last = 0;
        for _ in 0..20 {
            for vector in vectors(&hss, MultimediaAuthRequest { resync: resync.take(), ..mar(items) }) {
                let sqn = number(&vector);
                prop_assert!(range.contains(sqn.ind()), "{sqn} of {range:?}");
                prop_assert!(sqn.seq() != last);
                last = sqn.seq();
                if let Err(IsimFailure::SyncFailure(auts)) = card.authenticate(&vector.rand, &vector.autn) {
                    resync = Some((vector.rand, auts));
                }
            }
        }
        prop_assert!(resync.is_none(), "in step at the end");
    }
}
