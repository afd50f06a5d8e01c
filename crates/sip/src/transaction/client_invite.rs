//! RFC 3261 17.1.1 with the Accepted state of RFC 6026: the client side of INVITE.

use super::{ClientTick, Delivery, Timers, due, earlier};
use crate::Instant;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Calling,
    Proceeding,
    Completed,
    Accepted,
    Gone,
}

#[derive(Debug)]
pub(crate) struct ClientInvite {
    state: State,
    timers: Timers,
    reliable: bool,
    interval: Duration,
    /// Timer A.
    retransmit: Option<Instant>,
    /// Timer B, then D or M. In Proceeding there is none: Timer C belongs to the proxy above.
    end: Option<Instant>,
}

impl ClientInvite {
    pub(crate) fn new(now: Instant, timers: Timers, reliable: bool) -> Self {
        Self {
            state: State::Calling,
            timers,
            reliable,
            interval: timers.t1,
            retransmit: (!reliable).then(|| now + timers.t1),
            end: Some(now + timers.give_up()),
        }
    }

    pub(crate) fn response(&mut self, now: Instant, status: u16) -> Delivery {
        match (self.state, status) {
            (State::Calling | State::Proceeding, ..200) => {
                self.enter(State::Proceeding, None);
                Delivery::Pass
            }
            (State::Calling | State::Proceeding, 200..300) => {
                //= RFC 6026 7.2
                self.enter(State::Accepted, Some(now + self.timers.give_up()));
                Delivery::Pass
            }
            (State::Calling | State::Proceeding, _) => {
                let d = if self.reliable { Duration::ZERO } else { self.timers.d() };
                self.enter(State::Completed, Some(now + d));
                Delivery::PassAndAck
            }
            (State::Accepted, 200..300) => Delivery::Pass,
            (State::Completed, 300..) => Delivery::Ack,
            _ => Delivery::Absorb,
        }
    }

    pub(crate) fn tick(&mut self, now: Instant) -> ClientTick {
        if due(self.end, now) {
            let timed_out = self.state == State::Calling;
            self.enter(State::Gone, None);
            return if timed_out { ClientTick::TimedOut } else { ClientTick::Gone };
        }
        if due(self.retransmit, now) {
            self.interval *= 2;
            self.retransmit = Some(now + self.interval);
            return ClientTick::Retransmit;
        }
        ClientTick::Nothing
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        earlier(self.retransmit, self.end)
    }

    fn enter(&mut self, state: State, end: Option<Instant>) {
        self.state = state;
        self.retransmit = None;
        self.end = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sip_1_timers_a_and_b() {
        for (timers, unit) in [(Timers::CORE, 500), (Timers::GM, 2000)] {
            let mut machine = ClientInvite::new(Instant::ZERO, timers, false);
            let mut sent = Vec::new();
            let end = loop {
                let at = machine.deadline().unwrap();
                match machine.tick(at) {
                    ClientTick::Retransmit => sent.push(at.since_epoch().as_millis() / unit),
                    end => break (end, at.since_epoch().as_millis() / unit),
                }
            };
            assert_eq!(sent, [1, 3, 7, 15, 31, 63]);
            assert_eq!(end, (ClientTick::TimedOut, 64));
        }
    }

    #[test]
    fn sip_1_timer_d_acks_repeated_finals() {
        let mut machine = ClientInvite::new(Instant::ZERO, Timers::GM, false);
        assert_eq!(machine.response(Instant::ZERO, 180), Delivery::Pass);
        assert_eq!(machine.deadline(), None);
        assert_eq!(machine.response(Instant::ZERO, 486), Delivery::PassAndAck);
        assert_eq!(machine.response(Instant::ZERO, 486), Delivery::Ack);
        let end = machine.deadline().unwrap();
        assert_eq!(end.since_epoch(), Duration::from_secs(128));
        assert_eq!(machine.tick(end), ClientTick::Gone);
    }

    #[test]
    fn sip_19_accepted_passes_2xx_until_timer_m() {
        let mut machine = ClientInvite::new(Instant::ZERO, Timers::CORE, true);
        assert_eq!(machine.response(Instant::ZERO, 200), Delivery::Pass);
        assert_eq!(machine.response(Instant::ZERO, 200), Delivery::Pass);
        assert_eq!(machine.response(Instant::ZERO, 486), Delivery::Absorb);
        let end = machine.deadline().unwrap();
        assert_eq!(end.since_epoch(), Duration::from_secs(32));
        assert_eq!(machine.tick(end), ClientTick::Gone);
    }
}
