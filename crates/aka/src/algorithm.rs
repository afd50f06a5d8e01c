//! The authentication algorithm of a subscriber: what the AuC and the card compute with it.

use crate::milenage::Responses;
use crate::{AkaError, Amf, AuthVector, Autn, Auts, K, Mac, Milenage, Op, Opc, Rand, Sqn};

/// The algorithm set of one subscriber, with its keys.
#[derive(Debug)]
pub enum Algorithm {
    Milenage(Milenage),
}

impl Algorithm {
    pub fn milenage(k: K, opc: Opc) -> Self {
        Self::Milenage(Milenage::new(k, opc))
    }

    pub fn milenage_with_op(k: K, op: &Op) -> Self {
        Self::Milenage(Milenage::with_op(k, op))
    }

    /// The vector for one challenge. RAND must be fresh and SQN never used before: both are the caller's promise.
    //= TS 33.102 6.3.2
    pub fn vector(&self, rand: Rand, sqn: Sqn, amf: Amf) -> AuthVector {
        let mac = self.mac_a(&rand, sqn, amf);
        let Responses { res, ck, ik, ak } = self.responses(&rand);
        AuthVector { rand, autn: Autn::from_parts(ak.conceal(sqn), amf, mac), xres: res, ck, ik }
    }

    /// The card's highest sequence number, out of an AUTS whose MAC-S has been verified.
    //= TS 33.102 6.3.5
    pub fn resynchronise(&self, rand: &Rand, auts: &Auts) -> Result<Sqn, AkaError> {
        let Self::Milenage(milenage) = self;
        let sqn_ms = milenage.f5_star(rand).reveal(auts.concealed_sqn());
        if milenage.f1_star(rand, sqn_ms, Amf::RESYNCHRONISATION) != auts.mac() {
            return Err(AkaError::AutsMacInvalid);
        }
        Ok(sqn_ms)
    }

    /// AUTS as a card makes it.
    //= TS 33.102 6.3.3
    pub(crate) fn auts(&self, rand: &Rand, sqn_ms: Sqn) -> Auts {
        let Self::Milenage(milenage) = self;
        let mac = milenage.f1_star(rand, sqn_ms, Amf::RESYNCHRONISATION);
        Auts::from_parts(milenage.f5_star(rand).conceal(sqn_ms), mac)
    }

    pub(crate) fn mac_a(&self, rand: &Rand, sqn: Sqn, amf: Amf) -> Mac {
        let Self::Milenage(milenage) = self;
        milenage.f1(rand, sqn, amf)
    }

    pub(crate) fn responses(&self, rand: &Rand) -> Responses {
        let Self::Milenage(milenage) = self;
        milenage.f2345(rand)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// K, OPc, RAND, SQN, SQN_MS, AMF, AUTN, AUTS.
    #[rustfmt::skip]
    const EXAMPLES: [[&str; 8]; 2] = [
        ["465b5ce8b199b49faa5f0a2ee238a6bc", "cd63cb71954a9f4e48a5994e37a02baf", "23553cbe9637a89d218ae64dae47bf35",
         "ff9bb4d0b607", "ff9bb4d0b627", "b9b9", "55f328b43577b9b94a9ffac354dfafb3", "ba853f3c121cb55edb820040ab41"],
        ["0396eb317b6d1c36f19c1c84cd6ffd16", "53c15671c60a4b731c55b4a441c0bde2", "c00d603103dcee52c4478119494202e8",
         "fd8eef40df7d", "fd8eef40df9d", "af17", "39f96cd9800faf175df5b31807e258b0", "cd7ff630be5c2a4f8ab30b6ae9e1"],
    ];

    fn algorithm(k: &str, opc: &str) -> Algorithm {
        Algorithm::milenage(K::from_hex(k).unwrap(), Opc::from_hex(opc).unwrap())
    }

    #[test]
    fn aka_2_autn_of_the_test_sets() {
        for [k, opc, rand, sqn, _, amf, autn, _] in EXAMPLES {
            let vector = algorithm(k, opc).vector(
                Rand::from_hex(rand).unwrap(),
                Sqn::from_hex(sqn).unwrap(),
                Amf::from_hex(amf).unwrap(),
            );
            assert_eq!(vector.autn.to_string(), autn);
        }
    }

    #[test]
    fn aka_2_auts_examples_with_amf_zero() {
        for [k, opc, rand, _, sqn_ms, _, _, auts] in EXAMPLES {
            let made = algorithm(k, opc).auts(&Rand::from_hex(rand).unwrap(), Sqn::from_hex(sqn_ms).unwrap());
            assert_eq!(made.to_string(), auts);
        }
    }

    #[test]
    fn aka_6_auts_gives_the_sequence_number_back() {
        for [k, opc, rand, _, sqn_ms, _, _, auts] in EXAMPLES {
            let sqn = algorithm(k, opc)
                .resynchronise(&Rand::from_hex(rand).unwrap(), &Auts::from_hex(auts).unwrap());
            assert_eq!(sqn, Ok(Sqn::from_hex(sqn_ms).unwrap()));
        }
    }

    #[test]
    fn aka_6_any_flipped_bit_of_auts_is_refused() {
        let [k, opc, rand, .., auts] = EXAMPLES[0];
        let (algorithm, rand) = (algorithm(k, opc), Rand::from_hex(rand).unwrap());
        let auts = Auts::from_hex(auts).unwrap();
        for bit in 0..112 {
            let mut octets = *auts.as_bytes();
            octets[bit / 8] ^= 1 << (bit % 8);
            let flipped = algorithm.resynchronise(&rand, &Auts::from_bytes(octets));
            assert_eq!(flipped, Err(AkaError::AutsMacInvalid), "bit {bit}");
        }
        let other_rand = Rand::from_bytes([0; 16]);
        assert_eq!(algorithm.resynchronise(&other_rand, &auts), Err(AkaError::AutsMacInvalid));
    }
}
