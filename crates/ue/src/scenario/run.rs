//! A scenario that is being played.

use std::collections::VecDeque;

use serde_json::{Value, json};
use sip::Instant;

use super::between::answering;
use super::{Action, Deed, Outcome, Scenario};
use crate::core::{CallId, CallStep, Command, Fault, Notice, ReceivedRequest, Step};

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
    /// MESSAGEs that no step has asked for yet.
    messages: VecDeque<ReceivedRequest>,
    /// What has happened to calls since a step asked for it.
    calls: VecDeque<(CallId, CallStep)>,
    /// The latest call, and the latest that came in.
    call: Option<CallId>,
    incoming: Option<CallId>,
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
            messages: VecDeque::new(),
            calls: VecDeque::new(),
            call: None,
            incoming: None,
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
            let deed = current.action.deed.clone();
            if let Deed::Wait(time) = deed {
                let until = current.since + time;
                if now < until {
                    return Order::Pause(Some(until));
                }
                self.end(None, None, registered);
                continue;
            }
            if !current.ordered
                && let Some(command) = command(&deed, self.call)
            {
                if matches!(deed, Deed::Reregister { .. }) && !registered {
                    self.end(None, Some("the UE is not registered".into()), registered);
                    continue;
                }
                current.ordered = true;
                self.unasked.clear();
                if !deed.waits_for_calls() {
                    self.calls.clear();
                }
                return Order::Command(command);
            }
            let is_done = match deed {
                Deed::ExpectNotify(_) => self.judge_notices(registered),
                Deed::Await => self.judge_unasked(registered),
                Deed::ExpectMessage(_) => self.judge_messages(registered),
                Deed::WaitCall(_) | Deed::WaitEnd => self.judge_calls(registered),
                Deed::HangUp | Deed::Cancel | Deed::Reinvite | Deed::Update if self.call.is_none() => {
                    self.end(None, Some("there is no call".into()), registered);
                    true
                }
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
        if self.hear_users(now, step, registered) {
            return;
        }
        let Some(outcome) = Outcome::of(step) else { return };
        if self.current.as_ref().is_some_and(|current| current.action.deed.is_between_users()) {
            return;
        }
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
        self.conclude(now, step, outcome, registered);
    }

    /// The command of the current step has come to this.
    fn conclude(&mut self, now: Instant, step: &Step, outcome: Outcome, registered: bool) {
        let late = self
            .current
            .as_ref()
            .is_some_and(|current| current.action.within.is_some_and(|within| now > current.since + within));
        let fault = if late { Some("it took too long".into()) } else { self.judge(step, outcome) };
        self.end(Some(outcome), fault, registered);
    }

    /// Whether it was something between users.
    fn hear_users(&mut self, now: Instant, step: &Step, registered: bool) -> bool {
        match step {
            Step::Received(request) => {
                remember(&mut self.messages, (**request).clone());
                return true;
            }
            Step::Call { call, step } => {
                self.call = Some(*call);
                if *step == CallStep::Incoming {
                    self.incoming = Some(*call);
                }
                remember(&mut self.calls, (*call, step.clone()));
            }
            Step::Answered { .. } | Step::NotSent { .. } => {}
            _ => return false,
        }
        let Some(current) = self.current.as_ref().filter(|current| current.ordered) else { return true };
        if current.action.deed.waits_for_calls() {
            return true;
        }
        let Some(outcome) = Outcome::between_users(step) else { return true };
        let rings = current.action.expect.outcome == Some(Outcome::Ringing);
        if concludes(&current.action.deed, step, rings) {
            self.conclude(now, step, outcome, registered);
        }
        true
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
                Step::Answered { .. } | Step::NotSent { .. } | Step::Call { .. } => {
                    format!("{wanted} was expected, not {outcome}: {step}").into()
                }
                _ => format!("{wanted} was expected, not {outcome}").into(),
            });
        }
        match step {
            Step::Registered(registration) => differs("expires", expect.expires, Some(registration.expires)),
            Step::Failed(failure) => differs("status", expect.status, failure.status()),
            Step::Answered { answer, .. } => differs("status", expect.status, Some(answer.status)),
            Step::Call { step, .. } => differs("status", expect.status, step.status()),
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

    fn judge_messages(&mut self, registered: bool) -> bool {
        let Some(current) = &self.current else { return false };
        let Deed::ExpectMessage(wanted) = current.action.deed.clone() else { return false };
        while let Some(request) = self.messages.pop_front() {
            if wanted.is(&request) {
                self.end(None, wanted.fault(&request), registered);
                return true;
            }
        }
        false
    }

    fn judge_calls(&mut self, registered: bool) -> bool {
        let Some(Current { action, .. }) = &self.current else { return false };
        let (wanted, for_incoming) = (action.expect.outcome, matches!(action.deed, Deed::WaitCall(_)));
        while let Some((call, step)) = self.calls.pop_front() {
            let step = Step::Call { call, step };
            let Some(outcome) = Outcome::between_users(&step) else { continue };
            let counts = match for_incoming {
                true => {
                    Some(call) == self.incoming && (outcome != Outcome::Ringing || wanted == Some(outcome))
                }
                false => outcome == Outcome::Ended,
            };
            if counts {
                let fault = self.judge(&step, outcome);
                self.end(Some(outcome), fault, registered);
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

/// Older ones are forgotten.
fn remember<T>(list: &mut VecDeque<T>, one: T) {
    if list.len() == NOTICES {
        list.pop_front();
    }
    list.push_back(one);
}

/// Whether this is what the command comes to. `rings`: it is enough that it rings.
fn concludes(deed: &Deed, step: &Step, rings: bool) -> bool {
    let Step::Call { step, .. } = step else { return matches!(deed, Deed::Request(_)) };
    match (deed, step) {
        (_, CallStep::Failed(_)) => deed.is_about_calls(),
        (Deed::Call(_), CallStep::Ringing { .. }) => rings,
        (Deed::Call(_), CallStep::Answered(_)) => true,
        (Deed::Call(_) | Deed::HangUp | Deed::Cancel, CallStep::Refused(_)) => true,
        (Deed::HangUp, CallStep::Declined { .. }) => true,
        (Deed::Reinvite | Deed::Update, CallStep::Changed { .. }) => true,
        (_, CallStep::Ended { .. }) => deed.is_about_calls(),
        _ => false,
    }
}

impl Deed {
    fn is_about_calls(&self) -> bool {
        matches!(self, Self::Call(_) | Self::HangUp | Self::Cancel | Self::Reinvite | Self::Update)
            || self.waits_for_calls()
    }

    fn waits_for_calls(&self) -> bool {
        matches!(self, Self::WaitCall(_) | Self::WaitEnd)
    }

    fn is_between_users(&self) -> bool {
        self.is_about_calls() || matches!(self, Self::Request(_) | Self::ExpectMessage(_))
    }
}

fn command(deed: &Deed, call: Option<CallId>) -> Option<Command> {
    Some(match deed {
        Deed::Register { fault } | Deed::Reregister { fault } => {
            fault.map_or(Command::Register, Command::Misbehave)
        }
        Deed::Deregister => Command::Deregister,
        Deed::Resync => Command::Misbehave(Fault::Sqn),
        Deed::Move(address) => Command::Move { address: *address },
        Deed::Request(request) => Command::Request(request.clone()),
        Deed::Call(call) => Command::Call(call.clone()),
        Deed::HangUp => Command::HangUp { call: call? },
        Deed::Cancel => Command::Cancel { call: call? },
        Deed::Reinvite => Command::Reinvite { call: call? },
        Deed::Update => Command::Update { call: call? },
        Deed::WaitCall(answer) => answering(answer.clone()?),
        Deed::Wait(_) | Deed::ExpectNotify(_) | Deed::ExpectMessage(_) | Deed::Await | Deed::WaitEnd => {
            return None;
        }
    })
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
