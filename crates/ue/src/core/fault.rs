//! What a UE, or somebody between it and the P-CSCF, does wrong on purpose: one thing at a time, so that the network's
//! reaction can be watched.
//!
//! The honest code calls in here at five points: before a REGISTER leaves ([`Fault::alter`]), when a 401 has come
//! ([`Fault::on_the_way`]), when the card is asked ([`Ue::ask_card`]), when ESP keys are made ([`Fault::ik`]), and before
//! SM7 ([`Ue::spoil_answer`]).

use std::fmt;
use std::str::FromStr;

use aka::{Auts, Ik, IsimFailure, IsimResponse, Nonce, Res};
use sip::{Draft, Message, Method, Name};
use thiserror::Error;

use super::sets::Via;
use super::{Attempt, Failure, Ue};

/// Provokes one case of failure or attack with one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Mac,
    Sqn,
    Auts,
    Res,
    Ik,
    Silent,
    Verify,
    Client,
    StripEalg,
    StripServer,
    Spi,
    Port,
    ClearAnswer,
    NoSecAgree,
    NoSecurityClient,
    Ah,
    Tun,
    BadSpi,
    EqualPorts,
    CallId,
    Impi,
    Replay,
    Uncover,
}

/// Name and meaning of every fault.
const FAULTS: [(Fault, &str, &str); 23] = [
    (Fault::Mac, "mac", "says that the MAC of the challenge is wrong: an empty response"),
    (
        Fault::Sqn,
        "sqn",
        "says that a good sequence number is stale: AUTS, and registers with the next challenge",
    ),
    (Fault::Auts, "auts", "as sqn, with a wrong MAC-S in the AUTS"),
    (Fault::Res, "res", "answers with a wrong RES, with the right IK"),
    (Fault::Ik, "ik", "protects with a wrong IK: its ESP is dropped"),
    (Fault::Silent, "silent", "never answers the challenge"),
    (Fault::Verify, "verify", "SM7 repeats another Security-Server than came"),
    (Fault::Client, "client", "SM7 repeats another Security-Client than SM1 had"),
    (Fault::StripEalg, "strip-ealg", "somebody strips the encrypting entries of SM1"),
    (Fault::StripServer, "strip-server", "somebody strips the first entry of the 401's Security-Server"),
    (Fault::Spi, "spi", "the Security-Client of SM7 names another SPI"),
    (Fault::Port, "port", "the Security-Client of SM7 names another client port"),
    (Fault::ClearAnswer, "clear-answer", "SM7 in clear"),
    (Fault::NoSecAgree, "no-sec-agree", "SM1 without sec-agree and offer"),
    (Fault::NoSecurityClient, "no-security-client", "SM1 without offer"),
    (Fault::Ah, "ah", "SM1 offers AH"),
    (Fault::Tun, "tun", "SM1 offers tunnel mode"),
    (Fault::BadSpi, "bad-spi", "SM1 offers a reserved SPI"),
    (Fault::EqualPorts, "equal-ports", "SM1 offers one port as client and server port"),
    (Fault::CallId, "call-id", "SM7 with another Call-ID"),
    (Fault::Impi, "impi", "SM7 names another private identity"),
    (Fault::Replay, "replay", "answers the challenge with the answer to an earlier one"),
    (Fault::Uncover, "uncover", "sends something other than REGISTER in clear"),
];

/// No fault has this name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("know the fault {0:?}")]
pub struct UnknownFault(pub Box<str>);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Self, UnknownFault> {
        let found = FAULTS.iter().find(|(_, known, _)| *known == name);
        found.map(|(fault, ..)| *fault).ok_or_else(|| UnknownFault(name.into()))
    }
}

impl Fault {
    pub fn all() -> impl Iterator<Item = Self> {
        FAULTS.iter().map(|(fault, ..)| *fault)
    }

    pub fn as_str(self) -> &'static str {
        self.row().1
    }

    /// What it does, in words.
    pub fn meaning(self) -> &'static str {
        self.row().2
    }

    fn row(self) -> &'static (Self, &'static str, &'static str) {
        FAULTS.iter().find(|(fault, ..)| *fault == self).unwrap_or(&FAULTS[0])
    }

    /// The REGISTER as it reaches the wire.
    pub(super) fn alter(self, mut draft: Draft<'static>, attempt: &Attempt) -> Draft<'static> {
        let offer = attempt.offer.to_string();
        let offered = match (self, attempt.answering) {
            (Self::NoSecAgree | Self::NoSecurityClient, false) => None,
            (Self::StripEalg, false) => Some(without_encryption(&offer)),
            (Self::Ah, false) => Some(with(&offer, "prot", |_| "ah".into())),
            (Self::Tun, false) => Some(with(&offer, "mod", |_| "tun".into())),
            (Self::BadSpi, false) => Some(with(&offer, "spi-c", |_| "200".into())),
            (Self::EqualPorts, false) => {
                Some(with(&offer, "port-c", |_| attempt.offer.setup().port_s.get().to_string()))
            }
            (Self::Client, true) => Some(format!("{offer};altered=1")),
            (Self::Spi, true) => Some(with(&offer, "spi-c", another_number)),
            (Self::Port, true) => Some(with(&offer, "port-c", another_number)),
            _ => Some(offer),
        };
        match offered {
            Some(offered) => draft.set(Name::SecurityClient, offered),
            None => draft.remove(Name::SecurityClient),
        };
        match (self, attempt.answering) {
            (Self::NoSecAgree, false) => {
                draft.remove(Name::Require).remove(Name::ProxyRequire);
            }
            (Self::Verify, true) => {
                let message = draft.finish();
                let echo: Vec<&str> = message.values(Name::SecurityVerify).collect();
                draft.set(Name::SecurityVerify, with(&echo.join(", "), "spi-c", another_number));
            }
            (Self::Impi, true) => {
                let message = draft.finish();
                let credentials = message.first(Name::Authorization).unwrap_or_default();
                draft.set(Name::Authorization, credentials.replacen("username=\"", "username=\"other", 1));
            }
            _ => {}
        }
        draft
    }

    /// The 401 as it reaches the UE.
    pub(super) fn on_the_way(self, challenge: Message) -> Message {
        if self != Self::StripServer {
            return challenge;
        }
        let mut draft = Draft::forward(&challenge);
        draft.replace_values(Name::SecurityServer, challenge.values(Name::SecurityServer).skip(1));
        draft.finish()
    }

    /// The IK that ESP keys are made of.
    pub(super) fn ik(self, ik: Ik) -> Ik {
        match self {
            Self::Ik => Ik::from_bytes(ik.as_bytes().map(|octet| !octet)),
            _ => ik,
        }
    }
}

