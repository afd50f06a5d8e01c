//! Scenarios: what a UE does, step by step, and what must come of it. A pure parser and a pure runner; the binary
//! `ue` reads the file, carries the orders out and prints the reports.
//!
//! Where to start: [`Scenario::parse`], then [`Run`].

mod between;
mod outcome;
mod run;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use serde::Deserialize;
use sip::Method;
use sip::reginfo::ContactEvent;
use thiserror::Error;
use toml::Spanned;

use crate::core::{Call, CallAnswer, Fault, Request};

pub use self::between::Wanted;
pub use self::outcome::Outcome;
pub use self::run::{Order, Report, Run};

/// A longer file is no scenario.
const LARGEST: usize = 256 * 1024;
const MAX_STEPS: usize = 1000;
/// No step waits longer.
const MAX_SECONDS: u64 = 30 * 24 * 3600;
/// How long a NOTIFY or a registration of its own accord is waited for when the step does not say.
const PATIENCE: u64 = 60;
/// How long an answer of another user is waited for: longer than a transaction lives.
const ANSWER: u64 = 150;

/// A scenario that makes sense.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scenario {
    pub about: Option<Box<str>>,
    /// A REGISTER whose answer takes longer has failed; without it the UE's own patience counts.
    pub patience: Option<Duration>,
    /// The UE re-registers in time and tries again by itself.
    pub stay_registered: bool,
    pub steps: Vec<Action>,
}

/// One step and what must come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// In the file, from 1; 0 where there is none.
    pub line: usize,
    pub deed: Deed,
    pub expect: Expectation,
    /// It must be done in this time.
    pub within: Option<Duration>,
    /// Whether the UE must be registered when it is done.
    pub registered: Option<bool>,
}

/// What a UE does in a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    Register {
        fault: Option<Fault>,
    },
    Reregister {
        fault: Option<Fault>,
    },
    Deregister,
    Resync,
    Wait(Duration),
    Move(IpAddr),
    /// Waits for a NOTIFY that tells this of our contact.
    ExpectNotify(ContactEvent),
    /// Waits for what the UE does by itself.
    Await,
    Request(Box<Request>),
    Call(Box<Call>),
    /// These four are about the latest call.
    HangUp,
    Cancel,
    Reinvite,
    Update,
    /// Waits for a call to come in, and answers it so.
    WaitCall(Option<CallAnswer>),
    /// Waits until the latest call has ended.
    WaitEnd,
    /// Waits for a MESSAGE.
    ExpectMessage(Box<Wanted>),
}

/// What must come of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expectation {
    pub outcome: Option<Outcome>,
    /// Of the network's refusal.
    pub status: Option<u16>,
    /// Seconds: of the registration, or of the contact in the NOTIFY.
    pub expires: Option<u32>,
}

/// Why a file is no scenario. Text fits after "failed to ".
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("read line {line}: {cause}")]
pub struct ScenarioError {
    pub line: usize,
    pub cause: Box<str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    about: Option<String>,
    patience_seconds: Option<u64>,
    #[serde(default)]
    stay_registered: bool,
    #[serde(default)]
    step: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    #[serde(rename = "do")]
    deed: Spanned<String>,
    fault: Option<Spanned<String>>,
    seconds: Option<u64>,
    address: Option<IpAddr>,
    event: Option<Spanned<String>>,
    expect: Option<Spanned<String>>,
    status: Option<u16>,
    expires: Option<u32>,
    within_seconds: Option<u64>,
    registered: Option<bool>,
    to: Option<String>,
    text: Option<String>,
    package: Option<String>,
    from: Option<String>,
    preferred: Option<Vec<String>>,
    asserted: Option<Vec<String>>,
    privacy: Option<String>,
    headers: Option<BTreeMap<String, String>>,
    reliable: Option<bool>,
    answer: Option<Spanned<String>>,
}

