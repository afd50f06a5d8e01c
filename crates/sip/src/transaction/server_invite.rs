//! RFC 3261 17.2.1 with the Accepted state of RFC 6026: the server side of INVITE.

use super::{ServerTick, Timers, due, earlier};
use crate::Instant;
use std::time::Duration;

/// RFC 3261 17.2.1: 100 unless the transaction user answers within this time.
const TRYING: Duration = Duration::from_millis(200);
/// An INVITE nobody answers: Timer C of the proxies above is over long before.
const ABANDONED: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Proceeding,
    Completed,
    Confirmed,
    Accepted,
    Gone,
}

#[derive(Debug)]
pub(crate) struct ServerInvite {
    state: State,
    timers: Timers,
    reliable: bool,
    interval: Duration,
    trying: Option<Instant>,
    /// Timer G.
    retransmit: Option<Instant>,
    /// Timer H, I or L.
    end: Option<Instant>,
}

impl ServerInvite {
    pub(crate) fn new(now: Instant, timers: Timers, reliable: bool) -> Self {
        Self {
            state: State::Proceeding,
            timers,
            reliable,
            interval: timers.t1,
            trying: Some(now + TRYING),
            retransmit: None,
            end: Some(now + ABANDONED),
        }
    }

    /// Whether the response may leave.
    pub(crate) fn respond(&mut self, now: Instant, status: u16) -> bool {
        match (self.state, status) {
            (State::Proceeding, ..200) => {
                self.trying = None;
                self.end = Some(now + ABANDONED);
                true
            }
            (State::Proceeding, 200..300) => {
                //= RFC 6026 7.1
                self.enter(State::Accepted, Some(now + self.timers.give_up()));
                true
            }
            (State::Proceeding, _) => {
                self.enter(State::Completed, Some(now + self.timers.give_up()));
                self.retransmit = (!self.reliable).then(|| now + self.timers.t1);
                true
            }
            (State::Accepted, 200..300) => true,
            _ => false,
        }
    }

    /// Whether the ACK belongs to this transaction (to a non-2xx final).
    pub(crate) fn ack(&mut self, now: Instant) -> bool {
        if self.state == State::Completed {
            let i = if self.reliable { Duration::ZERO } else { self.timers.t4 };
            self.enter(State::Confirmed, Some(now + i));
        }
        self.state == State::Confirmed
    }

    /// Whether a repeated INVITE gets the last response again. In Accepted the transaction user repeats the 2xx.
    pub(crate) fn repeats(&self) -> bool {
        matches!(self.state, State::Proceeding | State::Completed)
    }

    pub(crate) fn tick(&mut self, now: Instant) -> ServerTick {
        if due(self.end, now) {
            let early = matches!(self.state, State::Proceeding | State::Completed);
            self.enter(State::Gone, None);
            return ServerTick::Gone { early };
        }
        if due(self.trying, now) {
            self.trying = None;
            return ServerTick::Trying;
        }
        if due(self.retransmit, now) {
            self.interval = (self.interval * 2).min(self.timers.t2);
            self.retransmit = Some(now + self.interval);
            return ServerTick::Retransmit;
        }
        ServerTick::Nothing
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        earlier(earlier(self.trying, self.retransmit), self.end)
    }

    fn enter(&mut self, state: State, end: Option<Instant>) {
        self.state = state;
        (self.trying, self.retransmit) = (None, None);
        self.end = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Instant {
        Instant::from_epoch(Duration::from_secs_f64(seconds))
    }

    #[test]
    fn sip_1_timers_g_and_h() {
        let mut machine = ServerInvite::new(Instant::ZERO, Timers::CORE, false);
        assert_eq!(machine.tick(at(0.2)), ServerTick::Trying);
        assert!(machine.respond(at(1.0), 486));
        let mut sent = Vec::new();
        let end = loop {
            let now = machine.deadline().unwrap();
            match machine.tick(now) {
                ServerTick::Retransmit => sent.push((now - at(1.0)).as_millis()),
                end => break (end, now),
            }
        };
        assert_eq!(sent[..5], [500, 1500, 3500, 7500, 11500]);
        assert_eq!(end, (ServerTick::Gone { early: true }, at(33.0)));
    }

    #[test]
    fn sip_1_timer_i_after_the_ack() {
        for (reliable, i) in [(false, 5.0), (true, 0.0)] {
            let mut machine = ServerInvite::new(Instant::ZERO, Timers::CORE, reliable);
            assert!(!machine.ack(Instant::ZERO));
            assert!(machine.respond(Instant::ZERO, 486));
            assert!(machine.ack(at(1.0)));
            assert!(machine.ack(at(1.0)));
            assert_eq!(machine.deadline(), Some(at(1.0 + i)));
            assert_eq!(machine.tick(at(1.0 + i)), ServerTick::Gone { early: false });
        }
    }

    #[test]
    fn sip_19_accepted_lets_2xx_pass_until_timer_l() {
        let mut machine = ServerInvite::new(Instant::ZERO, Timers::CORE, false);
        assert!(machine.respond(Instant::ZERO, 180) && machine.respond(Instant::ZERO, 200));
        assert!(machine.respond(at(1.0), 200));
        assert!(!machine.respond(at(1.0), 486) && !machine.repeats() && !machine.ack(at(1.0)));
        assert_eq!(machine.deadline(), Some(at(32.0)));
    }
}
