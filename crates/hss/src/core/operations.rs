//! What operators do to subscribers, where it concerns an S-CSCF: de-registration, another profile, removal.

use std::sync::{Arc, Mutex, PoisonError};

use aka::{Impi, Impu, Sqn};
use cx::{CxFailure, LinkError, Origin, ReasonCode};
use rand_chacha::ChaCha20Rng;

use super::Hss;
use super::procedure::{Given, Procedure, Run, Step};
use super::termination::Notice;
use crate::store::{Change, IfPresent, Key, Loaded, Replacement, Store};
use crate::{
    NewSubscription, OperationError, PrivateIdentity, Profile, State, Status, StoreError, Subscription,
};

/// How the message to an S-CSCF fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    Delivered,
    /// It will find out by itself: nothing is tried again.
    Unreachable(LinkError),
    Refused(CxFailure),
}

/// An S-CSCF that was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub to: Origin,
    /// `RTR` or `PPR`.
    pub message: &'static str,
    pub delivery: Delivery,
}

/// What an operation has done. The store was changed, whatever the S-CSCFs said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The identities that are no longer registered, or whose profile is another one.
    pub impus: Vec<Impu>,
    pub told: Vec<Told>,
}

type Finished = Result<(Vec<Impu>, Vec<Notice>), OperationError>;

/// From one profile to the next. Called again when somebody else has changed the subscription meanwhile.
pub type Edit = Box<dyn Fn(&Profile) -> Result<Profile, OperationError> + Send>;

/// Called once, when every S-CSCF has answered or was given up.
pub type ReportTo = Box<dyn FnOnce(Result<Report, OperationError>) + Send>;

impl<S: Store> Hss<S> {
    /// Ends registrations: all of a private identity, or those of the implicit set of a public one. The state changes
    /// first, then the S-CSCF hears of it. `info` is a text for the user.
    //= TS 29.228 6.1.3
    pub fn deregister(&self, whom: Key, reason: ReasonCode, info: Option<Arc<str>>, done: ReportTo) {
        self.operate(whom, Action::Deregister { reason, info }, done);
    }

    /// Gives a subscription another profile; keys and sequence numbers stay. Each S-CSCF that serves one of the sets
    /// that change is sent that set; identities that are taken away are de-registered.
    //= TS 29.228 6.2.2
    pub fn change_profile(&self, whom: Key, edit: Edit, done: ReportTo) {
        self.operate(whom, Action::Change(edit), done);
    }

    /// De-registers for good, and forgets the subscription, its keys and sequence numbers included.
    pub fn remove(&self, whom: Key, done: ReportTo) {
        self.operate(whom, Action::Remove, done);
    }

    /// Adds a subscription, or gives the one that is there its keys and public identities; sequence numbers, filter
    /// criteria and registrations stay. Says whether there was one.
    pub fn put(&self, new: NewSubscription, done: Box<dyn FnOnce(Result<bool, OperationError>) + Send>) {
        let Some(first) = new.subscription.private().first() else { return done(Ok(false)) };
        let (whom, hss) = (Key::Impi(first.impi.clone()), self.clone());
        let key = whom.clone();
        let loaded = move |loaded: Result<Option<Loaded>, StoreError>| match loaded {
            Ok(Some(_)) => {
                let replaced = Box::new(|report: Result<Report, _>| done(report.map(|_| true)));
                hss.operate(key, Action::Put(Box::new(new.subscription)), replaced);
            }
            Ok(None) => {
                let inserted = Box::new(|inserted: Result<_, StoreError>| {
                    done(inserted.map(|_| false).map_err(OperationError::from));
                });
                hss.0.store.insert(vec![new], IfPresent::Fail, inserted);
            }
            Err(error) => done(Err(error.into())),
        };
        self.0.store.load(whom, Box::new(loaded));
    }

    fn operate(&self, whom: Key, action: Action, done: ReportTo) {
        let hss = self.clone();
        let operation = Operation { whom, action, finished: None };
        let finished = Box::new(move |finished: Finished| match finished {
            Ok((impus, notices)) => hss.tell_all(impus, notices, done),
            Err(error) => done(Err(error)),
        });
        Run::start(Arc::clone(&self.0), operation, finished);
    }

    /// One after the other: they are few.
    fn tell_all(&self, impus: Vec<Impu>, notices: Vec<Notice>, done: ReportTo) {
        if notices.is_empty() {
            return done(Ok(Report { impus, told: Vec::new() }));
        }
        let expected = notices.len();
        let gathered = Arc::new(Mutex::new((Report { impus, told: Vec::new() }, Some(done))));
        for notice in notices {
            let (to, message, gathered) = (notice.to.clone(), notice.request.name(), Arc::clone(&gathered));
            let told = Box::new(move |delivery| {
                let mut guard = gathered.lock().unwrap_or_else(PoisonError::into_inner);
                let (report, done) = &mut *guard;
                report.told.push(Told { to, message, delivery });
                let finished =
                    (report.told.len() == expected).then(|| done.take().map(|done| (done, report.clone())));
                drop(guard);
                if let Some(Some((done, report))) = finished {
                    done(Ok(report));
                }
            });
            self.tell(notice, told);
        }
    }
}

