//! What the network does of its own accord: de-registration and re-authentication (TS 24.229 5.4.1.5 and 5.4.1.6).

use super::notify::Notice;
use super::{Deregistration, Event, Output, Pending, Scscf, Timer};
use crate::Unanswered;
use crate::binding::Demand;
use crate::news::News;
use crate::registrar::RegisteredUser;
use aka::{Impi, Impu};
use cx::ServerAssignmentType;
use sip::Instant;
use sip::reginfo::ContactEvent;
use std::time::Duration;

/// Names a command until its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(pub u64);

/// A wish of the operator, or of the HSS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Up to `most` registered users, or this one.
    List { user: Option<User>, most: usize },
    /// Ends all contacts of the user.
    Deregister { user: User, removal: Removal, by: Initiator },
    /// Makes the user authenticate again within `expires` seconds.
    Reauthenticate { user: User, expires: u32 },
}

/// Who is meant. A public identity stands for everybody who has registered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum User {
    Impi(Impi),
    Impu(Impu),
}

/// What a de-registered UE shall do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// Register again.
    Deactivated,
    /// Register again after this many seconds.
    Probation { retry_after: u32 },
    /// Stay away.
    Rejected,
}

/// Who ends the registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Initiator {
    /// The HSS is told.
    Operator,
    /// The HSS knows.
    Hss,
}

/// What a command has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    Users {
        /// Of all registered private identities.
        registered: usize,
        users: Vec<RegisteredUser>,
    },
    Deregistered {
        users: Vec<Impi>,
        contacts: usize,
        /// Subscriptions that hear of it.
        watchers: usize,
    },
    Reauthenticating {
        users: Vec<Impi>,
        contacts: usize,
        watchers: usize,
    },
}

/// Why a command was not carried out. The texts fit after "failed to …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    #[error("find the user among those registered here")]
    UserUnknown,
    #[error("shorten a registration to 0 seconds or to more than the longest allowed")]
    ExpiresOutOfBounds,
}

impl Scscf {
    pub(super) fn command(&mut self, now: Instant, id: CommandId, command: Command) {
        let result = match command {
            Command::List { user, most } => self.list(now, user.as_ref(), most),
            Command::Deregister { user, removal, by } => self.deregister(now, &user, removal, by),
            Command::Reauthenticate { user, expires } => self.reauthenticate(now, &user, expires),
        };
        self.outputs.push_back(Output::Done { id, result });
    }

    fn meant(&self, user: &User) -> Result<Vec<Impi>, CommandError> {
        let impis: Vec<Impi> = match user {
            User::Impi(impi) => self.registrar.user(impi).map(|_| impi.clone()).into_iter().collect(),
            User::Impu(impu) => self.registrar.owners(impu).map(|(impi, _)| impi.clone()).collect(),
        };
        if impis.is_empty() { Err(CommandError::UserUnknown) } else { Ok(impis) }
    }

    fn list(&self, now: Instant, user: Option<&User>, most: usize) -> Result<Done, CommandError> {
        let users = match user {
            Some(user) => {
                let meant = self.meant(user)?;
                meant.iter().filter_map(|impi| self.registrar.listed(impi, now)).take(most).collect()
            }
            None => self.registrations(now).take(most).collect(),
        };
        Ok(Done::Users { registered: self.registered(), users })
    }

    //= TS 24.229 5.4.1.5
    fn deregister(
        &mut self,
        now: Instant,
        user: &User,
        removal: Removal,
        by: Initiator,
    ) -> Result<Done, CommandError> {
        let users = self.meant(user)?;
        let (mut contacts, mut watchers) = (0, 0);
        for impi in &users {
            let (gone, told) = self.remove_user(now, impi, removal, by);
            contacts += gone;
            watchers += told;
        }
        Ok(Done::Deregistered { users, contacts, watchers })
    }

