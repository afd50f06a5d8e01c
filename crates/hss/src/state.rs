//! The registration state of a subscription (TS 29.228 clause 6): who is registered, and where.

use std::time::Duration;

use aka::{Impi, Impu};
use cx::{Origin, RestorationInfo, ServerName};

use crate::Subscription;

/// Wall-clock time in whole seconds since 1970, as the shell tells it. Several HSS processes share a state, and it
/// outlives the machine, so no other clock will do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// A clock that was set back makes nothing old.
    fn is_past(self, since: Self, limit: Duration) -> bool {
        self.0.saturating_sub(since.0) > limit.as_secs()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    NotRegistered,
    Unregistered,
    Registered,
}

/// What is known of all identities of a subscription. One that has no entry is not registered, with no S-CSCF.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    pub(crate) registrations: Vec<(Impu, Registration)>,
    /// S-CSCF reassignment pending: the next S-CSCF that comes may take the user over.
    //= TS 23.380 4.2.2
    pub(crate) reassignment: bool,
    /// What the S-CSCF of that name has left for another one.
    pub(crate) restoration: Vec<(ServerName, RestorationInfo)>,
}

/// An S-CSCF by its SIP and its Diameter name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) name: ServerName,
    pub(crate) origin: Origin,
}

/// Two private identities may share a public one: each registers, and is challenged, for itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Registration {
    pub(crate) server: Option<ServerName>,
    /// The S-CSCF that has told us of the registration: where RTR and PPR go. While a user moves to another one, its
    /// name is not the stored one.
    pub(crate) holder: Option<Holder>,
    pub(crate) registered: Vec<Impi>,
    pub(crate) unregistered: bool,
    /// The authentication-pending flags, and since when.
    pub(crate) pending: Vec<(Impi, UnixTime)>,
}

impl Registration {
    pub(crate) fn status(&self) -> Status {
        if !self.registered.is_empty() {
            Status::Registered
        } else if self.unregistered {
            Status::Unregistered
        } else {
            Status::NotRegistered
        }
    }

    pub(crate) fn is_pending(&self, impi: &Impi) -> bool {
        self.pending.iter().any(|(pending, _)| pending == impi)
    }

    fn not_pending(&mut self, impi: &Impi) {
        self.pending.retain(|(pending, _)| pending != impi);
    }

    /// A name means something only with a state or a challenge it belongs to.
    fn drop_unused_name(&mut self) {
        if self.status() == Status::NotRegistered {
            self.holder = None;
            if self.pending.is_empty() {
                self.server = None;
            }
        }
    }
}

impl State {
    /// How exactly the age of an authentication-pending flag is known.
    const YOUNG: Duration = Duration::from_secs(60);
    /// Contacts that one private identity may leave, and of what size.
    pub(crate) const MOST_CONTACTS: usize = 16;
    const LARGEST_CONTACT: usize = 8 * 1024;

    pub(crate) fn get(&self, impu: &Impu) -> Option<&Registration> {
        self.registrations.iter().find(|(held, _)| held == impu).map(|(_, registration)| registration)
    }

    pub fn status(&self, impu: &Impu) -> Status {
        self.get(impu).map_or(Status::NotRegistered, Registration::status)
    }

    /// The S-CSCF that is stored for this identity, be it only for a challenge.
    pub fn server(&self, impu: &Impu) -> Option<&ServerName> {
        self.get(impu)?.server.as_ref()
    }

    /// The private identities that have registered it.
    pub fn registered_by(&self, impu: &Impu) -> &[Impi] {
        self.get(impu).map(|registration| registration.registered.as_slice()).unwrap_or_default()
    }

    pub fn is_pending(&self, impu: &Impu, impi: &Impi) -> bool {
        self.get(impu).is_some_and(|registration| registration.is_pending(impi))
    }

    /// Whether another S-CSCF may take the user over.
    pub fn is_reassignment_pending(&self) -> bool {
        self.reassignment
    }

    /// The S-CSCF of this identity, as far as this private identity may know: during a challenge only its own counts.
    pub(crate) fn server_of(&self, impu: &Impu, impi: &Impi) -> Option<&ServerName> {
        let registration = self.get(impu)?;
        let counts = registration.status() != Status::NotRegistered || registration.is_pending(impi);
        registration.server.as_ref().filter(|_| counts)
    }

