//! The decisions of the HSS on Cx (TS 29.228 clause 6), with the registration state they rest on.

mod state;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use aka::{Impi, Impu, Rand};
use cx::{
    Answer, AnswerWith, AuthScheme, BaseCode, CxFailure, ExperimentalCode, MultimediaAuth,
    MultimediaAuthRequest, Origin, Request, Server, ServerAssignment, ServerAssignmentRequest,
    ServerAssignmentType, ServerCapabilities, UserAuthorization, UserAuthorizationRequest,
    UserAuthorizationType, VisitedNetwork,
};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::{HssError, Subscriber, SubscriberStore};
use state::{Registrations, Status};

/// What an operator decides once for all subscribers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub capabilities: ServerCapabilities,
    /// Networks users may register from; empty means all.
    pub visited_networks: HashSet<VisitedNetwork>,
    /// At most this many vectors in one answer, however many are asked for.
    pub most_vectors: u32,
    /// Whether an S-CSCF that asks to stay assigned after a de-registration does.
    pub keep_server_name: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            capabilities: ServerCapabilities::default(),
            visited_networks: HashSet::new(),
            most_vectors: 5,
            keep_server_name: true,
        }
    }
}

/// The HSS: a store of subscribers, their registration state, and the AuC.
pub struct Hss<S> {
    policy: Policy,
    store: S,
    registrations: Registrations,
    random: ChaCha20Rng,
}

impl<S> std::fmt::Debug for Hss<S> {
    /// The generator's state would tell the challenges to come.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hss").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// An HSS that several callers share.
pub struct Shared<S>(Mutex<Hss<S>>);

impl<S> std::fmt::Debug for Shared<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl<S: SubscriberStore> Shared<S> {
    pub fn new(hss: Hss<S>) -> Self {
        Self(Mutex::new(hss))
    }
}

impl<S: SubscriberStore> Server for Shared<S> {
    fn handle(&self, from: &Origin, request: Request, answer: AnswerWith) {
        // A server that panicked once still answers the next user.
        let answered = self.0.lock().unwrap_or_else(PoisonError::into_inner).answer(from, request);
        answer(answered);
    }
}

impl<S: SubscriberStore> Hss<S> {
    /// `seed` makes the RANDs: it must be unpredictable and never used before.
    pub fn new(policy: Policy, store: S, seed: [u8; 32]) -> Self {
        Self { policy, store, registrations: Registrations::default(), random: ChaCha20Rng::from_seed(seed) }
    }

    pub fn answer(&mut self, _from: &Origin, request: Request) -> Answer {
        match request {
            Request::Uar(uar) => Answer::Uaa(self.authorize(&uar)),
            Request::Mar(mar) => Answer::Maa(self.authenticate(&mar)),
            Request::Sar(sar) => Answer::Saa(self.assign(&sar)),
            Request::Lir(_) | Request::Rtr(_) | Request::Ppr(_) => {
                request.refused(BaseCode::CommandUnsupported)
            }
        }
    }

    //= TS 29.228 6.1.1.1
    fn authorize(&mut self, uar: &UserAuthorizationRequest) -> Result<UserAuthorization, CxFailure> {
        let subscriber = self.subscriber_with(&uar.impi, &uar.impu)?;
        let barred = subscriber.impus.iter().any(|held| held.impu == uar.impu && held.barred);
        if barred && subscriber.is_barred_altogether() && !uar.emergency {
            return Err(BaseCode::AuthorizationRejected.into());
        }
        let leaves = uar.kind == UserAuthorizationType::DeRegistration;
        if !leaves && !uar.emergency && !self.may_register_from(&uar.visited_network) {
            return Err(ExperimentalCode::RoamingNotAllowed.into());
        }
        if uar.kind == UserAuthorizationType::RegistrationAndCapabilities {
            return Ok(UserAuthorization::Capabilities { capabilities: self.policy.capabilities.clone() });
        }
        let own = self.registrations.server_of(&uar.impu, &uar.impi);
        if leaves {
            let server_name = own.ok_or(ExperimentalCode::IdentityNotRegistered)?;
            return Ok(UserAuthorization::DeRegistration { server_name });
        }
        // One S-CSCF serves all identities of a subscription.
        let others = subscriber.impus.iter().map(|held| &held.impu);
        Ok(match own.or_else(|| self.registrations.server_of_any(others)) {
            Some(server_name) => UserAuthorization::Subsequent { server_name },
            None => UserAuthorization::FirstRegistration { capabilities: self.policy.capabilities.clone() },
        })
    }

    fn may_register_from(&self, network: &VisitedNetwork) -> bool {
        self.policy.visited_networks.is_empty() || self.policy.visited_networks.contains(network)
    }

    //= TS 29.228 6.3.1
    fn authenticate(&mut self, mar: &MultimediaAuthRequest) -> Result<MultimediaAuth, CxFailure> {
        let subscriber = self.subscriber_with(&mar.impi, &mar.impu)?;
        if mar.scheme != AuthScheme::DigestAka {
            return Err(ExperimentalCode::AuthSchemeNotSupported.into());
        }
        if let Some((rand, auts)) = &mar.resync {
            // Only the S-CSCF that sent the challenge can know what the card said to it.
            if self.registrations.stored_name(&mar.impu) != Some(&mar.server_name) {
                return Err(BaseCode::UnableToComply.into());
            }
            let resynchronised = subscriber
                .algorithm
                .resynchronise(rand, auts)
                .map_err(HssError::from)
                .and_then(|sqn_ms| self.store.resynchronise(&mar.impi, sqn_ms));
            resynchronised.map_err(|error| unable(&mar.impi, &error))?;
        }
        let vectors = self.vectors(&subscriber, mar.items).map_err(|error| unable(&mar.impi, &error))?;
        // The state changes only when there is something to send.
        let set = subscriber.impus.iter().map(|held| &held.impu);
        self.registrations.challenged(set, &mar.impu, &mar.impi, &mar.server_name);
        Ok(vectors)
    }

