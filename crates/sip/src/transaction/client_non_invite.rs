//! RFC 3261 17.1.2: the client side of REGISTER and every other request but INVITE and ACK.

use super::{ClientTick, Delivery, Timers, due, earlier};
use crate::Instant;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Trying,
    Proceeding,
    Completed,
    Gone,
}

#[derive(Debug)]
pub(crate) struct ClientNonInvite {
    state: State,
    timers: Timers,
    reliable: bool,
    interval: Duration,
    /// Timer E.
    retransmit: Option<Instant>,
    /// Timer F, then K.
    end: Option<Instant>,
}

impl ClientNonInvite {
    pub(crate) fn new(now: Instant, timers: Timers, reliable: bool) -> Self {
        Self {
            state: State::Trying,
            timers,
            reliable,
            interval: timers.t1,
            retransmit: (!reliable).then(|| now + timers.t1),
            end: Some(now + timers.give_up()),
        }
    }

    pub(crate) fn response(&mut self, now: Instant, status: u16) -> Delivery {
        match self.state {
            State::Trying | State::Proceeding if status < 200 => {
                if self.state == State::Trying && !self.reliable {
                    // The interval is T2 from the next retransmission on.
                    self.interval = self.timers.t2;
                }
                self.state = State::Proceeding;
                Delivery::Pass
            }
            State::Trying | State::Proceeding => {
                self.state = State::Completed;
                self.retransmit = None;
                let k = if self.reliable { Duration::ZERO } else { self.timers.t4 };
                self.end = Some(now + k);
                Delivery::Pass
            }
            State::Completed | State::Gone => Delivery::Absorb,
        }
    }

    pub(crate) fn tick(&mut self, now: Instant) -> ClientTick {
        if due(self.end, now) {
            let timed_out = self.state != State::Completed;
            self.state = State::Gone;
            (self.end, self.retransmit) = (None, None);
            return if timed_out { ClientTick::TimedOut } else { ClientTick::Gone };
        }
        if due(self.retransmit, now) {
            self.interval = if self.state == State::Trying {
                (self.interval * 2).min(self.timers.t2)
            } else {
                self.timers.t2
            };
            self.retransmit = Some(now + self.interval);
            return ClientTick::Retransmit;
        }
        ClientTick::Nothing
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        earlier(self.retransmit, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent_at(mut machine: ClientNonInvite) -> (Vec<u128>, ClientTick, u128) {
        let mut sent = Vec::new();
        loop {
            let at = machine.deadline().unwrap();
            match machine.tick(at) {
                ClientTick::Retransmit => sent.push(at.since_epoch().as_millis()),
                end => return (sent, end, at.since_epoch().as_millis()),
            }
        }
    }

    #[test]
    fn sip_1_timers_e_and_f_core() {
        let (sent, end, at) = sent_at(ClientNonInvite::new(Instant::ZERO, Timers::CORE, false));
        assert_eq!(sent, [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500]);
        assert_eq!((end, at), (ClientTick::TimedOut, 32_000));
    }

    #[test]
    fn sip_1_timers_e_and_f_gm() {
        let (sent, end, at) = sent_at(ClientNonInvite::new(Instant::ZERO, Timers::GM, false));
        assert_eq!(sent, [2000, 6000, 14000, 30000, 46000, 62000, 78000, 94000, 110_000, 126_000]);
        assert_eq!((end, at), (ClientTick::TimedOut, 128_000));
    }

    #[test]
    fn sip_1_tcp_variants_are_zero() {
        let (sent, end, at) = sent_at(ClientNonInvite::new(Instant::ZERO, Timers::CORE, true));
        assert_eq!((sent, end, at), (vec![], ClientTick::TimedOut, 32_000));
        let mut machine = ClientNonInvite::new(Instant::ZERO, Timers::CORE, true);
        assert_eq!(machine.response(Instant::ZERO, 200), Delivery::Pass);
        assert_eq!(machine.deadline(), Some(Instant::ZERO));
        assert_eq!(machine.tick(Instant::ZERO), ClientTick::Gone);
    }

    #[test]
    fn sip_1_after_a_provisional_the_interval_is_t2() {
        let mut machine = ClientNonInvite::new(Instant::ZERO, Timers::CORE, false);
        let now = Instant::from_epoch(Duration::from_millis(100));
        assert_eq!(machine.response(now, 100), Delivery::Pass);
        let first = machine.deadline().unwrap();
        assert_eq!(machine.tick(first), ClientTick::Retransmit);
        assert_eq!(machine.deadline().unwrap() - first, Duration::from_secs(4));
    }

    #[test]
    fn sip_1_timer_k_absorbs_repeated_finals() {
        let mut machine = ClientNonInvite::new(Instant::ZERO, Timers::CORE, false);
        assert_eq!(machine.response(Instant::ZERO, 401), Delivery::Pass);
        assert_eq!(machine.response(Instant::ZERO, 401), Delivery::Absorb);
        assert_eq!(machine.deadline().unwrap().since_epoch(), Duration::from_secs(5));
    }
}
