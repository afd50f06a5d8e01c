//! When to ask a silent peer for a sign of life, when to stop relying on it, and when to rely on it again.

use std::time::Duration;

use super::random::Random;
use super::{Now, jittered};

/// So many answers to the watchdog bring a peer back that was lost.
const ANSWERS_TO_COME_BACK: u8 = 3;

/// Source: RFC 3539 3.4.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Never connected.
    Initial,
    Okay,
    /// Asked for a sign of life and silent: gets no requests.
    Suspect,
    /// Connected earlier, not now.
    Down,
    /// Connected again: proves itself first, and gets requests only where there is no better peer.
    Reopen,
}

/// One peer's watchdog. Lives longer than a connection.
#[derive(Debug, Clone)]
pub(super) struct Watchdog {
    interval: Duration,
    state: State,
    asked: bool,
    /// DWAs since the connection came back; None after one was missed.
    answers: Option<u8>,
    deadline: Option<Now>,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// Send a DWR.
    Ask,
    /// Send the waiting requests to another peer.
    Failover,
    /// Close the connection.
    Close,
}

impl Watchdog {
    pub(super) const fn new(interval: Duration) -> Self {
        Self { interval, state: State::Initial, asked: false, answers: None, deadline: None }
    }

    pub(super) const fn state(&self) -> State {
        self.state
    }

    pub(super) const fn deadline(&self) -> Option<Now> {
        self.deadline
    }

    fn set(&mut self, now: Now, random: &mut Random) {
        self.deadline = Some(now + jittered(self.interval, random));
    }

    /// The capabilities are exchanged.
    pub(super) fn up(&mut self, now: Now, random: &mut Random) -> Due {
        self.set(now, random);
        match self.state {
            State::Down => {
                self.state = State::Reopen;
                self.asked = true;
                self.answers = Some(0);
                Due::Ask
            }
            _ => {
                self.state = State::Okay;
                self.asked = false;
                Due::Nothing
            }
        }
    }

    pub(super) fn down(&mut self) {
        if self.state != State::Initial {
            self.state = State::Down;
        }
        self.asked = false;
        self.deadline = None;
    }

    /// A message came. Whether the peer has become usable by it.
    pub(super) fn heard(&mut self, now: Now, watchdog_answer: bool, random: &mut Random) -> bool {
        match (self.state, watchdog_answer) {
            (State::Initial | State::Down, _) => return false,
            (State::Reopen, false) => return false,
            (State::Reopen, true) => {
                self.asked = false;
                let answers = self.answers.map_or(0, |answers| answers + 1);
                self.answers = Some(answers);
                if answers < ANSWERS_TO_COME_BACK {
                    return false;
                }
            }
            (State::Okay | State::Suspect, true) => self.asked = false,
            (State::Okay | State::Suspect, false) => {}
        }
        let came_back = self.state != State::Okay;
        self.state = State::Okay;
        self.set(now, random);
        came_back
    }

    pub(super) fn expired(&mut self, now: Now, random: &mut Random) -> Due {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return Due::Nothing;
        }
        self.set(now, random);
        match self.state {
            State::Initial | State::Down => {
                self.deadline = None;
                Due::Nothing
            }
            State::Okay | State::Reopen if !self.asked => {
                self.asked = true;
                Due::Ask
            }
            State::Okay => {
                self.state = State::Suspect;
                Due::Failover
            }
            State::Reopen if self.answers.is_some() => {
                self.answers = None;
                Due::Nothing
            }
            State::Reopen | State::Suspect => Due::Close,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TW: Duration = Duration::from_secs(30);

    fn at_deadline(watchdog: &mut Watchdog, random: &mut Random) -> (Now, Due) {
        let deadline = watchdog.deadline().unwrap();
        let just_before = deadline - Duration::from_nanos(1);
        assert_eq!(watchdog.expired(just_before, random), Due::Nothing, "not before its time");
        (deadline, watchdog.expired(deadline, random))
    }

    #[test]
    fn cx_12_a_silent_peer_is_asked_then_suspected_then_closed() {
        let mut random = Random::new(3);
        let mut watchdog = Watchdog::new(TW);
        assert_eq!(watchdog.up(Now::ZERO, &mut random), Due::Nothing);
        assert_eq!(watchdog.state(), State::Okay);
        let mut before = Now::ZERO;
        for expected in [Due::Ask, Due::Failover, Due::Close] {
            let (now, due) = at_deadline(&mut watchdog, &mut random);
            assert_eq!(due, expected);
            assert!((28.0..=32.0).contains(&(now - before).as_secs_f64()), "jitter of two seconds");
            before = now;
        }
        assert_eq!(watchdog.state(), State::Suspect);
        watchdog.down();
        assert_eq!((watchdog.state(), watchdog.deadline()), (State::Down, None));
    }

    #[test]
    fn cx_12_a_sign_of_life_ends_suspicion() {
        for watchdog_answer in [false, true] {
            let mut random = Random::new(4);
            let mut watchdog = Watchdog::new(TW);
            let _ = watchdog.up(Now::ZERO, &mut random);
            at_deadline(&mut watchdog, &mut random);
            let (now, _) = at_deadline(&mut watchdog, &mut random);
            assert_eq!(watchdog.state(), State::Suspect);
            assert!(watchdog.heard(now, watchdog_answer, &mut random), "usable again");
            assert!(!watchdog.heard(now, true, &mut random), "was usable already");
            assert_eq!(at_deadline(&mut watchdog, &mut random).1, Due::Ask);
        }
    }

    #[test]
    fn cx_12_a_peer_that_was_lost_answers_three_times_before_it_is_trusted() {
        let mut random = Random::new(5);
        let mut watchdog = Watchdog::new(TW);
        let _ = watchdog.up(Now::ZERO, &mut random);
        watchdog.down();
        assert_eq!(watchdog.up(Now::ZERO, &mut random), Due::Ask);
        assert_eq!(watchdog.state(), State::Reopen);
        assert!(!watchdog.heard(Now::ZERO, false, &mut random), "only DWAs count");
        for _ in 0..2 {
            assert!(!watchdog.heard(Now::ZERO, true, &mut random));
            assert_eq!(at_deadline(&mut watchdog, &mut random).1, Due::Ask);
        }
        assert!(watchdog.heard(Now::ZERO, true, &mut random));
        assert_eq!(watchdog.state(), State::Okay);
    }

    #[test]
    fn cx_12_a_missed_answer_starts_the_count_again_and_a_second_one_closes() {
        let mut random = Random::new(6);
        let mut watchdog = Watchdog::new(TW);
        let _ = watchdog.up(Now::ZERO, &mut random);
        watchdog.down();
        let _ = watchdog.up(Now::ZERO, &mut random);
        assert!(!watchdog.heard(Now::ZERO, true, &mut random));
        assert_eq!(at_deadline(&mut watchdog, &mut random).1, Due::Ask);
        assert_eq!(at_deadline(&mut watchdog, &mut random).1, Due::Nothing, "the first miss");
        assert!(!watchdog.heard(Now::ZERO, true, &mut random), "counts from zero again");
        for _ in 0..2 {
            assert_eq!(at_deadline(&mut watchdog, &mut random).1, Due::Ask);
            assert!(!watchdog.heard(Now::ZERO, true, &mut random));
        }
        assert_eq!(at_deadline(&mut watchdog, &mut random).1, Due::Ask);
        assert_eq!(at_deadline(&mut watchdog, &mut random).1, Due::Nothing);
        assert_eq!(at_deadline(&mut watchdog, &mut random).1, Due::Close);
    }
}
