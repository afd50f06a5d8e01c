//! SAR: an S-CSCF now serves, or no longer serves, these identities.

use aka::{Impi, Impu};
use cx::{
    BaseCode, CxFailure, ExperimentalCode, IdentityType, ReasonCode, RestorationInfo, ServerAssignment,
    ServerAssignmentRequest, ServerAssignmentType,
};

use super::request::View;
use super::termination::Notice;
use crate::Status;
use crate::state::Holder;

impl<'a> View<'a> {
    //= TS 29.228 6.1.2.1
    pub(super) fn assign(&mut self, sar: &ServerAssignmentRequest) -> Result<ServerAssignment, CxFailure> {
        use ServerAssignmentType as T;
        let impi = self.assigned(sar)?;
        let name = &sar.server_name;
        let set = self.affected(sar, &impi);
        let set = || set.iter().copied();
        let stored = set().find_map(|impu| self.state.server(impu)).cloned();
        let elsewhere = stored.clone().filter(|stored| stored != name);
        let is_served = set().any(|impu| self.state.status(impu) != Status::NotRegistered);
        let may_take_over = self.state.is_reassignment_pending();

        let mut answer = ServerAssignment::default();
        match (sar.assignment, elsewhere) {
            (T::Registration | T::ReRegistration, Some(server_name)) if !may_take_over => {
                return Err(CxFailure::AlreadyRegistered { server_name });
            }
            (T::UnregisteredUser, Some(server_name)) if is_served && !may_take_over => {
                return Err(CxFailure::AlreadyRegistered { server_name });
            }
            (T::Registration | T::ReRegistration, elsewhere) => {
                if elsewhere.is_some() {
                    self.state.moved(name);
                }
                answer.restoration = self.left_behind(sar, false);
                self.state.registered(set(), &impi, name);
                let known =
                    |info: &&RestorationInfo| self.subscription.private_identity(&info.impi).is_some();
                if let Some(info) = sar.restoration.as_ref().filter(known) {
                    self.state.keep_restoration(name, info);
                }
            }
            (T::UnregisteredUser, elsewhere) => {
                if elsewhere.is_some() {
                    self.state.moved(name);
                }
                // Whoever can be restored is still registered: his S-CSCF has only lost him.
                //= TS 23.380 4.3
                answer.restoration = self.left_behind(sar, true);
                let is_registered = set().any(|impu| self.state.status(impu) == Status::Registered);
                if !is_registered || answer.restoration.is_empty() {
                    self.state.unregistered(set(), name);
                }
            }
            (T::NoAssignment, Some(_)) if may_take_over && is_served => {
                self.state.moved(name);
                answer.restoration = self.left_behind(sar, true);
            }
            (T::NoAssignment, None) if stored.is_some() => {
                answer.restoration = self.left_behind(sar, true);
            }
            // An S-CSCF that no longer serves the user must not change what the present one does.
            (_, Some(_)) | (T::NoAssignment, None) => return Err(BaseCode::UnableToComply.into()),
            (T::AuthenticationFailure | T::AuthenticationTimeout, None) => {
                self.state.challenge_failed(set(), &impi);
            }
            (T::TimeoutDeregistrationStoreServerName | T::UserDeregistrationStoreServerName, None) => {
                let keeps = self.given.policy.keep_server_name;
                self.state.deregistered(set(), &impi, keeps);
                answer.server_name_not_stored = !keeps;
            }
            (
                T::TimeoutDeregistration
                | T::UserDeregistration
                | T::AdministrativeDeregistration
                | T::DeregistrationTooMuchData,
                None,
            ) => self.state.deregistered(set(), &impi, false),
        }
        if matches!(
            sar.assignment,
            T::NoAssignment | T::Registration | T::ReRegistration | T::UnregisteredUser
        ) {
            self.holds(sar, &impi);
            let number = sar.impus.first().and_then(|impu| self.subscription.held(impu)).map(|held| held.set);
            if let Some(number) = number.filter(|_| !sar.user_data_already_available) {
                answer.user_data = Some(self.subscription.user_data(&impi, number));
            }
        }
        if sar.impi.is_none() {
            answer.impi = Some(impi);
        }
        Ok(answer)
    }

