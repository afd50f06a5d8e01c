//! Requests to S-CSCFs that wait for a first word: silence means that another one is asked.

use std::collections::{BTreeSet, HashMap};

use sip::{ClientId, Instant};

use crate::pool::Choice;

#[derive(Debug, Default)]
pub(super) struct Watch {
    /// `None`: it has spoken.
    asked: HashMap<ClientId, (Choice, Option<Instant>)>,
    deadlines: BTreeSet<(Instant, ClientId)>,
}

impl Watch {
    pub(super) fn asked(&mut self, id: ClientId, choice: Choice, deadline: Instant) {
        self.asked.insert(id, (choice, Some(deadline)));
        self.deadlines.insert((deadline, id));
    }

    /// It lives and has work to do: from now on the transaction's own timer counts.
    pub(super) fn spoke(&mut self, id: ClientId) -> Option<Choice> {
        let (choice, deadline) = self.asked.get_mut(&id)?;
        if let Some(deadline) = deadline.take() {
            self.deadlines.remove(&(deadline, id));
        }
        Some(*choice)
    }

    pub(super) fn ended(&mut self, id: ClientId) -> Option<Choice> {
        let (choice, deadline) = self.asked.remove(&id)?;
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, id));
        }
        Some(choice)
    }

    pub(super) fn overdue(&self, now: Instant) -> Option<ClientId> {
        self.deadlines.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id)
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }
}
