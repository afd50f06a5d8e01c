use std::fmt;

use crate::{Algorithms, Mechanism, Mode, Policy, SecAgreeError, Setup};

/// The Security-Client header of a REGISTER: what the UE offers. One that exists has legal SPIs and ports and at
/// least one pair of algorithms and mode that this crate knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityClient {
    mechanisms: Vec<Mechanism>,
    setup: Setup,
    proposals: Proposals,
}

impl SecurityClient {
    /// From the values of all Security-Client lines, one mechanism each.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Self, SecAgreeError> {
        let mechanisms = Mechanism::parse_all(values)?;
        let (setup, proposals) = agreed_setup(&mechanisms)?;
        Ok(Self { mechanisms, setup, proposals: Proposals::of(proposals) })
    }

    /// The offer of a UE: one mechanism for each pair of algorithms.
    pub fn offer(algorithms: &[Algorithms], setup: Setup) -> Result<Self, SecAgreeError> {
        Self::offer_in(&[Mode::Trans], algorithms, setup)
    }

    /// The offer of a UE: one mechanism for each pair of algorithms in each mode.
    pub fn offer_in(modes: &[Mode], algorithms: &[Algorithms], setup: Setup) -> Result<Self, SecAgreeError> {
        let proposals = algorithms.iter().flat_map(|pair| modes.iter().map(move |mode| (*pair, *mode)));
        let lines: Vec<String> =
            proposals.map(|(pair, mode)| mechanism_line(None, pair, mode, &setup)).collect();
        Self::parse(lines.iter().map(String::as_str))
    }

    pub fn setup(&self) -> Setup {
        self.setup
    }

    /// What is offered for a way without a NAT.
    pub fn algorithms(&self) -> &[Algorithms] {
        self.algorithms_in(Mode::Trans)
    }

    pub fn algorithms_in(&self, mode: Mode) -> &[Algorithms] {
        self.proposals.of_mode(mode)
    }

    /// The first protected REGISTER must repeat the offer of the first REGISTER.
    //= TS 33.203 7.2: the Security-Client of SM7 must equal that of SM1
    pub fn verify(&self, repeated: &Self) -> Result<(), SecAgreeError> {
        if self.mechanisms == repeated.mechanisms {
            Ok(())
        } else {
            Err(SecAgreeError::SecurityClientMismatch)
        }
    }
}

impl fmt::Display for SecurityClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(&self.mechanisms, f)
    }
}

/// The Security-Server header of a 401: the P-CSCF's list, whatever the UE offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityServer {
    mechanisms: Vec<Mechanism>,
    setup: Setup,
    /// Highest q first.
    proposals: Proposals,
}

impl SecurityServer {
    /// The answer of a P-CSCF: everything its policy allows, in its order, with falling q.
    //= TS 33.203 7.2: the list is static and does not depend on the UE's offer
    pub fn answer(policy: &Policy, setup: Setup) -> Result<Self, SecAgreeError> {
        let lines: Vec<String> =
            policy.entries().map(|(q, pair, mode)| mechanism_line(Some(&q), pair, mode, &setup)).collect();
        Self::parse(lines.iter().map(String::as_str))
    }

    /// From the values of all Security-Server lines, one mechanism each.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Self, SecAgreeError> {
        let mechanisms = Mechanism::parse_all(values)?;
        let (setup, mut proposals) = agreed_setup(&mechanisms)?;
        // Stable: equal q keeps the order of the list.
        proposals.sort_by_key(|proposal| std::cmp::Reverse(proposal.q));
        Ok(Self { mechanisms, setup, proposals: Proposals::of(proposals) })
    }

    pub fn setup(&self) -> Setup {
        self.setup
    }

    /// What the UE takes where no NAT hides it: the first pair of the P-CSCF's list that it supports.
    pub fn choose(&self, supported: &[Algorithms]) -> Result<Algorithms, SecAgreeError> {
        self.choose_in(Mode::Trans, supported)
    }

    /// What the UE takes in a mode.
    //= RFC 3329 2.3: the client picks the mechanism with the highest q that it knows
    pub fn choose_in(&self, mode: Mode, supported: &[Algorithms]) -> Result<Algorithms, SecAgreeError> {
        let listed = self.proposals.of_mode(mode);
        //= TS 33.203 Annex M: a UE behind a NAT gives up where the P-CSCF lists no UDP-enc-tun
        if mode == Mode::UdpEncTun && listed.is_empty() {
            return Err(SecAgreeError::NoUdpEncTun);
        }
        let common = listed.iter().copied().find(|pair| supported.contains(pair));
        common.ok_or(SecAgreeError::NoCommonAlgorithm)
    }

    /// Whether the UE echoed this list unchanged.
    //= TS 33.203 7.2: the P-CSCF checks Security-Verify against the Security-Server it sent
    pub fn verify(&self, echoed: &SecurityVerify) -> Result<(), SecAgreeError> {
        if self.mechanisms == echoed.0 { Ok(()) } else { Err(SecAgreeError::SecurityVerifyMismatch) }
    }
}