impl Scenario {
    /// Reads a scenario file (TOML).
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        if text.len() > LARGEST {
            return Err(ScenarioError { line: 1, cause: "the file is too long".into() });
        }
        let file: File = toml::from_str(text).map_err(|error| {
            let line = line_of(text, error.span().unwrap_or_default());
            ScenarioError { line, cause: error.message().trim().into() }
        })?;
        if file.step.is_empty() || file.step.len() > MAX_STEPS {
            let cause = format!("a scenario has 1 to {MAX_STEPS} entries [[step]]");
            return Err(ScenarioError { line: 1, cause: cause.into() });
        }
        let patience =
            file.patience_seconds.map(|seconds| Duration::from_secs(seconds.clamp(1, MAX_SECONDS)));
        let steps: Result<Vec<Action>, _> = file.step.into_iter().map(|step| step.read(text)).collect();
        Ok(Self {
            about: file.about.map(Into::into),
            patience,
            stay_registered: file.stay_registered,
            steps: steps?,
        })
    }

    /// These deeds one after the other, each as it should be.
    pub fn of(deeds: impl IntoIterator<Item = Deed>) -> Self {
        let action = |deed: Deed| Action {
            line: 0,
            expect: Expectation { outcome: deed.usual_outcome(), ..Expectation::default() },
            deed,
            within: None,
            registered: None,
        };
        Self { steps: deeds.into_iter().map(action).collect(), ..Self::default() }
    }
}

impl Deed {
    /// What comes of it when nobody says otherwise.
    fn usual_outcome(&self) -> Option<Outcome> {
        match self {
            Self::Register { fault } | Self::Reregister { fault } => match fault {
                None | Some(Fault::Sqn) => Some(Outcome::Registered),
                Some(_) => None,
            },
            Self::Resync | Self::Move(_) | Self::Await => Some(Outcome::Registered),
            Self::Deregister => Some(Outcome::Deregistered),
            Self::Wait(_) | Self::ExpectNotify(_) | Self::ExpectMessage(_) => None,
            Self::Request(_) | Self::Call(_) | Self::Reinvite | Self::Update | Self::WaitCall(_) => {
                Some(Outcome::Answered)
            }
            Self::HangUp | Self::WaitEnd => Some(Outcome::Ended),
            Self::Cancel => Some(Outcome::Refused),
        }
    }

    /// Seconds it may take when nobody says otherwise. A registration has the UE's own patience.
    fn usual_patience(&self) -> Option<u64> {
        match self {
            Self::ExpectNotify(_)
            | Self::Await
            | Self::WaitCall(_)
            | Self::WaitEnd
            | Self::ExpectMessage(_) => Some(PATIENCE),
            Self::Request(_)
            | Self::Call(_)
            | Self::HangUp
            | Self::Cancel
            | Self::Reinvite
            | Self::Update => Some(ANSWER),
            Self::Register { .. }
            | Self::Reregister { .. }
            | Self::Deregister
            | Self::Resync
            | Self::Wait(_)
            | Self::Move(_) => None,
        }
    }

    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Register { .. } => "register",
            Self::Reregister { .. } => "reregister",
            Self::Deregister => "deregister",
            Self::Resync => "resync",
            Self::Wait(_) => "wait",
            Self::Move(_) => "move",
            Self::ExpectNotify(_) => "expect-notify",
            Self::Await => "await",
            Self::Request(request) => match request.method {
                Method::Message => "message",
                Method::Subscribe => "subscribe",
                _ => "options",
            },
            Self::Call(_) => "call",
            Self::HangUp => "hang-up",
            Self::Cancel => "cancel",
            Self::Reinvite => "reinvite",
            Self::Update => "update",
            Self::WaitCall(_) => "wait-call",
            Self::WaitEnd => "wait-end",
            Self::ExpectMessage(_) => "expect-message",
        }
    }
}