    /// Ends all contacts of one private identity. Answers how many there were, and how many subscriptions hear of it.
    pub(super) fn remove_user(
        &mut self,
        now: Instant,
        impi: &Impi,
        removal: Removal,
        by: Initiator,
    ) -> (usize, usize) {
        let Some(impu) = self.registrar.user(impi).map(|user| user.impu.clone()) else { return (0, 0) };
        let (event, retry_after) = match removal {
            Removal::Deactivated => (ContactEvent::Deactivated, None),
            Removal::Probation { retry_after } => (ContactEvent::Probation, Some(retry_after)),
            Removal::Rejected => (ContactEvent::Rejected, None),
        };
        self.end_attempts(impi, by);
        let cause = match by {
            Initiator::Operator => {
                let kind = ServerAssignmentType::AdministrativeDeregistration;
                let request = self.assignment(kind, impi, &impu);
                self.ask(cx::Request::Sar(request), Pending::Report);
                Deregistration::Operator
            }
            Initiator::Hss => Deregistration::Hss,
        };
        let notice = self.unbind(impi, |_| true, event, retry_after);
        self.event(Event::Deregistered { impi: impi.clone(), impu, cause });
        (notice.news.len(), self.tell(now, &notice))
    }

    /// What is under way must not bring back the registration that ends now.
    pub(super) fn end_attempts(&mut self, impi: &Impi, by: Initiator) {
        self.arm_attempt(impi, None);
        self.attempts.remove(impi);
        for pending in self.pending.values_mut() {
            if let Pending::Register { register, cancelled, .. } = pending
                && register.impi == *impi
            {
                *cancelled = Some(by);
            }
        }
    }

    //= TS 33.203 6.1.4
    fn reauthenticate(&mut self, now: Instant, user: &User, expires: u32) -> Result<Done, CommandError> {
        let users = self.meant(user)?;
        if expires == 0 || expires > self.config.max_expires {
            return Err(CommandError::ExpiresOutOfBounds);
        }
        let (mut contacts, mut watchers) = (0, 0);
        for impi in &users {
            let repeats = match self.config.unanswered {
                Unanswered::Deregister => 0,
                Unanswered::NotifyAgain { times } => times,
            };
            let notice = self.demand(now, impi, |_| true, Demand { expires, repeats });
            let Some(user) = self.registrar.user(impi) else { continue };
            let (impi, impu) = (impi.clone(), user.impu.clone());
            self.event(Event::ReauthenticationDemanded { impi, impu, expires });
            contacts += notice.news.len();
            watchers += self.tell(now, &notice);
        }
        Ok(Done::Reauthenticating { users, contacts, watchers })
    }

    /// Shortens bindings; what they authenticate next is challenged whatever the policy.
    fn demand(
        &mut self,
        now: Instant,
        impi: &Impi,
        concerns: impl Fn(u64) -> bool,
        demand: Demand,
    ) -> Notice {
        let (audience, aors) = (self.registrar.audience(impi), self.registrar.aors(impi));
        let margin = self.config.expiry_margin;
        let Some(user) = self.registrar.user_mut(impi) else { return Notice::default() };
        let mut news = Vec::new();
        for binding in user.bindings.iter_mut().filter(|binding| concerns(binding.number)) {
            self.timers.remove(&(binding.ends, Timer::Expiry(impi.clone(), binding.number)));
            let wanted = now + Duration::from_secs(demand.expires.into());
            // A demand never prolongs what the UE was told; only one that is repeated after the end does.
            binding.until = if binding.until > now { binding.until.min(wanted) } else { wanted };
            binding.ends = binding.until + margin;
            binding.event = ContactEvent::Shortened;
            binding.demand = Some(demand);
            self.timers.insert((binding.ends, Timer::Expiry(impi.clone(), binding.number)));
            news.push(News::new(binding, ContactEvent::Shortened, &user.impu, aors.clone()));
        }
        Notice { audience, news, full: false }
    }

    /// A binding nobody authenticated again in time: whether the demand is repeated instead of ending it.
    pub(super) fn demand_again(&mut self, now: Instant, impi: &Impi, number: u64) -> bool {
        let binding = self.registrar.user(impi).and_then(|user| user.binding(number));
        let Some(demand) = binding.and_then(|binding| binding.demand) else { return false };
        let Some(repeats) = demand.repeats.checked_sub(1) else { return false };
        let notice = self.demand(now, impi, |one| one == number, Demand { repeats, ..demand });
        self.tell(now, &notice);
        true
    }
}
