//! Milenage (TS 35.206) for one subscriber.
//!
//! The `milenage` crate does the block arithmetic. Its type keeps keys it never wipes, prints them in `Debug` and
//! lets f5* overwrite AK, so it lives only inside [`Engine`], for the length of one call.

use crate::algorithm::{Ak, Responses};
use crate::{Amf, Ck, Ik, K, Mac, Op, Opc, Rand, Res, Sqn};

impl Opc {
    /// OPc = OP xor E_K(OP).
    //= TS 35.206 4.1
    pub fn derive(k: &K, op: &Op) -> Self {
        let engine = Engine(milenage::Milenage::new_with_op(*k.as_bytes(), *op.as_bytes()));
        Self::from_bytes(*engine.0.opc())
    }
}

/// Milenage with one subscriber's K and OPc.
#[derive(Debug)]
pub struct Milenage {
    k: K,
    opc: Opc,
}

impl Milenage {
    pub fn new(k: K, opc: Opc) -> Self {
        Self { k, opc }
    }

    /// For an operator who keeps OP instead of OPc.
    pub fn with_op(k: K, op: &Op) -> Self {
        let opc = Opc::derive(&k, op);
        Self { k, opc }
    }

    /// For whoever keeps the keys at rest.
    pub fn k(&self) -> &K {
        &self.k
    }

    pub fn opc(&self) -> &Opc {
        &self.opc
    }

    pub(crate) fn f1(&self, rand: &Rand, sqn: Sqn, amf: Amf) -> Mac {
        Mac::from_bytes(self.engine().0.f1(rand.as_bytes(), &sqn.to_bytes(), amf.as_bytes()))
    }

    pub(crate) fn f1_star(&self, rand: &Rand, sqn: Sqn, amf: Amf) -> Mac {
        Mac::from_bytes(self.engine().0.f1star(rand.as_bytes(), &sqn.to_bytes(), amf.as_bytes()))
    }

    pub(crate) fn f2345(&self, rand: &Rand) -> Responses {
        let (res, ck, ik, ak) = self.engine().0.f2345(rand.as_bytes());
        Responses {
            res: Res::from(res),
            ck: Ck::from_bytes(ck),
            ik: Ik::from_bytes(ik),
            ak: Ak::from_bytes(ak),
        }
    }

    pub(crate) fn f5_star(&self, rand: &Rand) -> Ak {
        Ak::from_bytes(self.engine().0.f5star(rand.as_bytes()))
    }

    fn engine(&self) -> Engine {
        Engine(milenage::Milenage::new_with_opc(*self.k.as_bytes(), *self.opc.as_bytes()))
    }
}

struct Engine(milenage::Milenage);

