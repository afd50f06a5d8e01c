//! What arrives: whether it came the way it must, and what it belongs to.

use sip::{ClientId, Draft, Flow, Instant, Message, Method, Received, ServerId};

use super::Ue;
use super::asked::Asked;

impl Ue {
    pub(super) fn received(&mut self, now: Instant, flow: Flow, message: Message) {
        if message.is_request() {
            self.request_in(now, flow, message);
        } else {
            self.response_in(now, flow, message);
        }
    }

    fn request_in(&mut self, now: Instant, flow: Flow, message: Message) {
        //= TS 33.203 7.4.1a: what does not come over a set in force is discarded
        let Some(reply) = self.sets.reply_flow(&flow) else { return };
        self.heard(now, &flow);
        match self.transactions.receive(now, flow, self.config.timers, message) {
            Received::Request { id, request } => {
                self.transactions.reply_over(id, reply);
                if request.method() == Method::Notify {
                    let asked = Asked { id, flow, request };
                    if !self.watch_notified(now, &asked) {
                        self.notify_in(now, id, reply, &asked.request);
                    }
                    return;
                }
                self.asked(now, Asked { id, flow, request });
            }
            Received::Cancel { id, invite, request } => {
                self.transactions.reply_over(id, reply);
                self.cancelled(now, &Asked { id, flow, request }, invite);
            }
            Received::Ack { request } => self.acked(now, &request),
            _ => {}
        }
    }

    /// The reg event package speaks.
    fn notify_in(&mut self, now: Instant, id: ServerId, reply: Flow, request: &Message) {
        let ((status, reason), follow_up) = self.notified(now, request);
        let response = Draft::reply(request, status, reason, Some("ue")).finish();
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
        // Between users an answer may come over any set in force: it may be older than the current one.
        let over_set = self.sets.reply_flow(&flow).is_some();
        if !for_attempt && !for_subscription && (!over_set || self.is_of_registration(message.call_id())) {
            return;
        }
        if over_set {
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
        } else {
            self.user_answered(now, id, status, &response);
        }
    }

    /// Whether this names our REGISTER or our own subscription: their answers come one way only.
    fn is_of_registration(&self, call_id: &str) -> bool {
        self.attempt.as_ref().is_some_and(|attempt| *attempt.call_id == *call_id)
            || self.subscription.as_ref().is_some_and(|subscription| subscription.call_id() == call_id)
    }

    fn user_answered(&mut self, now: Instant, id: ClientId, status: u16, response: &Message) {
        if !self.page_answered(now, id, status, response) {
            self.notify_answered(id, status);
            self.call_answered(now, id, status, response);
        }
    }
}