    /// The S-CSCF that serves any identity of the subscription.
    pub(crate) fn server_of_any(&self) -> Option<&ServerName> {
        let mut all = self.registrations.iter().map(|(_, registration)| registration);
        let served = all.find(|registration| registration.status() != Status::NotRegistered);
        served.and_then(|registration| registration.server.as_ref())
    }

    /// As [`State::server_of_any`], an S-CSCF that is about to serve included.
    pub(crate) fn name_of_any(&self) -> Option<&ServerName> {
        let pending = || self.registrations.iter().find_map(|(_, registration)| registration.server.as_ref());
        self.server_of_any().or_else(pending)
    }

    /// Ends challenges nobody has answered for so long: an S-CSCF that died would otherwise keep the user for ever.
    pub(crate) fn expire(&mut self, now: UnixTime, limit: Duration) {
        self.each(|_, registration| registration.pending.retain(|(_, since)| !now.is_past(*since, limit)));
    }

    /// A MAR was answered with vectors. The flag and the name cover the implicit set.
    //= TS 29.228 6.3.1
    //= TS 29.228 6.5.1.3
    pub(crate) fn challenged<'a>(
        &mut self,
        set: impl Iterator<Item = &'a Impu>,
        impu: &Impu,
        impi: &Impi,
        name: &ServerName,
        now: UnixTime,
    ) {
        let same = self.server(impu) == Some(name);
        if self.status(impu) == Status::Registered && same {
            return;
        }
        if self.reassignment && !same {
            self.moved(name);
        }
        self.of(set, |registration| {
            registration.server = Some(name.clone());
            // A flag that is young enough stays as it is: a write for each challenge would make those of one user,
            // at several HSSs, wait for each other.
            let young =
                |(pending, since): &(Impi, UnixTime)| pending == impi && !now.is_past(*since, Self::YOUNG);
            if !registration.pending.iter().any(young) {
                registration.not_pending(impi);
                registration.pending.push((impi.clone(), now));
            }
        });
    }

    /// The S-CSCF of that name serves all that is served, until it says what it has.
    pub(crate) fn moved(&mut self, name: &ServerName) {
        self.reassignment = false;
        self.each(|_, registration| {
            if registration.status() != Status::NotRegistered {
                registration.server = Some(name.clone());
            }
        });
    }

    pub(crate) fn registered<'a>(
        &mut self,
        set: impl Iterator<Item = &'a Impu>,
        impi: &Impi,
        name: &ServerName,
    ) {
        self.reassignment = false;
        self.of(set, |registration| {
            registration.server = Some(name.clone());
            registration.unregistered = false;
            registration.not_pending(impi);
            if !registration.registered.contains(impi) {
                registration.registered.push(impi.clone());
            }
        });
    }

    pub(crate) fn unregistered<'a>(&mut self, set: impl Iterator<Item = &'a Impu>, name: &ServerName) {
        self.of(set, |registration| {
            registration.server = Some(name.clone());
            registration.registered.clear();
            registration.unregistered = true;
        });
        self.reassignment = false;
        self.forget_restoration();
    }

    /// This S-CSCF now holds all that is served under its name. Says what others held of it before.
    pub(crate) fn held_by(&mut self, holder: &Holder) -> Vec<(Holder, Vec<Impu>)> {
        let mut before: Vec<(Holder, Vec<Impu>)> = Vec::new();
        self.each(|impu, registration| {
            let is_served = registration.status() != Status::NotRegistered;
            if !is_served || registration.server.as_ref() != Some(&holder.name) {
                return;
            }
            let Some(other) = registration.holder.replace(holder.clone()) else { return };
            if other.name == holder.name {
                return;
            }
            match before.iter_mut().find(|(known, _)| *known == other) {
                Some((_, held)) => held.push(impu.clone()),
                None => before.push((other, vec![impu.clone()])),
            }
        });
        before
    }

    /// With `keep_name` the S-CSCF stays assigned and keeps the profile, once the last private identity is gone.
    pub(crate) fn deregistered<'a>(
        &mut self,
        set: impl Iterator<Item = &'a Impu>,
        impi: &Impi,
        keep_name: bool,
    ) {
        self.of(set, |registration| {
            registration.registered.retain(|registered| registered != impi);
            registration.unregistered = keep_name && registration.registered.is_empty();
        });
        self.forget_restoration();
    }

    /// The operator ends what there is, of one private identity or of all.
    pub(crate) fn terminated<'a>(&mut self, set: impl Iterator<Item = &'a Impu>, impi: Option<&Impi>) {
        self.of(set, |registration| {
            registration.registered.retain(|registered| impi.is_some_and(|impi| registered != impi));
            registration.pending.retain(|(pending, _)| impi.is_some_and(|impi| pending != impi));
            registration.unregistered = false;
        });
        self.forget_restoration();
    }

    pub(crate) fn challenge_failed<'a>(&mut self, set: impl Iterator<Item = &'a Impu>, impi: &Impi) {
        self.of(set, |registration| registration.not_pending(impi));
    }

    /// Keeps what `name` wants another S-CSCF to know. One that is larger than any real one is dropped.
    pub(crate) fn keep_restoration(&mut self, name: &ServerName, info: &RestorationInfo) {
        self.restoration.retain(|(_, kept)| kept.impi != info.impi);
        let size = |text: &str| text.len();
        let fits = info.contacts.iter().all(|contact| {
            let subscriptions = contact.subscription.iter().chain(&contact.p_cscf_subscription);
            let texts = subscriptions.map(|one| {
                size(&one.call_id)
                    + size(&one.from)
                    + size(&one.to)
                    + size(&one.record_route)
                    + size(&one.contact)
            });
            size(&contact.path) + size(&contact.contact) + texts.sum::<usize>() <= Self::LARGEST_CONTACT
        });
        if fits && (1..=Self::MOST_CONTACTS).contains(&info.contacts.len()) {
            self.restoration.push((name.clone(), info.clone()));
        }
    }

    /// Of who is registered nowhere any more, nothing is to be restored.
    fn forget_restoration(&mut self) {
        let registrations = &self.registrations;
        let registered = |impi: &Impi| registrations.iter().any(|(_, one)| one.registered.contains(impi));
        self.restoration.retain(|(_, kept)| registered(&kept.impi));
        if registrations.iter().all(|(_, one)| one.status() == Status::NotRegistered) {
            self.reassignment = false;
        }
    }

    /// Identities that a set has gained are registered like the rest of it.
    pub(crate) fn joined(
        &mut self,
        set: &[&Impu],
        holder: &Holder,
        server: &ServerName,
        registered: &[Impi],
        unregistered: bool,
    ) {
        self.of(set.iter().copied(), |registration| {
            registration.server = Some(server.clone());
            registration.holder = Some(holder.clone());
            registration.registered = registered.to_vec();
            registration.unregistered = unregistered;
        });
    }

    /// Nobody is registered with an identity that he does not hold.
    pub(crate) fn keep_held(&mut self, subscription: &Subscription) {
        self.each(|impu, registration| {
            let may = |impi: &Impi| subscription.held(impu).is_some_and(|held| held.held_by.contains(impi));
            registration.registered.retain(may);
            registration.pending.retain(|(impi, _)| may(impi));
            registration.unregistered &= subscription.held(impu).is_some();
        });
        self.forget_restoration();
    }

    fn of<'a>(&mut self, set: impl Iterator<Item = &'a Impu>, change: impl Fn(&mut Registration)) {
        for impu in set {
            if self.get(impu).is_none() {
                self.registrations.push((impu.clone(), Registration::default()));
            }
            let entry = self.registrations.iter_mut().find(|(held, _)| held == impu);
            entry.into_iter().for_each(|(_, registration)| change(registration));
        }
        self.each(|_, _| ());
    }

    /// Changes every entry, and forgets those about which nothing is left to say.
    fn each(&mut self, mut change: impl FnMut(&Impu, &mut Registration)) {
        for (impu, registration) in &mut self.registrations {
            change(impu, registration);
            registration.drop_unused_name();
        }
        self.registrations.retain(|(_, registration)| *registration != Registration::default());
    }
}