    /// Whom a SAR is about. The order of the checks decides which error an S-CSCF sees.
    fn assigned(&self, sar: &ServerAssignmentRequest) -> Result<Impi, CxFailure> {
        use ServerAssignmentType as T;
        let holders =
            sar.impus.first().and_then(|impu| self.subscription.held(impu)).map(|held| &*held.held_by);
        let impi = match (&sar.impi, holders) {
            (Some(impi), _) => impi,
            (None, Some([only])) => only,
            // Without User-Name a shared identity does not say whose registration begins or ends.
            (None, Some([one, ..])) if matches!(sar.assignment, T::NoAssignment | T::UnregisteredUser) => one,
            (None, _) => return Err(BaseCode::MissingAvp.into()),
        };
        let held = || sar.impus.iter().filter_map(|impu| self.subscription.held(impu));
        if !held().all(|held| held.held_by.contains(impi)) {
            return Err(ExperimentalCode::IdentitiesDontMatch.into());
        }
        match sar.impus.len() {
            0 if sar.assignment.takes_one_identity() => return Err(BaseCode::MissingAvp.into()),
            2.. if sar.assignment.takes_one_identity() => return Err(BaseCode::AvpOccursTooManyTimes.into()),
            _ => {}
        }
        let is_of_users = matches!(
            sar.assignment,
            T::Registration
                | T::ReRegistration
                | T::UserDeregistration
                | T::UserDeregistrationStoreServerName
                | T::TimeoutDeregistrationStoreServerName
                | T::AuthenticationFailure
                | T::AuthenticationTimeout
        );
        if is_of_users && held().any(|held| held.kind != IdentityType::DistinctUser) {
            return Err(ExperimentalCode::InAssignmentType.into());
        }
        Ok(impi.clone())
    }

    /// The implicit sets of the identities that are named; all of the user when none is.
    //= TS 29.228 6.5.1
    fn affected(&self, sar: &ServerAssignmentRequest, impi: &Impi) -> Vec<&'a Impu> {
        let subscription = self.subscription;
        let named = |number| {
            let mut sets = sar.impus.iter().filter_map(|impu| subscription.held(impu));
            sar.impus.is_empty() || sets.any(|held| held.set == number)
        };
        let held = subscription.public().iter();
        held.filter(|held| held.held_by.contains(impi) && named(held.set)).map(|held| &held.impu).collect()
    }

    /// What S-CSCFs have left, for the one that asks; from now on it is this one's. What it has left itself is of use
    /// only to one that has lost its memory.
    //= TS 29.228 6.1.2.1
    fn left_behind(&mut self, sar: &ServerAssignmentRequest, own_too: bool) -> Vec<RestorationInfo> {
        let mut left = Vec::new();
        for (by, info) in &mut self.state.restoration {
            if own_too || *by != sar.server_name {
                left.push(info.clone());
                *by = sar.server_name.clone();
            }
        }
        left
    }

    /// Whoever held the registration before hears that he is no longer asked.
    //= TS 29.228 6.1.3
    fn holds(&mut self, sar: &ServerAssignmentRequest, impi: &Impi) {
        let holder = Holder { name: sar.server_name.clone(), origin: self.from.clone() };
        for (before, impus) in self.state.held_by(&holder) {
            let known = impus.iter().find_map(|impu| self.state.registered_by(impu).first());
            let impi = known.unwrap_or(impi).clone();
            let notice =
                Notice::rtr(before.origin, impi, impus, Vec::new(), ReasonCode::NewServerAssigned, None);
            self.notices.push(notice);
        }
    }
}