impl fmt::Display for SecurityServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(&self.mechanisms, f)
    }
}

/// The Security-Verify header: the UE's copy of the Security-Server it received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityVerify(Vec<Mechanism>);

impl SecurityVerify {
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Self, SecAgreeError> {
        Mechanism::parse_all(values).map(Self)
    }

    pub fn echo(server: &SecurityServer) -> Self {
        Self(server.mechanisms.clone())
    }
}

impl fmt::Display for SecurityVerify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(&self.0, f)
    }
}

fn list(mechanisms: &[Mechanism], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (at, mechanism) in mechanisms.iter().enumerate() {
        write!(f, "{}{mechanism}", if at == 0 { "" } else { ", " })?;
    }
    Ok(())
}

fn mechanism_line(q: Option<&str>, pair: Algorithms, mode: Mode, setup: &Setup) -> String {
    let q = q.map(|q| format!("q={q};")).unwrap_or_default();
    format!("ipsec-3gpp;{q}alg={};ealg={};prot=esp;mod={mode};{setup}", pair.alg(), pair.ealg())
}

/// The usable part of one mechanism.
struct Proposal {
    q: u16,
    mode: Mode,
    algorithms: Algorithms,
}

/// The usable pairs of each mode, in the order of the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Proposals {
    trans: Vec<Algorithms>,
    udp_enc_tun: Vec<Algorithms>,
}

impl Proposals {
    fn of(list: Vec<Proposal>) -> Self {
        let mut all = Self::default();
        for Proposal { mode, algorithms, .. } in list {
            match mode {
                Mode::Trans => all.trans.push(algorithms),
                Mode::UdpEncTun => all.udp_enc_tun.push(algorithms),
            }
        }
        all
    }

    fn of_mode(&self, mode: Mode) -> &[Algorithms] {
        match mode {
            Mode::Trans => &self.trans,
            Mode::UdpEncTun => &self.udp_enc_tun,
        }
    }
}

/// The one set of SPIs and ports that all ipsec-3gpp mechanisms share, and what they propose.
fn agreed_setup(mechanisms: &[Mechanism]) -> Result<(Setup, Vec<Proposal>), SecAgreeError> {
    let mut setup = None;
    let mut proposals = Vec::new();
    let mut refused = None;
    for mechanism in mechanisms.iter().filter(|mechanism| mechanism.is_ipsec_3gpp()) {
        let own = Setup::of(mechanism)?;
        //= TS 33.203 7.2 NOTE 1 and 2: one pair of SPIs and one pair of ports
        if *setup.get_or_insert(own) != own {
            return Err(SecAgreeError::DifferentEnds);
        }
        let q = mechanism.q()?;
        match mechanism.proposal() {
            Ok((mode, algorithms)) => proposals.push(Proposal { q, mode, algorithms }),
            // A missing alg is bad syntax; an algorithm or mode we do not know leaves the others usable.
            Err(
                error @ (SecAgreeError::MissingParameter { .. } | SecAgreeError::RepeatedParameter { .. }),
            ) => {
                return Err(error);
            }
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    let setup = setup.ok_or(SecAgreeError::NoIpsec3gpp)?;
    match refused {
        Some(error) if proposals.is_empty() => Err(error),
        _ => Ok((setup, proposals)),
    }
}

#[cfg(test)]
#[path = "offer_tests.rs"]
mod tests;
