use std::fmt;

use crate::{Algorithms, Mechanism, Policy, SecAgreeError, Setup};

/// The Security-Client header of a REGISTER: what the UE offers. One that exists has legal SPIs and ports and at
/// least one pair of algorithms that this crate knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityClient {
    mechanisms: Vec<Mechanism>,
    setup: Setup,
    algorithms: Vec<Algorithms>,
}

impl SecurityClient {
    /// From the values of all Security-Client lines, one mechanism each.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Self, SecAgreeError> {
        let mechanisms = Mechanism::parse_all(values)?;
        let (setup, algorithms) = agreed_setup(&mechanisms)?;
        Ok(Self { mechanisms, setup, algorithms: algorithms.into_iter().map(|(_, pair)| pair).collect() })
    }

    /// The offer of a UE: one mechanism for each pair of algorithms.
    pub fn offer(algorithms: &[Algorithms], setup: Setup) -> Result<Self, SecAgreeError> {
        let lines: Vec<String> = algorithms.iter().map(|pair| mechanism_line(None, *pair, &setup)).collect();
        Self::parse(lines.iter().map(String::as_str))
    }

    pub fn setup(&self) -> Setup {
        self.setup
    }

    pub fn algorithms(&self) -> &[Algorithms] {
        &self.algorithms
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
    algorithms: Vec<Algorithms>,
}

impl SecurityServer {
    /// The answer of a P-CSCF: everything its policy allows, in its order, with falling q.
    //= TS 33.203 7.2: the list is static and does not depend on the UE's offer
    pub fn answer(policy: &Policy, setup: Setup) -> Result<Self, SecAgreeError> {
        let lines: Vec<String> = policy
            .algorithms()
            .iter()
            .enumerate()
            .map(|(at, pair)| mechanism_line(Some(policy.algorithms().len() - at), *pair, &setup))
            .collect();
        Self::parse(lines.iter().map(String::as_str))
    }

    /// From the values of all Security-Server lines, one mechanism each.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Self, SecAgreeError> {
        let mechanisms = Mechanism::parse_all(values)?;
        let (setup, mut algorithms) = agreed_setup(&mechanisms)?;
        // Stable: equal q keeps the order of the list.
        algorithms.sort_by_key(|(q, _)| std::cmp::Reverse(*q));
        Ok(Self { mechanisms, setup, algorithms: algorithms.into_iter().map(|(_, pair)| pair).collect() })
    }

    pub fn setup(&self) -> Setup {
        self.setup
    }

    /// What the UE takes: the first pair of the P-CSCF's list that it supports.
    //= RFC 3329 2.3: the client picks the mechanism with the highest q that it knows
    pub fn choose(&self, supported: &[Algorithms]) -> Result<Algorithms, SecAgreeError> {
        self.algorithms
            .iter()
            .copied()
            .find(|pair| supported.contains(pair))
            .ok_or(SecAgreeError::NoCommonAlgorithm)
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

fn mechanism_line(q: Option<usize>, pair: Algorithms, setup: &Setup) -> String {
    // At most eight pairs exist, so one decimal tells them apart.
    let q = q.map(|tenths| format!("q=0.{tenths};")).unwrap_or_default();
    format!("ipsec-3gpp;{q}alg={};ealg={};prot=esp;mod=trans;{setup}", pair.alg(), pair.ealg())
}

/// The one set of SPIs and ports that all ipsec-3gpp mechanisms share, and the usable pairs with their q.
fn agreed_setup(mechanisms: &[Mechanism]) -> Result<(Setup, Vec<(u16, Algorithms)>), SecAgreeError> {
    let mut setup = None;
    let mut algorithms = Vec::new();
    let mut refused = None;
    for mechanism in mechanisms.iter().filter(|mechanism| mechanism.is_ipsec_3gpp()) {
        let own = Setup::of(mechanism)?;
        //= TS 33.203 7.2 NOTE 1 and 2: one pair of SPIs and one pair of ports
        if *setup.get_or_insert(own) != own {
            return Err(SecAgreeError::DifferentEnds);
        }
        let q = mechanism.q()?;
        match mechanism.algorithms() {
            Ok(pair) => algorithms.push((q, pair)),
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
        Some(error) if algorithms.is_empty() => Err(error),
        _ => Ok((setup, algorithms)),
    }
}

#[cfg(test)]
#[path = "offer_tests.rs"]
mod tests;
