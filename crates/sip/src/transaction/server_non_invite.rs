//! RFC 3261 17.2.2 with RFC 4320: the server side of REGISTER and every other request but INVITE and ACK.

use super::{ServerTick, Timers, due, earlier};
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
pub(crate) struct ServerNonInvite {
    state: State,
    timers: Timers,
    reliable: bool,
    /// When a provisional may and must leave over UDP.
    trying: Option<Instant>,
    /// The peer's Timer F, then J.
    end: Option<Instant>,
}

impl ServerNonInvite {
    pub(crate) fn new(now: Instant, timers: Timers, reliable: bool) -> Self {
        Self {
            state: State::Trying,
            timers,
            reliable,
            trying: (!reliable).then(|| now + timers.trying()),
            end: Some(now + timers.give_up()),
        }
    }

    /// Whether the response may leave.
    pub(crate) fn respond(&mut self, now: Instant, status: u16) -> bool {
        if matches!(self.state, State::Completed | State::Gone) {
            return false;
        }
        if status < 200 {
            //= RFC 4320 4.1
            let allowed = status == 100 && self.trying.is_none_or(|trying| now >= trying);
            if allowed {
                (self.state, self.trying) = (State::Proceeding, None);
            }
            return allowed;
        }
        self.trying = None;
        if status == 408 {
            //= RFC 4320 4.2
            (self.state, self.end) = (State::Completed, Some(now));
            return false;
        }
        let j = if self.reliable { Duration::ZERO } else { self.timers.give_up() };
        (self.state, self.end) = (State::Completed, Some(now + j));
        true
    }

    pub(crate) fn tick(&mut self, now: Instant) -> ServerTick {
        if due(self.end, now) {
            let early = self.state != State::Completed;
            self.state = State::Gone;
            (self.end, self.trying) = (None, None);
            return ServerTick::Gone { early };
        }
        if due(self.trying, now) {
            (self.state, self.trying) = (State::Proceeding, None);
            return ServerTick::Trying;
        }
        ServerTick::Nothing
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        earlier(self.trying, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Instant {
        Instant::from_epoch(Duration::from_secs_f64(seconds))
    }

    #[test]
    fn sip_12_trying_at_3_5_s_core_and_14_s_gm() {
        for (timers, when, end) in [(Timers::CORE, 3.5, 32.0), (Timers::GM, 14.0, 128.0)] {
            let mut machine = ServerNonInvite::new(Instant::ZERO, timers, false);
            assert!(!machine.respond(at(1.0), 100), "too early");
            assert!(!machine.respond(at(1.0), 183), "no provisional but 100");
            assert_eq!(machine.deadline(), Some(at(when)));
            assert_eq!(machine.tick(at(when)), ServerTick::Trying);
            assert_eq!(machine.deadline(), Some(at(end)));
            assert_eq!(machine.tick(at(end)), ServerTick::Gone { early: true });
        }
    }

    #[test]
    fn sip_12_never_408() {
        let mut machine = ServerNonInvite::new(Instant::ZERO, Timers::CORE, false);
        assert!(!machine.respond(at(2.0), 408));
        assert_eq!(machine.tick(at(2.0)), ServerTick::Gone { early: false });
        assert!(!machine.respond(at(3.0), 200), "late finals are dropped");
    }

    #[test]
    fn sip_1_timer_j() {
        for (reliable, j) in [(false, 32.0), (true, 0.0)] {
            let mut machine = ServerNonInvite::new(Instant::ZERO, Timers::CORE, reliable);
            assert!(machine.respond(at(1.0), 200));
            assert!(!machine.respond(at(1.0), 200));
            assert_eq!(machine.deadline(), Some(at(1.0 + j)));
        }
    }
}
