//! Users who ask and call each other: what tests have them do, and what must be left of it.

use std::time::Duration;

use sip::{Message, Method};
use ue::core::{
    Answer, Answering, Call, CallAnswer, CallId, CallStep, Command, ReceivedRequest, Request, Step,
};

use super::{Network, Node};

/// Longer than any timer of a transaction, Timer C included.
const QUIET: Duration = Duration::from_secs(10 * 60);

impl Network {
    /// Everybody registers, one after the other.
    pub(crate) fn register_all(&mut self) {
        for ue in (0u16..).take(self.ues.len()) {
            let steps = self.command(ue, Command::Register);
            assert!(matches!(steps.last(), Some(Step::Registered(_))), "UE {ue}: {steps:?}");
        }
        self.run(Duration::from_secs(60));
    }

    pub(crate) fn impu(&self, ue: u16) -> String {
        self.ues[usize::from(ue)].config().impu.to_string()
    }

    /// Sends a request outside of calls and runs until it is answered.
    pub(crate) fn ask(&mut self, ue: u16, request: Request) -> Answer {
        let steps = self
            .until(ue, request.into(), |step| matches!(step, Step::Answered { .. } | Step::NotSent { .. }));
        match steps.last() {
            Some(Step::Answered { answer, .. }) => (**answer).clone(),
            other => panic!("not sent: {other:?}"),
        }
    }

    /// Calls somebody and runs until the call is answered or refused.
    pub(crate) fn call(&mut self, ue: u16, call: Call) -> (CallId, CallStep) {
        let over = |step: &Step| match step {
            Step::Call { step, .. } => {
                matches!(step, CallStep::Answered(_) | CallStep::Refused(_) | CallStep::Failed(_))
            }
            _ => false,
        };
        match self.until(ue, call.into(), over).pop() {
            Some(Step::Call { call, step }) => (call, step),
            other => panic!("no call: {other:?}"),
        }
    }

    /// Has a UE do something, and runs until one of its steps says so, which is the last one answered.
    pub(crate) fn until(&mut self, ue: u16, command: Command, over: impl Fn(&Step) -> bool) -> Vec<Step> {
        let (from, limit) = (self.steps[usize::from(ue)].len(), self.now + Duration::from_secs(600));
        self.command_at(self.now, ue, command);
        loop {
            let steps = &self.steps[usize::from(ue)][from..];
            if let Some(at) = steps.iter().position(&over) {
                return steps[..=at].to_vec();
            }
            if !self.advance(limit) {
                panic!("no outcome within ten minutes: {:?}\n{:#?}", self.steps, self.trace);
            }
        }
    }

    /// How this UE answers from now on.
    pub(crate) fn answers(&mut self, ue: u16, answering: Answering) {
        self.command_at(self.now, ue, Command::Answer(Box::new(answering)));
        self.run(Duration::from_millis(1));
    }

    pub(crate) fn answers_with(&mut self, ue: u16, with: CallAnswer) {
        self.answers(ue, Answering { with, ..Answering::default() });
    }

    pub(crate) fn received(&self, ue: u16) -> Vec<&ReceivedRequest> {
        let received = self.steps[usize::from(ue)].iter().filter_map(|step| match step {
            Step::Received(request) => Some(&**request),
            _ => None,
        });
        received.collect()
    }

    /// What has happened to a call, at this end of it.
    pub(crate) fn call_steps(&self, ue: u16, call: CallId) -> Vec<&CallStep> {
        let steps = self.steps[usize::from(ue)].iter().filter_map(|step| match step {
            Step::Call { call: of, step } if *of == call => Some(step),
            _ => None,
        });
        steps.collect()
    }

    /// The last call of this UE.
    pub(crate) fn last_call(&self, ue: u16) -> Option<CallId> {
        self.steps[usize::from(ue)].iter().rev().find_map(|step| match step {
            Step::Call { call, .. } => Some(*call),
            _ => None,
        })
    }

    /// The requests of this method that went from one node to another.
    pub(crate) fn requests(&self, from: Node, to: Node, method: Method<'_>) -> Vec<&Message> {
        let sent = self.sent.iter().filter(|sent| (sent.from, sent.to) == (from, to));
        let messages = sent.map(|sent| &sent.message);
        messages.filter(|message| message.is_request() && message.method() == method).collect()
    }

    /// Transactions, and what is remembered beside them, at each node that holds any.
    pub(crate) fn open(&mut self) -> Vec<(Node, usize)> {
        let mut open = Vec::new();
        open.extend(
            (0u16..).zip(&self.ues).map(|(n, ue)| (Node::Ue(n), ue.open_transactions() + ue.calls())),
        );
        open.extend(
            self.pcscfs
                .iter()
                .map(|(node, one)| (*node, one.open_transactions() + one.open_relays() + one.open_dialogs())),
        );
        open.extend(self.icscfs.iter().map(|(node, one)| (*node, one.open())));
        open.extend(self.scscfs.iter().map(|(node, one)| {
            (
                *node,
                one.open_transactions() + one.open_transactions() + one.open_transactions() + one.under_way(),
            )
        }));
        open.push((Node::Partner, self.partner.open_transactions() + self.partner.calls()));
        open.retain(|(_, count)| *count > 0);
        open
    }

    /// Once all timers have run nothing is left anywhere, and nothing of a UE has crossed in clear but its REGISTERs.
    pub(crate) fn check_quiet(&mut self, what: &str) {
        self.run(QUIET);
        let open = self.open();
        assert!(open.is_empty(), "{what}: still open at {open:?}");
        for sent in &self.sent {
            let gm = matches!(sent.from, Node::Ue(_)) || matches!(sent.to, Node::Ue(_));
            let clear = gm && !sent.protected && sent.message.method() != Method::Register;
            assert!(!clear, "{what}: in clear: {:?}", sent.message);
        }
    }
}
