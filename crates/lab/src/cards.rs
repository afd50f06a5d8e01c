//! SIM cards of a lab: made from a seed, written as the CSV an operator would write, read back by the HSS's importer.

use aka::{Algorithm, Amf, AuthVector, Isim, K, Opc, Rand, Sqn, SqnArray};
use anyhow::{Context, Result};
use hss::{Hss, MemoryStore, Policy};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use zeroize::Zeroizing;

use crate::operator::Operator;

/// K and OPc of the n-th card; the same seed makes the same cards.
fn keys(seed: u64, n: u16) -> (Zeroizing<[u8; 16]>, Zeroizing<[u8; 16]>) {
    let mut rng = ChaCha20Rng::seed_from_u64(seed ^ (u64::from(n) << 32));
    let (mut k, mut opc) = (Zeroizing::new([0; 16]), Zeroizing::new([0; 16]));
    rng.fill_bytes(&mut *k);
    rng.fill_bytes(&mut *opc);
    (k, opc)
}

fn algorithm(seed: u64, n: u16) -> Algorithm {
    let (k, opc) = keys(seed, n);
    Algorithm::milenage(K::from_bytes(*k), Opc::from_bytes(*opc))
}

/// The card in the n-th UE.
pub(crate) fn card(operator: Operator, seed: u64, n: u16) -> Isim {
    Isim::new(algorithm(operator.seed(seed), n), SqnArray::new())
}

/// What the n-th card makes of a challenge: for tests that compare the kernel's keys with the standard's.
pub(crate) fn vector(operator: Operator, seed: u64, n: u16, rand: Rand) -> AuthVector {
    // CK and IK do not depend on SQN and AMF.
    algorithm(operator.seed(seed), n).vector(rand, Sqn::from_bytes([0; 6]), Amf::from_bytes([0; 2]))
}

/// An operator's HSS, which knows the first `count` cards.
pub(crate) fn hss(operator: Operator, seed: u64, count: u16) -> Result<Hss<MemoryStore>> {
    let mut csv = Zeroizing::new(String::from("impi,k,opc,amf,sqn,impus\n"));
    for n in 0..count {
        let (k, opc) = keys(operator.seed(seed), n);
        let hex = |key: &[u8; 16]| {
            Zeroizing::new(key.iter().map(|octet| format!("{octet:02x}")).collect::<String>())
        };
        let (impi, impu, tel) = (operator.impi(n), operator.impu(n), operator.tel(n));
        csv.push_str(&format!("{impi},{},{},0000,000000000000,{impu} {tel}\n", *hex(&k), *hex(&opc)));
    }
    let imported = hss::csv::parse(csv.as_bytes());
    let imported = imported
        .map_err(|(line, error)| anyhow::anyhow!("line {line}: {error}"))
        .context("make subscribers")?;
    let subscriptions = hss::subscriptions(imported).context("make subscribers")?;
    let store = MemoryStore::with(subscriptions).context("make subscribers")?;
    Ok(Hss::new(Policy::default(), store, node::seed()?, hss::shell::wall_clock()))
}