impl Ue {
    pub(super) fn fault(&self) -> Option<Fault> {
        self.attempt.as_ref().and_then(|attempt| attempt.fault)
    }

    /// What the card says of a challenge, and what the UE makes of it.
    pub(super) fn ask_card(&mut self, nonce: &Nonce) -> Result<IsimResponse, IsimFailure> {
        let answer = self.isim.authenticate(&nonce.rand, &nonce.autn)?;
        let Some(fault) = self.fault() else { return Ok(answer) };
        match fault {
            Fault::Mac => Err(IsimFailure::MacFailure),
            Fault::Sqn | Fault::Auts => {
                // The card has just stored this sequence number: a second look finds it stale.
                let again = self.isim.authenticate(&nonce.rand, &nonce.autn);
                if let Some(attempt) = &mut self.attempt {
                    attempt.fault = None;
                }
                match again {
                    Err(IsimFailure::SyncFailure(auts)) if fault == Fault::Auts => {
                        Err(IsimFailure::SyncFailure(with_wrong_mac(&auts)))
                    }
                    again => again,
                }
            }
            Fault::Res => {
                let octets: Vec<u8> = answer.res.as_bytes().iter().map(|octet| !octet).collect();
                let res = Res::new(&octets).unwrap_or(answer.res);
                Ok(IsimResponse { res, ck: answer.ck, ik: answer.ik })
            }
            _ => Ok(answer),
        }
    }

    /// Before SM7 leaves over the new set: whether it does, with what, and which way.
    pub(super) fn spoil_answer(&mut self, fault: Fault, authorization: &mut Box<str>) -> Result<(), Failure> {
        let Some(attempt) = &mut self.attempt else { return Ok(()) };
        match fault {
            Fault::Silent => return Err(Failure::Withheld),
            Fault::Replay => {
                *authorization = self.last_authorization.clone().ok_or(Failure::NotRegistered)?
            }
            Fault::ClearAnswer => attempt.via = Via::Clear,
            Fault::CallId => attempt.call_id = format!("{}-other", attempt.call_id).into(),
            _ => {}
        }
        Ok(())
    }

    /// A request that must not leave in clear.
    pub(super) fn uncovered(&self, attempt: &Attempt) -> Draft<'static> {
        let impu = self.config.impu.as_str();
        let mut draft = Draft::request(Method::Message, impu.to_owned());
        draft
            .push(Name::MaxForwards, "70")
            .push(Name::From, format!("<{impu}>;tag={}", attempt.from_tag))
            .push(Name::To, format!("<{impu}>"))
            .push(Name::CallId, attempt.call_id.to_string())
            .push(Name::CSeq, format!("{} MESSAGE", attempt.cseq))
            .body("text/plain", b"in clear".as_slice());
        draft
    }
}

/// The values of a Security header with another value of one parameter in every mechanism.
fn with(list: &str, name: &str, value: impl Fn(&str) -> String) -> String {
    let mechanism = |mechanism: &str| {
        let parameters = mechanism.split(';').map(|parameter| match parameter.split_once('=') {
            Some((found, old)) if found.trim() == name => format!("{found}={}", value(old)),
            _ => parameter.to_owned(),
        });
        parameters.collect::<Vec<_>>().join(";")
    };
    list.split(", ").map(mechanism).collect::<Vec<_>>().join(", ")
}

/// Near enough to be legal, and not the SPI or port beside it.
fn another_number(number: &str) -> String {
    number.parse::<u32>().map_or_else(|_| "4096".into(), |number| (number ^ 4).to_string())
}

/// What is left when somebody takes out every entry that encrypts; an offer that holds nothing else stays.
fn without_encryption(offer: &str) -> String {
    let plain: Vec<&str> = offer.split(", ").filter(|mechanism| mechanism.contains(";ealg=null")).collect();
    if plain.is_empty() { offer.to_owned() } else { plain.join(", ") }
}

fn with_wrong_mac(auts: &Auts) -> Auts {
    let mut octets = *auts.as_bytes();
    if let Some(last) = octets.last_mut() {
        *last ^= 1;
    }
    Auts::from_bytes(octets)
}
