//! The authentication algorithm of a subscriber: what the AuC and the card compute with it.

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{AkaError, Amf, AuthVector, Autn, Auts, Ck, Ik, K, Mac, Milenage, Op, Opc, Rand, Res, Sqn, Tuak};

/// The algorithm set of one subscriber, with its keys.
#[derive(Debug)]
pub enum Algorithm {
    Milenage(Milenage),
    Tuak(Tuak),
}

/// What f2 to f5 make of one RAND.
pub(crate) struct Responses {
    pub(crate) res: Res,
    pub(crate) ck: Ck,
    pub(crate) ik: Ik,
    pub(crate) ak: Ak,
}

/// AK or AK*: conceals a sequence number.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Ak([u8; 6]);

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
        let sqn_ms = self.ak_star(rand).reveal(auts.concealed_sqn());
        if self.mac_s(rand, sqn_ms) != auts.mac() {
            return Err(AkaError::AutsMacInvalid);
        }
        Ok(sqn_ms)
    }

    /// AUTS as a card makes it.
    //= TS 33.102 6.3.3
    pub(crate) fn auts(&self, rand: &Rand, sqn_ms: Sqn) -> Auts {
        Auts::from_parts(self.ak_star(rand).conceal(sqn_ms), self.mac_s(rand, sqn_ms))
    }

    pub(crate) fn mac_a(&self, rand: &Rand, sqn: Sqn, amf: Amf) -> Mac {
        match self {
            Self::Milenage(milenage) => milenage.f1(rand, sqn, amf),
            Self::Tuak(tuak) => tuak.f1(rand, sqn, amf),
        }
    }

    pub(crate) fn responses(&self, rand: &Rand) -> Responses {
        match self {
            Self::Milenage(milenage) => milenage.f2345(rand),
            Self::Tuak(tuak) => tuak.f2345(rand),
        }
    }

    fn mac_s(&self, rand: &Rand, sqn_ms: Sqn) -> Mac {
        match self {
            Self::Milenage(milenage) => milenage.f1_star(rand, sqn_ms, Amf::RESYNCHRONISATION),
            Self::Tuak(tuak) => tuak.f1_star(rand, sqn_ms, Amf::RESYNCHRONISATION),
        }
    }

    fn ak_star(&self, rand: &Rand) -> Ak {
        match self {
            Self::Milenage(milenage) => milenage.f5_star(rand),
            Self::Tuak(tuak) => tuak.f5_star(rand),
        }
    }
}

impl Ak {
    pub(crate) fn from_bytes(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_mut_bytes(&mut self) -> &mut [u8; 6] {
        &mut self.0
    }

    /// Conceals a sequence number.
    pub(crate) fn conceal(&self, sqn: Sqn) -> [u8; 6] {
        let mut octets = sqn.to_bytes();
        octets.iter_mut().zip(self.0).for_each(|(octet, ak)| *octet ^= ak);
        octets
    }

    /// Undoes [`Ak::conceal`].
    pub(crate) fn reveal(&self, concealed: [u8; 6]) -> Sqn {
        Sqn::from_bytes(self.conceal(Sqn::from_bytes(concealed)))
    }

    #[cfg(test)]
    pub(crate) fn as_bytes(&self) -> &[u8; 6] {
        &self.0
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
