//! To an S-CSCF, and to the next when it does not take the request.

use std::sync::Arc;

use rand_chacha::rand_core::Rng;
use sip::proxy::{Cause, Failure};
use sip::{ClientId, Draft, Hop, Instant, Message, Method, Name, Relay};

use super::{Event, ICscf, Output, Passage, Search, Task, Way};
use crate::pool::{Choice, Outcome, Wanted};
use crate::{Refusal, SCscf};

impl ICscf {
    /// To the next S-CSCF that may take it.
    pub(super) fn forward(&mut self, now: Instant, task: Task, search: Search) {
        let Some(wanted) = &search.wanted else { return };
        let draw = self.rng.next_u64();
        match self.pool.choose(now, wanted, &search.tried, draw) {
            Some(choice) => self.forward_to(now, task, search, choice),
            None => self.choose_again(now, task, search),
        }
    }

    /// The S-CSCF the HSS has stored is gone, or is none of ours: another one that fits takes the user, once.
    fn choose_again(&mut self, now: Instant, task: Task, search: Search) {
        let another = search.question.clone().for_another();
        if let (Some(question), Some(Wanted::Named(_))) = (another, &search.wanted) {
            return self.locate(now, task, Search { question, wanted: None, ..search });
        }
        //= RFC 3261 16.7: a 503 of one server says nothing about us
        let refusal = if search.busy { Refusal::AllBusy } else { Refusal::NoSCscf };
        self.refuse(now, task.server, &task.request, refusal);
    }

    fn forward_to(&mut self, now: Instant, task: Task, search: Search, choice: Choice) {
        let Some(s_cscf) = self.pool.get(choice).cloned() else { return };
        let hop = match self.toward(&task, &s_cscf) {
            Ok(hop) => hop,
            Err(refusal) => return self.refuse(now, task.server, &task.request, refusal),
        };
        let impu = search.question.impu().clone();
        let (server, request) = (task.server, task.request.clone());
        let context = Passage { task, way: Way::SCscf(Box::new(search)) };
        match self.proxy.forward(now, &mut self.transactions, Relay { server, request, context }, hop) {
            Ok(client) => {
                self.event(Event::Forwarded { impu, to: s_cscf.name });
                self.pool.sent(choice);
                self.watch.asked(client, choice, now + self.config.patience);
            }
            Err(full) => {
                let relay = full.0;
                self.refuse(now, relay.server, &relay.request, Refusal::Overloaded);
            }
        }
    }

    /// SM3 and SM9, and other requests.
    fn toward(&mut self, task: &Task, s_cscf: &SCscf) -> Result<Hop, Refusal> {
        let mut draft = Draft::forward(&task.message);
        if task.message.method() == Method::Register {
            //= TS 24.229 5.3.1.2: the Request-URI becomes the S-CSCF's
            draft.set_request_uri(s_cscf.name.as_str().to_owned());
        } else {
            //= TS 24.229 5.3.2.1: the S-CSCF becomes the topmost Route
            draft.push_front(Name::Route, format!("<{}>", loose(s_cscf.name.as_str())));
        }
        let message = draft.finish();
        self.inward(&task.request, &message, &task.origin, s_cscf.address, s_cscf.transport)
    }

    /// Somebody has answered: an S-CSCF that does so lives.
    pub(super) fn heard(&mut self, id: ClientId) {
        if let Some(choice) = self.watch.spoke(id)
            && self.pool.lives(choice)
        {
            self.back_in(choice);
        }
    }

    /// A final answer of an S-CSCF. Answers whether the request goes to another one.
    pub(super) fn passed_over(
        &mut self,
        now: Instant,
        id: ClientId,
        relay: &Arc<Relay<Passage>>,
        response: &Message,
    ) -> bool {
        let (Some(choice), Some(status)) = (self.watch.ended(id), response.status()) else { return false };
        //= TS 24.229 5.3.1.2: 3xx and 480 to a REGISTER mean another S-CSCF
        let elsewhere = matches!(status, 300..400 | 480) && relay.request.method() == Method::Register;
        if status == 503 {
            let seconds = response.first(Name::RetryAfter).and_then(leading_number);
            self.next(now, &relay.context, choice, Outcome::Busy(seconds));
        } else if elsewhere {
            self.next(now, &relay.context, choice, Outcome::Answered);
        } else if self.pool.ended(now, choice, Outcome::Answered) {
            self.back_in(choice);
        }
        status == 503 || elsewhere
    }

    /// The request got no answer. Answers whether it goes to another S-CSCF.
    pub(super) fn silent(&mut self, now: Instant, id: ClientId, failure: &Failure<Passage>) -> bool {
        let Some(choice) = self.watch.ended(id) else { return false };
        if failure.cause == Cause::Cancelled {
            self.pool.ended_untold(choice);
            return false;
        }
        self.next(now, &failure.relay.context, choice, Outcome::Silent);
        true
    }

    /// S-CSCFs that have not said a word in time.
    pub(super) fn run_deadlines(&mut self, now: Instant) {
        while let Some(id) = self.watch.overdue(now) {
            let choice = self.watch.ended(id);
            let relay = self.proxy.withdraw(&mut self.transactions, id);
            if let (Some(choice), Some(relay)) = (choice, relay) {
                self.next(now, &relay.context, choice, Outcome::Silent);
            }
        }
    }

    fn next(&mut self, now: Instant, passage: &Passage, choice: Choice, outcome: Outcome) {
        let changed = self.pool.ended(now, choice, outcome);
        let Some(name) = self.pool.get(choice).map(|s_cscf| s_cscf.name.clone()) else { return };
        match outcome {
            Outcome::Answered if changed => self.back_in(choice),
            Outcome::Busy(_) | Outcome::Silent if changed => {
                self.event(Event::LeftOut { name: name.clone(), busy: outcome != Outcome::Silent });
            }
            _ => {}
        }
        self.event(Event::Passed { name });
        let Way::SCscf(search) = &passage.way else { return };
        let mut search = Search::clone(search);
        search.tried.push(choice);
        search.busy |= matches!(outcome, Outcome::Busy(_));
        self.forward(now, passage.task.clone(), search);
    }

    fn back_in(&mut self, choice: Choice) {
        if let Some(name) = self.pool.get(choice).map(|s_cscf| s_cscf.name.clone()) {
            self.outputs.push_back(Output::Event(Event::BackIn { name }));
        }
    }
}

/// A Route entry of a server's URI.
fn loose(uri: &str) -> String {
    let is_loose = sip::Uri::parse(uri).is_ok_and(|uri| uri.lr());
    if is_loose { uri.to_owned() } else { format!("{uri};lr") }
}

/// The seconds of a Retry-After, which may have a comment and parameters behind them.
fn leading_number(value: &str) -> Option<u32> {
    let digits = value.trim_start();
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end).and_then(sip::header::delta_seconds)
}