impl Step {
    fn read(self, text: &str) -> Result<Action, ScenarioError> {
        let at = self.deed.span();
        let wrong = |span: Range<usize>, cause: String| ScenarioError {
            line: line_of(text, span),
            cause: cause.into(),
        };
        let missing = |what: &str| wrong(at.clone(), format!("{:?} needs {what}", self.deed.get_ref()));
        let fault = match &self.fault {
            None => None,
            Some(name) => Some(name.get_ref().parse::<Fault>().map_err(|_| {
                let known = Fault::all().map(|fault| fault.to_string()).collect::<Vec<_>>().join(", ");
                wrong(name.span(), format!("no fault is called {:?}; there are {known}", name.get_ref()))
            })?),
        };
        let deed = match self.deed.get_ref().as_str() {
            "register" => Deed::Register { fault },
            "reregister" => Deed::Reregister { fault },
            "deregister" => Deed::Deregister,
            "resync" => Deed::Resync,
            "wait" => {
                let seconds = self.seconds.ok_or_else(|| missing("seconds"))?;
                Deed::Wait(Duration::from_secs(seconds.min(MAX_SECONDS)))
            }
            "move" => Deed::Move(self.address.ok_or_else(|| missing("address"))?),
            "expect-notify" => {
                let event = self.event.as_ref().ok_or_else(|| missing("event"))?;
                let found = ContactEvent::ALL.into_iter().find(|one| one.as_str() == event.get_ref());
                Deed::ExpectNotify(found.ok_or_else(|| {
                    let known = ContactEvent::ALL.map(ContactEvent::as_str).join(", ");
                    wrong(
                        event.span(),
                        format!("no event is called {:?}; there are {known}", event.get_ref()),
                    )
                })?)
            }
            "await" => Deed::Await,
            other => {
                if let Some(deed) = self.deed_between(other) {
                    let deed = deed.map_err(missing)?;
                    return self.finish(text, fault, deed);
                }
                let known = "register, reregister, deregister, resync, wait, move, expect-notify, await, message, \
                             options, subscribe, call, hang-up, cancel, reinvite, update, wait-call, wait-end \
                             and expect-message";
                return Err(wrong(at, format!("nothing is called {other:?}; there are {known}")));
            }
        };
        self.finish(text, fault, deed)
    }

    /// What must come of the deed, and whether every key means something for it.
    fn finish(self, text: &str, fault: Option<Fault>, deed: Deed) -> Result<Action, ScenarioError> {
        let at = self.deed.span();
        let wrong = |span: Range<usize>, cause: String| ScenarioError {
            line: line_of(text, span),
            cause: cause.into(),
        };
        if let Some(name) = self.answer.as_ref().filter(|name| name.get_ref().parse::<CallAnswer>().is_err())
        {
            let known = CallAnswer::NAMES.join(", ");
            return Err(wrong(
                name.span(),
                format!("no answer is called {:?}; there are {known}", name.get_ref()),
            ));
        }
        let outcome = match &self.expect {
            None => deed.usual_outcome(),
            Some(name) => Some(name.get_ref().parse::<Outcome>().map_err(|_| {
                let known = Outcome::ALL.map(Outcome::as_str).join(", ");
                wrong(name.span(), format!("no outcome is called {:?}; there are {known}", name.get_ref()))
            })?),
        };
        let has_outcome = !matches!(deed, Deed::Wait(_) | Deed::ExpectNotify(_) | Deed::ExpectMessage(_));
        let has_status = matches!(outcome, Some(Outcome::Rejected | Outcome::Answered | Outcome::Refused));
        let has_expires = outcome == Some(Outcome::Registered) || matches!(deed, Deed::ExpectNotify(_));
        for (key, given, fits) in [
            ("fault", fault.is_some(), matches!(deed, Deed::Register { .. } | Deed::Reregister { .. })),
            ("seconds", self.seconds.is_some(), matches!(deed, Deed::Wait(_))),
            ("address", self.address.is_some(), matches!(deed, Deed::Move(_))),
            ("event", self.event.is_some(), matches!(deed, Deed::ExpectNotify(_))),
            ("expect", self.expect.is_some(), has_outcome),
            ("within_seconds", self.within_seconds.is_some(), !matches!(deed, Deed::Wait(_))),
            ("status", self.status.is_some(), has_status),
            ("expires", self.expires.is_some(), has_expires),
        ]
        .into_iter()
        .chain(self.fits_between(&deed))
        {
            if given && !fits {
                let cause = format!("{key} has no meaning for {:?} with this expectation", deed.as_str());
                return Err(wrong(at, cause));
            }
        }
        let within = self.within_seconds.or(deed.usual_patience());
        Ok(Action {
            line: line_of(text, at),
            deed,
            expect: Expectation { outcome, status: self.status, expires: self.expires },
            within: within.map(|seconds| Duration::from_secs(seconds.min(MAX_SECONDS))),
            registered: self.registered,
        })
    }
}

fn line_of(text: &str, span: Range<usize>) -> usize {
    text.get(..span.start).unwrap_or_default().matches('\n').count() + 1
}
