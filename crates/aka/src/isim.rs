//! A soft ISIM: the card's side of AKA.

use crate::algorithm::Responses;
use crate::{Algorithm, Autn, Auts, Ck, Ik, Rand, Res, SqnArray};

/// A card: one algorithm with its keys, and the memory of accepted sequence numbers.
#[derive(Debug)]
pub struct Isim {
    algorithm: Algorithm,
    sqn: SqnArray,
}

/// What a card gives out when it accepts a challenge.
#[derive(Debug, PartialEq, Eq)]
pub struct IsimResponse {
    pub res: Res,
    pub ck: Ck,
    pub ik: Ik,
}

/// Why a card refused a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsimFailure {
    /// The network is not ours: no RES, no keys, no AUTS.
    MacFailure,
    /// The sequence number is not fresh.
    SyncFailure(Auts),
}

impl Isim {
    pub fn new(algorithm: Algorithm, sqn: SqnArray) -> Self {
        Self { algorithm, sqn }
    }

    pub fn sqn(&self) -> &SqnArray {
        &self.sqn
    }

    /// MAC first: a forged sequence number must not draw an AUTS out of the card, nor change its memory.
    //= TS 33.102 6.3.3
    pub fn authenticate(&mut self, rand: &Rand, autn: &Autn) -> Result<IsimResponse, IsimFailure> {
        let Responses { res, ck, ik, ak } = self.algorithm.responses(rand);
        let sqn = ak.reveal(autn.concealed_sqn());
        if self.algorithm.mac_a(rand, sqn, autn.amf()) != autn.mac() {
            return Err(IsimFailure::MacFailure);
        }
        if !self.sqn.accept(sqn) {
            return Err(IsimFailure::SyncFailure(self.algorithm.auts(rand, self.sqn.highest())));
        }
        Ok(IsimResponse { res, ck, ik })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Amf, IndRange, K, Opc, ResLength, Sqn, SqnGenerator, Topc, Tuak, TuakK, TuakSettings};

    const AMF: Amf = Amf::from_bytes([0, 0]);

    fn algorithm() -> Algorithm {
        Algorithm::milenage(K::from_bytes([0x11; 16]), Opc::from_bytes([0x22; 16]))
    }

    fn rand(number: u16) -> Rand {
        let mut octets = [0; 16];
        octets[..2].copy_from_slice(&number.to_be_bytes());
        Rand::from_bytes(octets)
    }

    #[test]
    fn aka_3_wrong_mac_is_no_sync_failure_and_changes_nothing() {
        let mut card = Isim::new(algorithm(), SqnArray::starting_at(Sqn::from_parts(50, 0).unwrap()));
        let before = card.sqn().clone();
        // Stale and forged at once: the MAC decides.
        for seq in [1, 51] {
            let vector = algorithm().vector(rand(1), Sqn::from_parts(seq, 0).unwrap(), AMF);
            for bit in 0..128 {
                let mut octets = *vector.autn.as_bytes();
                octets[bit / 8] ^= 1 << (bit % 8);
                let answer = card.authenticate(&vector.rand, &Autn::from_bytes(octets));
                assert_eq!(answer, Err(IsimFailure::MacFailure), "bit {bit}");
            }
        }
        assert_eq!(*card.sqn(), before);
    }

    #[test]
    fn aka_3_repeated_challenge_gives_auts() {
        let mut card = Isim::new(algorithm(), SqnArray::new());
        let vector = algorithm().vector(rand(1), Sqn::from_parts(1, 0).unwrap(), AMF);
        let answer = card.authenticate(&vector.rand, &vector.autn).unwrap();
        assert_eq!((answer.res, answer.ck, answer.ik), (vector.xres, vector.ck, vector.ik));
        let Err(IsimFailure::SyncFailure(auts)) = card.authenticate(&vector.rand, &vector.autn) else {
            panic!("a repeated challenge must fail")
        };
        assert_eq!(algorithm().resynchronise(&vector.rand, &auts), Ok(Sqn::from_parts(1, 0).unwrap()));
    }

    #[test]
    fn aka_5_a_thousand_vectors_in_a_row_are_accepted() {
        let mut card = Isim::new(algorithm(), SqnArray::new());
        let mut generator = SqnGenerator::new(Sqn::default(), IndRange::ALL);
        for number in 0..1000 {
            let vector = algorithm().vector(rand(number), generator.next().unwrap(), AMF);
            assert!(card.authenticate(&vector.rand, &vector.autn).is_ok(), "vector {number}");
        }
    }

    #[test]
    fn aka_6_one_round_of_resynchronisation_heals() {
        let mut card = Isim::new(algorithm(), SqnArray::starting_at(Sqn::from_parts(70_000, 9).unwrap()));
        let mut generator = SqnGenerator::new(Sqn::default(), IndRange::new(9, 9).unwrap());
        let vector = algorithm().vector(rand(1), generator.next().unwrap(), AMF);
        let Err(IsimFailure::SyncFailure(auts)) = card.authenticate(&vector.rand, &vector.autn) else {
            panic!("a stale challenge must fail")
        };
        assert!(generator.resynchronise(algorithm().resynchronise(&vector.rand, &auts).unwrap()));
        let vector = algorithm().vector(rand(2), generator.next().unwrap(), AMF);
        assert!(card.authenticate(&vector.rand, &vector.autn).is_ok());
    }

    #[test]
    fn aka_14_a_card_with_tuak_answers_and_resynchronises() {
        for res_length in [ResLength::Octets4, ResLength::Octets8, ResLength::Octets16] {
            let settings = TuakSettings { res_length, ..TuakSettings::default() };
            let algorithm = || {
                Algorithm::Tuak(Tuak::new(TuakK::from([0x11; 32]), Topc::from_bytes([0x22; 32]), settings))
            };
            let mut card = Isim::new(algorithm(), SqnArray::starting_at(Sqn::from_parts(5, 0).unwrap()));
            let stale = algorithm().vector(rand(1), Sqn::from_parts(5, 0).unwrap(), AMF);
            let Err(IsimFailure::SyncFailure(auts)) = card.authenticate(&stale.rand, &stale.autn) else {
                panic!("a stale challenge must fail")
            };
            let sqn_ms = algorithm().resynchronise(&stale.rand, &auts);
            assert_eq!(sqn_ms, Ok(Sqn::from_parts(5, 0).unwrap()));
            let fresh = algorithm().vector(rand(2), Sqn::from_parts(6, 0).unwrap(), AMF);
            let answer = card.authenticate(&fresh.rand, &fresh.autn).unwrap();
            assert_eq!((&answer.res, &answer.ck, &answer.ik), (&fresh.xres, &fresh.ck, &fresh.ik));
            let mut forged = *fresh.autn.as_bytes();
            forged[15] ^= 1;
            let forged = card.authenticate(&fresh.rand, &Autn::from_bytes(forged));
            assert_eq!(forged, Err(IsimFailure::MacFailure));
        }
    }

    #[test]
    fn aka_11_the_card_takes_any_amf() {
        for amf in ["0000", "8000"] {
            let vector =
                algorithm().vector(rand(1), Sqn::from_parts(1, 0).unwrap(), Amf::from_hex(amf).unwrap());
            let mut card = Isim::new(algorithm(), SqnArray::new());
            assert!(card.authenticate(&vector.rand, &vector.autn).is_ok());
        }
    }
}