enum Action {
    Deregister { reason: ReasonCode, info: Option<Arc<str>> },
    Change(Edit),
    Put(Box<Subscription>),
    Remove,
}

struct Operation {
    whom: Key,
    action: Action,
    finished: Option<(Vec<Impu>, Vec<Notice>)>,
}

impl Procedure for Operation {
    type Outcome = Finished;

    fn start(&mut self) -> Step<Finished> {
        Step::Load(self.whom.clone())
    }

    fn loaded(&mut self, loaded: Option<Loaded>, _: &Given<'_>) -> Step<Finished> {
        let Some(loaded) = loaded else { return Step::Done(Err(OperationError::UnknownSubscriber)) };
        match &self.action {
            Action::Deregister { reason, info } => {
                let (impus, impi) = whom(&loaded.subscription, &self.whom);
                let mut state = State::clone(&loaded.state);
                let notices =
                    terminate(&mut state, &loaded.subscription, &impus, impi, *reason, info.as_ref());
                let ended = impus.into_iter().filter(|impu| loaded.state.get(impu).is_some());
                let ended: Vec<Impu> = ended.cloned().collect();
                if state == *loaded.state {
                    return Step::Done(Ok((ended, notices)));
                }
                self.finished = Some((ended, notices));
                let Loaded { id, revision, .. } = loaded;
                Step::Commit(Change { id, revision, state: Some(state), take: None })
            }
            Action::Change(edit) => {
                let before = &loaded.subscription;
                let after = edit(before.profile()).map(|profile| (before.private().to_vec(), profile));
                self.replace(&loaded, after)
            }
            Action::Put(new) => self.replace(&loaded, put(&loaded.subscription, new)),
            Action::Remove => {
                let all: Vec<&Impu> = loaded.subscription.public().iter().map(|held| &held.impu).collect();
                let mut state = State::clone(&loaded.state);
                let reason = ReasonCode::PermanentTermination;
                let notices = terminate(&mut state, &loaded.subscription, &all, None, reason, None);
                self.finished = Some((all.into_iter().cloned().collect(), notices));
                Step::Remove(loaded.id, loaded.revision)
            }
        }
    }

    fn written(&mut self, _: Vec<Sqn>, _: &mut ChaCha20Rng) -> Finished {
        Ok(self.finished.take().unwrap_or_default())
    }

    fn failed(&mut self, error: StoreError) -> Finished {
        Err(error.into())
    }
}

impl Operation {
    fn replace(&mut self, loaded: &Loaded, after: Result<After, OperationError>) -> Step<Finished> {
        match after.and_then(|after| changed(loaded, after)) {
            Ok((replacement, impus, notices)) => {
                self.finished = Some((impus, notices));
                Step::Replace(Box::new(replacement))
            }
            Err(error) => Step::Done(Err(error)),
        }
    }
}

/// What a subscription shall be.
type After = (Vec<PrivateIdentity>, Profile);

/// The keys and public identities of `new`; the rest stays.
fn put(before: &Subscription, new: &Subscription) -> Result<After, OperationError> {
    if let Some(left_out) = before.private().iter().find(|one| new.private_identity(&one.impi).is_none()) {
        return Err(OperationError::LeftOut(left_out.impi.clone()));
    }
    let sets =
        before.profile().sets.iter().filter(|set| new.public().iter().any(|held| held.set == set.number));
    let profile = Profile {
        public: new.public().to_vec(),
        sets: sets.cloned().collect(),
        anonymity: new.profile().anonymity,
        ..before.profile().clone()
    };
    Ok((new.private().to_vec(), profile))
}

/// Which identities, and of which private one only.
fn whom<'a>(subscription: &'a Subscription, key: &'a Key) -> (Vec<&'a Impu>, Option<&'a Impi>) {
    let all = subscription.public().iter();
    match key {
        Key::Impi(impi) => {
            (all.filter(|held| held.held_by.contains(impi)).map(|held| &held.impu).collect(), Some(impi))
        }
        Key::Impu(impu) => {
            let number = subscription.held(impu).map(|held| held.set);
            (all.filter(|held| Some(held.set) == number).map(|held| &held.impu).collect(), None)
        }
    }
}

