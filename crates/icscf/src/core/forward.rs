//! To an S-CSCF, to the next when it does not take the request, and the answer back.

use std::net::SocketAddr;

use rand_chacha::rand_core::Rng;
use sip::routing::{self, branch};
use sip::{ClientId, Draft, Flow, Instant, Message, Method, Name, Transport};

use super::{Event, Forwarded, ICscf, Output, Task};
use crate::pool::{Choice, Outcome, Wanted};
use crate::{Refusal, SCscf};

/// A request over this must not leave by UDP.
//= RFC 3261 18.1.1
const UDP_LIMIT: usize = 1300;

impl ICscf {
    /// To the next S-CSCF that may take it.
    pub(super) fn forward(&mut self, now: Instant, task: Task) {
        let Some(wanted) = &task.wanted else { return };
        let draw = self.rng.next_u64();
        match self.pool.choose(now, wanted, &task.tried, draw) {
            Some(choice) => self.forward_to(now, task, choice, None),
            None => self.choose_again(now, task),
        }
    }

    /// The S-CSCF the HSS has stored is gone, or is none of ours: another one that fits takes the user, once.
    fn choose_again(&mut self, now: Instant, task: Task) {
        let Task { server, message, question, tried, wanted, busy } = task;
        let another = question.clone().for_another();
        if let (Some(question), Some(Wanted::Named(_))) = (another, &wanted) {
            return self.ask(now, Task { server, message, question, tried, wanted: None, busy });
        }
        //= RFC 3261 16.7: a 503 of one server says nothing about us
        let refusal = if busy { Refusal::AllBusy } else { Refusal::NoSCscf };
        self.refuse(now, server, &message, refusal);
    }

    /// `instead`: the transport, where the one that would be used has failed.
    fn forward_to(&mut self, now: Instant, task: Task, choice: Choice, instead: Option<Transport>) {
        let Some(s_cscf) = self.pool.get(choice).cloned() else { return };
        let branch = branch(self.rng.next_u64(), self.rng.next_u64());
        let prepared = self.toward(&task.message, &s_cscf, &branch, instead);
        let (message, flow) = match prepared {
            Ok(prepared) => prepared,
            Err(refusal) => return self.refuse(now, task.server, &task.message, refusal),
        };
        // RFC 3261 18.1.1: what left over TCP for its size alone may go by UDP where TCP is refused.
        let may_fall_back =
            flow.transport == Transport::Tcp && s_cscf.transport.is_none() && instead.is_none();
        match self.transactions.request(now, flow, self.config.timers, message) {
            Ok(client) => {
                let impu = task.question.impu().clone();
                self.event(Event::Forwarded { impu, to: s_cscf.name });
                self.pool.sent(choice);
                let deadline = now + self.config.patience;
                self.deadlines.insert((deadline, client));
                self.forwarded.insert(client, Forwarded { task, choice, deadline, may_fall_back });
            }
            Err(_) => self.refuse(now, task.server, &task.message, Refusal::Overloaded),
        }
    }

    /// SM3 and SM9, and other requests.
    fn toward(
        &self,
        request: &Message,
        s_cscf: &SCscf,
        branch: &str,
        instead: Option<Transport>,
    ) -> Result<(Message, Flow), Refusal> {
        let mut draft = Draft::forward(request);
        routing::consume_routes(request, &mut draft, |uri| {
            uri.host.ip() == Some(self.config.address.ip())
                && uri.port.unwrap_or(5060) == self.config.address.port()
        })?;
        if request.method() == Method::Register {
            //= TS 24.229 5.3.1.2: the Request-URI becomes the S-CSCF's
            draft.set_request_uri(s_cscf.name.as_str().to_owned());
        } else {
            //= TS 24.229 5.3.2.1: the S-CSCF becomes the topmost Route
            draft.push_front(Name::Route, format!("<{}>", loose(s_cscf.name.as_str())));
        }
        draft.set(Name::MaxForwards, routing::max_forwards(request)?.to_string());
        let address = self.config.address;
        let via = |transport: Transport| format!("SIP/2.0/{} {address};branch={branch}", transport.as_str());
        let wanted = instead.or(s_cscf.transport);
        if wanted != Some(Transport::Tcp) {
            draft.push_front(Name::Via, via(Transport::Udp));
            let message = draft.finish();
            if wanted.is_some() || message.bytes().len() <= UDP_LIMIT {
                return Ok((message, Flow::udp(address, s_cscf.address)));
            }
            draft.remove_first_value(Name::Via);
        }
        draft.push_front(Name::Via, via(Transport::Tcp));
        let any_port = SocketAddr::new(address.ip(), 0);
        Ok((draft.finish(), Flow::tcp(any_port, s_cscf.address)))
    }

    pub(super) fn answered(&mut self, now: Instant, id: ClientId, response: &Message) {
        // Of one that has been passed over it comes too late: another S-CSCF has the request.
        let Some(status) = response.status() else { return };
        if status < 200 {
            if let Some(forwarded) = self.forwarded.get(&id) {
                // It lives and has work to do: from now on the transaction's own timer counts.
                self.deadlines.remove(&(forwarded.deadline, id));
                let choice = forwarded.choice;
                if self.pool.lives(choice) {
                    self.back_in(choice);
                }
            }
            return;
        }
        let Some(forwarded) = self.take(id) else { return };
        if status == 503 {
            let seconds = response.first(Name::RetryAfter).and_then(leading_number);
            return self.passed(now, forwarded, Outcome::Busy(seconds));
        }
        //= TS 24.229 5.3.1.2: 3xx and 480 to a REGISTER mean another S-CSCF
        let elsewhere = matches!(status, 300..400 | 480);
        if elsewhere && forwarded.task.message.method() == Method::Register {
            return self.passed(now, forwarded, Outcome::Answered);
        }
        let Forwarded { task, choice, .. } = forwarded;
        if self.pool.ended(now, choice, Outcome::Answered) {
            self.back_in(choice);
        }
        let mut draft = Draft::forward(response);
        draft.remove_first_value(Name::Via);
        self.transactions.respond(now, task.server, draft.finish());
    }

    /// The transaction failed. `refused`: the transport did, at once.
    pub(super) fn failed(&mut self, now: Instant, id: ClientId, refused: bool) {
        let Some(forwarded) = self.take(id) else { return };
        if refused && forwarded.may_fall_back {
            let Forwarded { task, choice, .. } = forwarded;
            self.pool.ended_untold(choice);
            return self.forward_to(now, task, choice, Some(Transport::Udp));
        }
        self.passed(now, forwarded, Outcome::Silent);
    }

    /// S-CSCFs that have not said a word in time.
    pub(super) fn run_deadlines(&mut self, now: Instant) {
        while let Some((at, id)) = self.deadlines.first().copied()
            && at <= now
        {
            self.deadlines.pop_first();
            self.failed(now, id, false);
        }
    }

    fn take(&mut self, id: ClientId) -> Option<Forwarded> {
        let forwarded = self.forwarded.remove(&id)?;
        self.deadlines.remove(&(forwarded.deadline, id));
        Some(forwarded)
    }

    fn passed(&mut self, now: Instant, forwarded: Forwarded, outcome: Outcome) {
        let Forwarded { mut task, choice, .. } = forwarded;
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
        task.tried.push(choice);
        task.busy |= matches!(outcome, Outcome::Busy(_));
        self.forward(now, task);
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
