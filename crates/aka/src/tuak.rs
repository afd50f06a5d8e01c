//! TUAK (TS 35.231) for one subscriber: the second algorithm set, on Keccak-f\[1600\].
//!
//! Of what the standard allows, MAC has 64 bits here (AUTN and AUTS have room for no more), CK and IK have 128 (what
//! IMS uses), RES 32, 64 or 128 (a RES of 256 does not fit Cx), and K both of its lengths.

use std::num::NonZeroU8;

use zeroize::Zeroizing;

use crate::algorithm::{Ak, Responses};
use crate::{Amf, Ck, Ik, Mac, Rand, Res, ResLength, Sqn, Top, Topc, TuakK};

/// INSTANCE: which function it is (two bits), a length (three), 256-bit CK and IK (one each), and a 256-bit K.
//= TS 35.231 6.2 to 6.5
const TOPC: u8 = 0x00;
const F1: u8 = 0x00;
const F1_STAR: u8 = 0x80;
const F2345: u8 = 0x40;
const F5_STAR: u8 = 0xc0;
const MAC_64: u8 = 0x08;
const K_256: u8 = 0x01;

/// Where the outputs lie in the permuted state, in octets. MAC, RES and TOPc come first.
const FIRST: usize = 0;
const CK: usize = 32;
const IK: usize = 64;
const AK: usize = 96;

/// How a subscriber's card is set up, beyond its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TuakSettings {
    pub res_length: ResLength,
    /// How many times Keccak-f runs over the state.
    pub iterations: NonZeroU8,
}

impl Default for TuakSettings {
    /// RES of 64 bits and one iteration.
    fn default() -> Self {
        Self { res_length: ResLength::Octets8, iterations: NonZeroU8::MIN }
    }
}

impl Topc {
    /// TOPc: TOP bound to one K.
    //= TS 35.231 6.2
    pub fn derive(k: &TuakK, top: &Top, iterations: NonZeroU8) -> Self {
        let no_rand = Rand::from_bytes([0; 16]);
        let state = State::permuted(top.as_bytes(), TOPC, &Message::of(&no_rand), k, iterations);
        let mut topc = Self::from_bytes([0; 32]);
        state.copy_to(topc.as_mut_bytes(), FIRST);
        topc
    }
}

/// TUAK with one subscriber's K and TOPc.
#[derive(Debug)]
pub struct Tuak {
    k: TuakK,
    topc: Topc,
    settings: TuakSettings,
}

impl Tuak {
    pub fn new(k: TuakK, topc: Topc, settings: TuakSettings) -> Self {
        Self { k, topc, settings }
    }

    /// For an operator who keeps TOP instead of TOPc.
    pub fn with_top(k: TuakK, top: &Top, settings: TuakSettings) -> Self {
        let topc = Topc::derive(&k, top, settings.iterations);
        Self { k, topc, settings }
    }

    /// For whoever keeps the keys at rest.
    pub fn k(&self) -> &TuakK {
        &self.k
    }

    pub fn topc(&self) -> &Topc {
        &self.topc
    }

    pub fn settings(&self) -> TuakSettings {
        self.settings
    }

    pub(crate) fn f1(&self, rand: &Rand, sqn: Sqn, amf: Amf) -> Mac {
        self.mac(F1, &Message { rand, amf, sqn })
    }

    pub(crate) fn f1_star(&self, rand: &Rand, sqn: Sqn, amf: Amf) -> Mac {
        self.mac(F1_STAR, &Message { rand, amf, sqn })
    }

    //= TS 35.231 6.4
    pub(crate) fn f2345(&self, rand: &Rand) -> Responses {
        let state = self.permuted(F2345 | res_code(self.settings.res_length), &Message::of(rand));
        let mut res = Res::empty(self.settings.res_length);
        let (mut ck, mut ik, mut ak) = (Ck::from_bytes([0; 16]), Ik::from_bytes([0; 16]), Ak::default());
        state.copy_to(res.as_mut_bytes(), FIRST);
        state.copy_to(ck.as_mut_bytes(), CK);
        state.copy_to(ik.as_mut_bytes(), IK);
        state.copy_to(ak.as_mut_bytes(), AK);
        Responses { res, ck, ik, ak }
    }

    //= TS 35.231 6.5
    pub(crate) fn f5_star(&self, rand: &Rand) -> Ak {
        let mut ak = Ak::default();
        self.permuted(F5_STAR, &Message::of(rand)).copy_to(ak.as_mut_bytes(), AK);
        ak
    }

    //= TS 35.231 6.3
    fn mac(&self, function: u8, message: &Message<'_>) -> Mac {
        let mut mac = [0; 8];
        self.permuted(function | MAC_64, message).copy_to(&mut mac, FIRST);
        Mac::from_bytes(mac)
    }

    fn permuted(&self, instance: u8, message: &Message<'_>) -> State {
        State::permuted(self.topc.as_bytes(), instance, message, &self.k, self.settings.iterations)
    }
}

fn res_code(length: ResLength) -> u8 {
    match length {
        ResLength::Octets4 => 0x00,
        ResLength::Octets8 => 0x08,
        ResLength::Octets16 => 0x10,
    }
}

/// What goes in beside the keys. AMF and SQN are zero but for f1 and f1*.
struct Message<'a> {
    rand: &'a Rand,
    amf: Amf,
    sqn: Sqn,
}

impl<'a> Message<'a> {
    fn of(rand: &'a Rand) -> Self {
        Self { rand, amf: Amf::from_bytes([0, 0]), sqn: Sqn::default() }
    }
}

/// The 1600 bits of Keccak, as 200 octets. Every field lies in it with its last octet first.
struct State(Zeroizing<[u8; 200]>);

impl State {
    //= TS 35.231 6.1
    fn permuted(top: &[u8; 32], instance: u8, message: &Message<'_>, k: &TuakK, times: NonZeroU8) -> Self {
        let k_bit = if k.as_bytes().len() == 32 { K_256 } else { 0 };
        let mut state = Self(Zeroizing::new([0; 200]));
        state.write(0, top);
        state.write(32, &[instance | k_bit]);
        state.write(33, b"TUAK1.0");
        state.write(40, message.rand.as_bytes());
        state.write(56, message.amf.as_bytes());
        state.write(58, &message.sqn.to_bytes());
        state.write(64, k.as_bytes());
        state.write(96, &[0x1f]);
        state.write(135, &[0x80]);
        state.permute(times);
        state
    }

    fn permute(&mut self, times: NonZeroU8) {
        let mut lanes = Zeroizing::new([0u64; 25]);
        for (lane, octets) in lanes.iter_mut().zip(self.0.as_chunks().0) {
            *lane = u64::from_le_bytes(*octets);
        }
        keccak::Keccak::new().with_f1600(|f1600| (0..times.get()).for_each(|_| f1600(&mut lanes)));
        for (octets, lane) in self.0.as_chunks_mut().0.iter_mut().zip(*lanes) {
            *octets = lane.to_le_bytes();
        }
    }

    fn write(&mut self, at: usize, field: &[u8]) {
        self.0.iter_mut().skip(at).zip(field.iter().rev()).for_each(|(to, from)| *to = *from);
    }

    fn copy_to(&self, field: &mut [u8], at: usize) {
        self.0.iter().skip(at).zip(field.iter_mut().rev()).for_each(|(from, to)| *to = *from);
    }
}

#[cfg(test)]
mod tests;
