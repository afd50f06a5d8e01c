//! Milenage a second time, straight from the formulas of TS 35.206 with 128-bit integers, against the crate.

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aka::{Algorithm, Amf, Autn, Auts, Isim, IsimFailure, K, Op, Opc, Rand, Sqn, SqnArray};
use proptest::prelude::*;

struct Reference {
    cipher: Aes128,
    opc: u128,
}

impl Reference {
    fn new(k: [u8; 16], op: [u8; 16]) -> Self {
        let cipher = Aes128::new(&k.into());
        let opc = encrypt(&cipher, u128::from_be_bytes(op)) ^ u128::from_be_bytes(op);
        Self { cipher, opc }
    }

    fn out1(&self, rand: u128, sqn: u64, amf: u16) -> u128 {
        let temp = encrypt(&self.cipher, rand ^ self.opc);
        let half = sqn << 16 | u64::from(amf);
        let in1 = u128::from(half) << 64 | u128::from(half);
        encrypt(&self.cipher, temp ^ (in1 ^ self.opc).rotate_left(64)) ^ self.opc
    }

    fn out(&self, rand: u128, rotation: u32, constant: u128) -> u128 {
        let temp = encrypt(&self.cipher, rand ^ self.opc);
        encrypt(&self.cipher, (temp ^ self.opc).rotate_left(rotation) ^ constant) ^ self.opc
    }
}

fn encrypt(cipher: &Aes128, block: u128) -> u128 {
    let mut block = block.to_be_bytes().into();
    cipher.encrypt_block(&mut block);
    u128::from_be_bytes(block.into())
}

fn low_half(block: u128) -> u64 {
    u64::try_from(block & u128::from(u64::MAX)).unwrap()
}

fn sqn_of(number: u64) -> Sqn {
    Sqn::from_parts(number >> 5, (number & 31) as u8).unwrap()
}

proptest! {
    #[test]
    fn aka_1_vector_equals_the_formulas(k: [u8; 16], op: [u8; 16], rand: [u8; 16], sqn in 0u64..1 << 48, amf: u16) {
        let reference = Reference::new(k, op);
        let k = K::from_bytes(k);
        let opc = Opc::derive(&k, &Op::from_bytes(op));
        prop_assert_eq!(u128::from_be_bytes(*opc.as_bytes()), reference.opc);

        let vector = Algorithm::milenage(k, opc).vector(
            Rand::from_bytes(rand), sqn_of(sqn), Amf::from_bytes(amf.to_be_bytes()));
        let rand = u128::from_be_bytes(rand);
        let out2 = reference.out(rand, 0, 1);
        let ak = (out2 >> 80) as u64;
        let mac = (reference.out1(rand, sqn, amf) >> 64) as u64;
        let autn = u128::from(sqn ^ ak) << 80 | u128::from(amf) << 64 | u128::from(mac);
        prop_assert_eq!(u128::from_be_bytes(*vector.autn.as_bytes()), autn);
        prop_assert_eq!(vector.xres.as_bytes(), low_half(out2).to_be_bytes());
        prop_assert_eq!(u128::from_be_bytes(*vector.ck.as_bytes()), reference.out(rand, 32, 2));
        prop_assert_eq!(u128::from_be_bytes(*vector.ik.as_bytes()), reference.out(rand, 64, 4));
    }

    #[test]
    fn aka_2_auts_equals_the_formulas(k: [u8; 16], op: [u8; 16], rand: [u8; 16], ms in 0u64..1 << 48, amf: u16) {
        let reference = Reference::new(k, op);
        let algorithm = || Algorithm::milenage_with_op(K::from_bytes(k), &Op::from_bytes(op));
        // A card that has accepted `ms` refuses it the second time.
        let stale = algorithm().vector(Rand::from_bytes(rand), sqn_of(ms), Amf::from_bytes(amf.to_be_bytes()));
        let mut card = Isim::new(algorithm(), SqnArray::starting_at(sqn_of(ms)));
        let Err(IsimFailure::SyncFailure(auts)) = card.authenticate(&stale.rand, &stale.autn) else {
            return Err(TestCaseError::fail("no AUTS"));
        };
        // An empty slot 0 card has SEQ 0 everywhere, and then the first slot is its highest.
        let ms = if ms >> 5 == 0 { card.sqn().highest().to_bytes() } else { sqn_of(ms).to_bytes() };
        let ms = u64::from_be_bytes([0, 0, ms[0], ms[1], ms[2], ms[3], ms[4], ms[5]]);
        let rand = u128::from_be_bytes(rand);
        let ak_star = (reference.out(rand, 96, 8) >> 80) as u64;
        let mac_s = low_half(reference.out1(rand, ms, 0));
        let mut expected = [0; 14];
        expected[..6].copy_from_slice(&(ms ^ ak_star).to_be_bytes()[2..]);
        expected[6..].copy_from_slice(&mac_s.to_be_bytes());
        prop_assert_eq!(auts, Auts::from_bytes(expected));
        prop_assert_eq!(algorithm().resynchronise(&stale.rand, &auts), Ok(sqn_of(ms)));
    }

    #[test]
    fn aka_3_random_autn_is_a_mac_failure(k: [u8; 16], rand: [u8; 16], autn: [u8; 16]) {
        let algorithm = Algorithm::milenage(K::from_bytes(k), Opc::from_bytes([0; 16]));
        let mut card = Isim::new(algorithm, SqnArray::new());
        let answer = card.authenticate(&Rand::from_bytes(rand), &Autn::from_bytes(autn));
        prop_assert_eq!(answer, Err(IsimFailure::MacFailure));
    }
}