    //= TS 33.102 6.3.2
    fn vectors(&mut self, subscriber: &Subscriber, items: u32) -> Result<MultimediaAuth, HssError> {
        let mut vectors = Vec::new();
        for _ in 0..items.clamp(1, self.policy.most_vectors.max(1)) {
            let sqn = self.store.next_sqn(&subscriber.impi)?;
            let mut rand = [0; 16];
            self.random.fill_bytes(&mut rand);
            vectors.push(subscriber.algorithm.vector(Rand::from_bytes(rand), sqn, subscriber.amf));
        }
        Ok(MultimediaAuth { vectors })
    }

    //= TS 29.228 6.1.2.1
    fn assign(&mut self, sar: &ServerAssignmentRequest) -> Result<ServerAssignment, CxFailure> {
        use ServerAssignmentType as T;
        let subscriber = self.assigned(sar)?;
        let impi = &subscriber.impi;
        let name = &sar.server_name;
        let set: Vec<&Impu> = subscriber.impus.iter().map(|held| &held.impu).collect();
        let stored = set.iter().find_map(|impu| self.registrations.stored_name(impu)).cloned();
        let elsewhere = stored.filter(|stored| stored != name);

        let mut answer = ServerAssignment::default();
        match (sar.assignment, elsewhere) {
            (T::Registration | T::ReRegistration, Some(server_name)) => {
                return Err(CxFailure::AlreadyRegistered { server_name });
            }
            (T::Registration | T::ReRegistration, None) => {
                self.registrations.registered(&set, impi, name);
            }
            (T::UnregisteredUser, Some(server_name)) if self.is_registered(&set) => {
                return Err(CxFailure::AlreadyRegistered { server_name });
            }
            (T::UnregisteredUser, _) => self.registrations.unregistered(&set, name),
            // An S-CSCF that no longer serves the user must not change what the present one does.
            (_, Some(_)) => return Err(BaseCode::UnableToComply.into()),
            (T::NoAssignment, None) => {
                if !set.iter().any(|impu| self.registrations.stored_name(impu) == Some(name)) {
                    return Err(BaseCode::UnableToComply.into());
                }
            }
            (T::AuthenticationFailure | T::AuthenticationTimeout, None) => {
                self.registrations.challenge_failed(&set, impi);
            }
            (T::TimeoutDeregistrationStoreServerName | T::UserDeregistrationStoreServerName, None) => {
                self.registrations.deregistered(&set, impi, self.policy.keep_server_name);
                answer.server_name_not_stored = !self.policy.keep_server_name;
            }
            (
                T::TimeoutDeregistration
                | T::UserDeregistration
                | T::AdministrativeDeregistration
                | T::DeregistrationTooMuchData,
                None,
            ) => self.registrations.deregistered(&set, impi, false),
        }
        let gives_profile = matches!(
            sar.assignment,
            T::NoAssignment | T::Registration | T::ReRegistration | T::UnregisteredUser
        );
        if gives_profile && !sar.user_data_already_available {
            answer.user_data = Some(subscriber.user_data());
        }
        if sar.impi.is_none() {
            answer.impi = Some(impi.clone());
        }
        Ok(answer)
    }

    /// Whom a SAR is about. The order of the checks decides which error an S-CSCF sees.
    fn assigned(&self, sar: &ServerAssignmentRequest) -> Result<Arc<Subscriber>, CxFailure> {
        let one_only = sar.assignment.takes_one_identity();
        if sar.impus.iter().any(|impu| self.store.holders(impu).is_empty()) {
            return Err(ExperimentalCode::UserUnknown.into());
        }
        let first = sar.impus.first();
        let impi = match (&sar.impi, first.map(|impu| self.store.holders(impu))) {
            (Some(impi), _) => impi,
            (None, Some([only])) => only,
            // Without User-Name a shared identity does not say whose registration begins or ends.
            (None, Some([one, ..]))
                if matches!(
                    sar.assignment,
                    ServerAssignmentType::NoAssignment | ServerAssignmentType::UnregisteredUser
                ) =>
            {
                one
            }
            (None, _) => return Err(BaseCode::MissingAvp.into()),
        };
        let subscriber = self.store.subscriber(impi).ok_or(ExperimentalCode::UserUnknown)?;
        if !sar.impus.iter().all(|impu| subscriber.holds(impu)) {
            return Err(ExperimentalCode::IdentitiesDontMatch.into());
        }
        match sar.impus.len() {
            0 if one_only => Err(BaseCode::MissingAvp.into()),
            2.. if one_only => Err(BaseCode::AvpOccursTooManyTimes.into()),
            _ => Ok(subscriber),
        }
    }

    fn is_registered(&self, set: &[&Impu]) -> bool {
        set.iter().any(|impu| self.registrations.status(impu) == Status::Registered)
    }

    fn subscriber_with(&self, impi: &Impi, impu: &Impu) -> Result<Arc<Subscriber>, CxFailure> {
        let subscriber = self.store.subscriber(impi).ok_or(ExperimentalCode::UserUnknown)?;
        if self.store.holders(impu).is_empty() {
            return Err(ExperimentalCode::UserUnknown.into());
        }
        if !subscriber.holds(impu) {
            return Err(ExperimentalCode::IdentitiesDontMatch.into());
        }
        Ok(subscriber)
    }
}

fn unable(impi: &Impi, error: &HssError) -> CxFailure {
    tracing::warn!(%impi, %error, "no vectors for a subscriber");
    BaseCode::UnableToComply.into()
}

#[cfg(test)]
mod tests;