impl Drop for Engine {
    fn drop(&mut self) {
        self.0 = milenage::Milenage::default();
        zeroize::optimization_barrier(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// K, RAND, SQN, AMF, OP, OPc, f1, f1*, f2, f3, f4, f5, f5*.
    type Set = [&'static str; 13];

    #[rustfmt::skip]
    const SETS: [(u8, Set); 7] = [
        (1, ["465b5ce8b199b49faa5f0a2ee238a6bc", "23553cbe9637a89d218ae64dae47bf35", "ff9bb4d0b607", "b9b9",
             "cdc202d5123e20f62b6d676ac72cb318", "cd63cb71954a9f4e48a5994e37a02baf",
             "4a9ffac354dfafb3", "01cfaf9ec4e871e9", "a54211d5e3ba50bf",
             "b40ba9a3c58b2a05bbf0d987b21bf8cb", "f769bcd751044604127672711c6d3441", "aa689c648370", "451e8beca43b"]),
        (2, ["0396eb317b6d1c36f19c1c84cd6ffd16", "c00d603103dcee52c4478119494202e8", "fd8eef40df7d", "af17",
             "ff53bade17df5d4e793073ce9d7579fa", "53c15671c60a4b731c55b4a441c0bde2",
             "5df5b31807e258b0", "a8c016e51ef4a343", "d3a628ed988620f0",
             "58c433ff7a7082acd424220f2b67c556", "21a8c1f929702adb3e738488b9f5c5da", "c47783995f72", "30f1197061c1"]),
        (3, ["fec86ba6eb707ed08905757b1bb44b8f", "9f7c8d021accf4db213ccff0c7f71a6a", "9d0277595ffc", "725c",
             "dbc59adcb6f9a0ef735477b7fadf8374", "1006020f0a478bf6b699f15c062e42b3",
             "9cabc3e99baf7281", "95814ba2b3044324", "8011c48c0c214ed2",
             "5dbdbb2954e8f3cde665b046179a5098", "59a92d3b476a0443487055cf88b2307b", "33484dc2136b", "deacdd848cc6"]),
        (4, ["9e5944aea94b81165c82fbf9f32db751", "ce83dbc54ac0274a157c17f80d017bd6", "0b604a81eca8", "9e09",
             "223014c5806694c007ca1eeef57f004f", "a64a507ae1a2a98bb88eb4210135dc87",
             "74a58220cba84c49", "ac2cc74a96871837", "f365cd683cd92e96",
             "e203edb3971574f5a94b0d61b816345d", "0c4524adeac041c4dd830d20854fc46b", "f0b9c08ad02e", "6085a86c6f63"]),
        (5, ["4ab1deb05ca6ceb051fc98e77d026a84", "74b0cd6031a1c8339b2b6ce2b8c4a186", "e880a1b580b6", "9f07",
             "2d16c5cd1fdf6b22383584e3bef2a8d8", "dcf07cbd51855290b92a07a9891e523e",
             "49e785dd12626ef2", "9e85790336bb3fa2", "5860fc1bce351e7e",
             "7657766b373d1c2138f307e3de9242f9", "1c42e960d89b8fa99f2744e0708ccb53", "31e11a609118", "fe2555e54aa9"]),
        (6, ["6c38a116ac280c454f59332ee35c8c4f", "ee6466bc96202c5a557abbeff8babf63", "414b98222181", "4464",
             "1ba00a1a7c6700ac8c3ff3e96ad08725", "3803ef5363b947c6aaa225e58fae3934",
             "078adfb488241a57", "80246b8d0186bcf1", "16c8233f05a0ac28",
             "3f8c7587fe8e4b233af676aede30ba3b", "a7466cc1e6b2a1337d49d3b66e95d7b4", "45b0f69ab06c", "1f53cd2b1113"]),
        (19, ["5122250214c33e723a5dd523fc145fc0", "81e92b6c0ee0e12ebceba8d92a99dfa5", "16f3b3f70fc2", "c3ab",
             "c9e8763286b5b9ffbdf56e1297d0887b", "981d464c7c52eb6e5036234984ad0bcf",
             "2a5c23d15ee351d5", "62dae3853f3af9d2", "28d7b0f2a2ec3de5",
             "5349fbe098649f948f5d2e973a81c00f", "9744871ad32bf9bbd1dd5ce54e3e2e5a", "ada15aeb7bb8", "d461bc15475d"]),
    ];

    fn check(milenage: &Milenage, number: u8, set: &Set) {
        let [_, rand, sqn, amf, _, _, f1, f1_star, f2, f3, f4, f5, f5_star] = *set;
        let rand = Rand::from_hex(rand).unwrap();
        let sqn = Sqn::from_hex(sqn).unwrap();
        let amf = Amf::from_hex(amf).unwrap();
        assert_eq!(hex::encode(milenage.f1(&rand, sqn, amf).as_bytes()), f1, "f1 of set {number}");
        assert_eq!(hex::encode(milenage.f1_star(&rand, sqn, amf).as_bytes()), f1_star, "f1* of set {number}");
        let responses = milenage.f2345(&rand);
        assert_eq!(hex::encode(responses.res.as_bytes()), f2, "f2 of set {number}");
        assert_eq!(hex::encode(responses.ck.as_bytes()), f3, "f3 of set {number}");
        assert_eq!(hex::encode(responses.ik.as_bytes()), f4, "f4 of set {number}");
        assert_eq!(hex::encode(responses.ak.as_bytes()), f5, "f5 of set {number}");
        assert_eq!(hex::encode(milenage.f5_star(&rand).as_bytes()), f5_star, "f5* of set {number}");
    }

    #[test]
    fn aka_1_test_sets_from_op() {
        for (number, set) in &SETS {
            let k = K::from_hex(set[0]).unwrap();
            check(&Milenage::with_op(k, &Op::from_hex(set[4]).unwrap()), *number, set);
        }
    }

    #[test]
    fn aka_1_test_sets_from_opc() {
        for (number, set) in &SETS {
            let k = K::from_hex(set[0]).unwrap();
            let derived = Opc::derive(&k, &Op::from_hex(set[4]).unwrap());
            let opc = Opc::from_hex(set[5]).unwrap();
            assert_eq!(derived, opc, "OPc of set {number}");
            check(&Milenage::new(k, opc), *number, set);
        }
    }

    #[test]
    fn aka_11_separation_bit_changes_f1_only() {
        for (index, f1) in [(0, "59bcea576837152b"), (1, "e168b510e0af4840")] {
            let set = &SETS[index].1;
            let milenage = Milenage::new(K::from_hex(set[0]).unwrap(), Opc::from_hex(set[5]).unwrap());
            let mac = milenage.f1(
                &Rand::from_hex(set[1]).unwrap(),
                Sqn::from_hex(set[2]).unwrap(),
                Amf::from_hex("8000").unwrap(),
            );
            assert_eq!(hex::encode(mac.as_bytes()), f1);
        }
    }

    #[test]
    fn aka_13_debug_shows_no_key() {
        let milenage = Milenage::new(K::from_bytes([0x5a; 16]), Opc::from_bytes([0x5b; 16]));
        assert_eq!(format!("{milenage:?}"), "Milenage { k: <secret>, opc: <secret> }");
    }
}
