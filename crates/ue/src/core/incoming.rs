//! What arrives: whether it came the way it must, and what it belongs to.

use sip::{Draft, Flow, Instant, Message, Method, Name, Received};

use super::Ue;
use super::subscription::FollowUp;

impl Ue {
    pub(super) fn received(&mut self, now: Instant, flow: Flow, message: Message) {
        if message.is_request() {
            self.request_in(now, flow, message);
        } else {
            self.response_in(now, flow, message);
        }
    }

    /// A request of the network: the reg event package speaks with NOTIFY; requests between users are not served yet
    /// and answered so that nobody repeats them.
    fn request_in(&mut self, now: Instant, flow: Flow, message: Message) {
        //= TS 33.203 7.4.1a: what does not come over a set in force is discarded
        let Some(reply) = self.sets.reply_flow(&flow) else { return };
        self.heard(now, &flow);
        let (id, request) = match self.transactions.receive(now, flow, self.config.timers, message) {
            Received::Request { id, request } | Received::Cancel { id, request, .. } => (id, request),
            _ => return,
        };
        let ((status, reason), follow_up) = match request.method() {
            Method::Notify => self.notified(now, &request),
            Method::Cancel => ((481, "Call/Transaction Does Not Exist"), FollowUp::Nothing),
            _ => ((405, "Method Not Allowed"), FollowUp::Nothing),
        };
        let mut draft = Draft::reply(&request, status, reason, Some("ue"));
        if status == 405 {
            draft.push(Name::Allow, "NOTIFY");
        }
        let response = draft.finish();
        self.transactions.respond_on(now, id, reply, response);
        self.follow_up(now, follow_up);
    }

    fn heard(&mut self, now: Instant, flow: &Flow) {
        self.recovery.heard();
        let change = self.sets.heard(now, flow);
        self.outputs.extend(change);
    }

    fn response_in(&mut self, now: Instant, flow: Flow, message: Message) {
        let Some(status) = message.status() else { return };
        let for_attempt = self.attempt.as_ref().is_some_and(|attempt| {
            *attempt.call_id == *message.call_id()
                && attempt.may_be_answered(&self.config, &self.sets, &flow, status)
        });
        let for_subscription = self.subscription.as_ref().is_some_and(|subscription| {
            subscription.call_id() == message.call_id()
                && subscription.may_be_answered(&self.config, &self.sets, &flow)
        });
        if !for_attempt && !for_subscription {
            return;
        }
        if self.sets.reply_flow(&flow).is_some() {
            self.heard(now, &flow);
        }
        let timers = self.config.timers;
        let Received::Response { id, response } = self.transactions.receive(now, flow, timers, message)
        else {
            return;
        };
        if for_subscription && self.subscription.as_ref().is_some_and(|one| one.waits_for(id)) {
            if status >= 200 {
                self.subscribe_answered(now, status, &response);
            }
        } else if for_attempt && self.attempt.as_ref().is_some_and(|one| one.client == Some(id)) {
            match status {
                401 => {
                    let response = match self.fault() {
                        Some(fault) => fault.on_the_way(response),
                        None => response,
                    };
                    self.challenged(now, &response);
                }
                200.. => self.answered(now, status, &response),
                _ => {}
            }
        }
    }
}