/// Ends what is registered of `impus`, by `impi` or by all, and says who must hear of it: one message for each S-CSCF
/// and each group of identities that the same private ones have registered there.
//= TS 29.228 6.1.3.1
fn terminate(
    state: &mut State,
    subscription: &Subscription,
    impus: &[&Impu],
    impi: Option<&Impi>,
    reason: ReasonCode,
    info: Option<&Arc<str>>,
) -> Vec<Notice> {
    let mut groups: Vec<(Origin, Vec<Impi>, Vec<Impu>)> = Vec::new();
    for impu in impus {
        let Some(registration) = state.get(impu) else { continue };
        let Some(holder) = &registration.holder else { continue };
        let whose: Vec<Impi> = match (registration.status(), impi) {
            (Status::Registered, Some(impi)) => {
                registration.registered.iter().filter(|registered| *registered == impi).cloned().collect()
            }
            (Status::Registered, None) => registration.registered.clone(),
            // Nobody has registered it: any of those who may.
            (Status::Unregistered, _) => {
                subscription.held(impu).and_then(|held| held.held_by.first()).cloned().into_iter().collect()
            }
            (Status::NotRegistered, _) => Vec::new(),
        };
        if whose.is_empty() {
            continue;
        }
        match groups.iter_mut().find(|(to, whom, _)| *to == holder.origin && *whom == whose) {
            Some((_, _, group)) => group.push((*impu).clone()),
            None => groups.push((holder.origin.clone(), whose, vec![(*impu).clone()])),
        }
    }
    state.terminated(impus.iter().copied(), impi);
    let notices = groups.into_iter().filter_map(|(to, mut whose, impus)| {
        let associated = whose.split_off(1);
        Some(Notice::rtr(to, whose.pop()?, impus, associated, reason, info.cloned()))
    });
    notices.collect()
}

type Changed = (Replacement, Vec<Impu>, Vec<Notice>);

/// The subscription as it shall be, and what its S-CSCFs must hear.
fn changed(loaded: &Loaded, (private, profile): After) -> Result<Changed, OperationError> {
    let before = &*loaded.subscription;
    let after = Subscription::new(private, profile)?;
    let mut state = State::clone(&loaded.state);

    // A set that is gone as a whole is de-registered; identities that leave a set are missing in what is pushed.
    let gone =
        before.public().iter().filter(|held| after.held(&held.impu).is_none_or(|new| new.set != held.set));
    let gone: Vec<&Impu> = gone.map(|held| &held.impu).collect();
    let sets_left = sets_of(&after);
    let set_is_gone = |impu: &&&Impu| before.held(impu).is_some_and(|held| !sets_left.contains(&held.set));
    let whole_sets: Vec<&Impu> = gone.iter().filter(set_is_gone).copied().collect();
    let reason = ReasonCode::PermanentTermination;
    let mut notices = terminate(&mut state, before, &whole_sets, None, reason, None);
    state.terminated(gone.iter().copied(), None);

    let mut impus: Vec<Impu> = gone.into_iter().cloned().collect();
    for number in sets_of(&after) {
        let served = served_at(&state, &after, number);
        let Some((holder, server, registered, unregistered)) = served else { continue };
        // Whom the set has gained is registered with it.
        //= TS 29.228 6.5.2.1
        let joined = after.public().iter().filter(|held| held.set == number);
        let joined = joined
            .filter(|held| state.get(&held.impu).is_none_or(|one| one.status() == Status::NotRegistered));
        let joined: Vec<&Impu> = joined.map(|held| &held.impu).collect();
        state.joined(&joined, &holder, &server, &registered, unregistered);
        let any = after.public().iter().find(|held| held.set == number).and_then(|held| held.held_by.first());
        let Some(impi) = registered.first().or(any) else { continue };
        let (old, new) = (before.user_data(impi, number), after.user_data(impi, number));
        if old == new {
            continue;
        }
        if !registered.is_empty() && old.default_impu().is_some() && old.default_impu() != new.default_impu()
        {
            return Err(OperationError::DefaultIdentityChanges);
        }
        impus.extend(new.identities().map(|one| one.identity.clone()));
        notices.push(Notice::ppr(holder.origin, new));
    }
    state.keep_held(&after);
    let subscription = NewSubscription { subscription: after, sqns: Vec::new() };
    let Loaded { id, revision, .. } = *loaded;
    Ok((Replacement { id, revision, subscription, state }, impus, notices))
}

fn sets_of(subscription: &Subscription) -> Vec<u32> {
    let mut numbers: Vec<u32> = subscription.public().iter().map(|held| held.set).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

type ServedAt = (crate::state::Holder, cx::ServerName, Vec<Impi>, bool);

/// Who serves a set, and how.
fn served_at(state: &State, subscription: &Subscription, number: u32) -> Option<ServedAt> {
    let mut set = subscription.public().iter().filter(|held| held.set == number);
    set.find_map(|held| {
        let one = state.get(&held.impu).filter(|one| one.status() != Status::NotRegistered)?;
        Some((one.holder.clone()?, one.server.clone()?, one.registered.clone(), one.unregistered))
    })
}
