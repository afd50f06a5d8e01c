//! A scenario that is being played.

use std::collections::VecDeque;

use serde_json::{Value, json};
use sip::Instant;

use super::{Action, Deed, Outcome, Scenario};
use crate::core::{Command, Fault, Notice, Step};

/// What the player does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    Command(Command),
    /// Nothing until the UE tells something, or this time has come.
    Pause(Option<Instant>),
    Done,
}

/// How one step of the scenario ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// From 1.
    pub number: usize,
    pub action: Action,
    /// Why it is not as it must be.
    pub fault: Option<Box<str>>,
    /// What became of the command.
    pub outcome: Option<Outcome>,
}

impl Report {
    pub fn to_json(&self) -> Value {
        json!({
            "step": "scenario",
            "number": self.number,
            "line": self.action.line,
            "do": self.action.deed.as_str(),
            "outcome": self.outcome.map(Outcome::as_str),
            "verdict": if self.fault.is_none() { "pass" } else { "fail" },
            "reason": self.fault,
        })
    }
}

/// NOTIFYs that no step has asked for yet; older ones are forgotten.
const NOTICES: usize = 64;

/// A scenario under way. Ends at the first step that is not as it must be.
#[derive(Debug)]
pub struct Run {
    actions: VecDeque<Action>,
    number: usize,
    current: Option<Current>,
    notices: VecDeque<Notice>,
    /// What the UE has done by itself since the last step.
    unasked: VecDeque<Step>,
    reports: VecDeque<Report>,
    outcome: Option<Outcome>,
    failed: bool,
}

#[derive(Debug)]
struct Current {
    action: Action,
    since: Instant,
    ordered: bool,
}

impl Run {
    pub fn new(scenario: Scenario) -> Self {
        Self {
            actions: scenario.steps.into(),
            number: 0,
            current: None,
            notices: VecDeque::new(),
            unasked: VecDeque::new(),
            reports: VecDeque::new(),
            outcome: None,
            failed: false,
        }
    }

    /// What to do now. `registered`: whether the UE is.
    pub fn poll(&mut self, now: Instant, registered: bool) -> Order {
        loop {
            if self.failed {
                return Order::Done;
            }
            let Some(current) = &mut self.current else {
                let Some(action) = self.actions.pop_front() else { return Order::Done };
                self.number += 1;
                self.current = Some(Current { action, since: now, ordered: false });
                continue;
            };
            let until = current.action.within.map(|within| current.since + within);
            let deed = current.action.deed;
            if let Deed::Wait(time) = deed {
                let until = current.since + time;
                if now < until {
                    return Order::Pause(Some(until));
                }
                self.end(None, None, registered);
                continue;
            }
            if let Some(command) = command(deed)
                && !current.ordered
            {
                if matches!(deed, Deed::Reregister { .. }) && !registered {
                    self.end(None, Some("the UE is not registered".into()), registered);
                    continue;
                }
                current.ordered = true;
                self.unasked.clear();
                return Order::Command(command);
            }
            let is_done = match deed {
                Deed::ExpectNotify(_) => self.judge_notices(registered),
                Deed::Await => self.judge_unasked(registered),
                _ => false,
            };
            if !is_done {
                match until.filter(|until| *until <= now) {
                    Some(_) => self.end(None, Some("it took too long".into()), registered),
                    None => return Order::Pause(until),
                }
            }
        }
    }

    /// The UE has told this. `registered`: whether it is now.
    pub fn hear(&mut self, now: Instant, step: &Step, registered: bool) {
        if let Step::Notified(notice) = step {
            if self.notices.len() == NOTICES {
                self.notices.pop_front();
            }
            self.notices.push_back(*notice);
            return;
        }
        let Some(outcome) = Outcome::of(step) else { return };
        let commanded = self.current.as_ref().is_some_and(|current| current.ordered);
        if !commanded {
            if self.unasked.len() == NOTICES {
                self.unasked.pop_front();
            }
            self.unasked.push_back(step.clone());
            return;
        }
        let moved = matches!(step, Step::Failed(crate::core::Failure::Moved));
        if outcome == Outcome::Lapsed || moved {
            return;
        }
        let late = self
            .current
            .as_ref()
            .is_some_and(|current| current.action.within.is_some_and(|within| now > current.since + within));
        let fault = if late { Some("it took too long".into()) } else { self.judge(step, outcome) };
        self.end(Some(outcome), fault, registered);
    }

    pub fn report(&mut self) -> Option<Report> {
        self.reports.pop_front()
    }

    /// Whether every step so far was as it must be.
    pub fn passed(&self) -> bool {
        !self.failed
    }

    /// What became of the last command.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// Why this outcome is not the expected one.
    fn judge(&self, step: &Step, outcome: Outcome) -> Option<Box<str>> {
        let expect = self.current.as_ref()?.action.expect;
        if let Some(wanted) = expect.outcome.filter(|wanted| !outcome.is(*wanted)) {
            return Some(match step {
                Step::Failed(failure) => format!("{wanted} was expected, not {outcome}: {failure}").into(),
                _ => format!("{wanted} was expected, not {outcome}").into(),
            });
        }
        match step {
            Step::Registered(registration) => differs("expires", expect.expires, Some(registration.expires)),
            Step::Failed(failure) => differs("status", expect.status, failure.status()),
            _ => None,
        }
    }

    fn judge_notices(&mut self, registered: bool) -> bool {
        let Some(current) = &self.current else { return false };
        let Deed::ExpectNotify(event) = current.action.deed else { return false };
        while let Some(notice) = self.notices.pop_front() {
            if notice.event == Some(event) {
                let fault = differs("expires", current.action.expect.expires, notice.expires);
                self.end(None, fault, registered);
                return true;
            }
        }
        false
    }

    fn judge_unasked(&mut self, registered: bool) -> bool {
        let Some(step) = self.unasked.pop_front() else { return false };
        let outcome = Outcome::of(&step);
        let fault = outcome.and_then(|outcome| self.judge(&step, outcome));
        self.end(outcome, fault, registered);
        true
    }

    fn end(&mut self, outcome: Option<Outcome>, fault: Option<Box<str>>, registered: bool) {
        let Some(Current { action, .. }) = self.current.take() else { return };
        let fault = fault.or_else(|| match action.registered {
            Some(wanted) if wanted != registered => Some(
                if registered { "the UE is still registered" } else { "the UE is not registered" }.into(),
            ),
            _ => None,
        });
        self.failed = fault.is_some();
        self.outcome = outcome.or(self.outcome);
        self.reports.push_back(Report { number: self.number, action, fault, outcome });
    }
}

fn command(deed: Deed) -> Option<Command> {
    match deed {
        Deed::Register { fault } | Deed::Reregister { fault } => {
            Some(fault.map_or(Command::Register, Command::Misbehave))
        }
        Deed::Deregister => Some(Command::Deregister),
        Deed::Resync => Some(Command::Misbehave(Fault::Sqn)),
        Deed::Move(address) => Some(Command::Move { address }),
        Deed::Wait(_) | Deed::ExpectNotify(_) | Deed::Await => None,
    }
}

fn differs<T: PartialEq + std::fmt::Display>(
    what: &str,
    wanted: Option<T>,
    found: Option<T>,
) -> Option<Box<str>> {
    let wanted = wanted?;
    match found {
        Some(found) if found == wanted => None,
        Some(found) => Some(format!("{what} is {found}, not {wanted}").into()),
        None => Some(format!("{what} is missing, not {wanted}").into()),
    }
}
