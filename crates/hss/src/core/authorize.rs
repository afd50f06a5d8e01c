//! UAR: may this identity register, and where.

use cx::{
    BaseCode, CxFailure, ExperimentalCode, IdentityType, ServerCapabilities, UserAuthorization,
    UserAuthorizationRequest, UserAuthorizationType, VisitedNetwork,
};

use super::request::View;

impl View<'_> {
    //= TS 29.228 6.1.1.1
    pub(super) fn authorize(
        &mut self,
        uar: &UserAuthorizationRequest,
    ) -> Result<UserAuthorization, CxFailure> {
        use UserAuthorizationType as T;
        let held = self.subscription.held(&uar.impu).ok_or(ExperimentalCode::UserUnknown)?;
        if held.kind != IdentityType::DistinctUser {
            return Err(ExperimentalCode::UserUnknown.into());
        }
        let mut set = self.subscription.set_of(&uar.impu, &uar.impi);
        if held.barred && !uar.emergency && set.all(|held| held.barred) {
            return Err(BaseCode::AuthorizationRejected.into());
        }
        let leaves = uar.kind == T::DeRegistration;
        if !leaves && !uar.emergency && !self.may_register_from(&uar.visited_network) {
            return Err(ExperimentalCode::RoamingNotAllowed.into());
        }
        let own = self.state.server_of(&uar.impu, &uar.impi).cloned();
        match uar.kind {
            T::RegistrationAndCapabilities => {
                // The S-CSCF that is stored does not answer: the next one that comes takes over.
                //= TS 23.380 4.2.2
                self.state.reassignment |= self.state.name_of_any().is_some();
                Ok(UserAuthorization::Capabilities { capabilities: self.capabilities() })
            }
            T::DeRegistration => {
                let server_name = own.ok_or(ExperimentalCode::IdentityNotRegistered)?;
                Ok(UserAuthorization::DeRegistration { server_name })
            }
            // One S-CSCF serves all identities of a subscription.
            T::Registration => Ok(match own.or_else(|| self.state.server_of_any().cloned()) {
                Some(server_name) => UserAuthorization::Subsequent { server_name },
                None => UserAuthorization::FirstRegistration { capabilities: self.capabilities() },
            }),
        }
    }

    fn may_register_from(&self, network: &VisitedNetwork) -> bool {
        match &self.subscription.profile().visited_networks {
            Some(own) => own.contains(network),
            None => {
                let allowed = &self.given.policy.visited_networks;
                allowed.is_empty() || allowed.contains(network)
            }
        }
    }

    pub(super) fn capabilities(&self) -> ServerCapabilities {
        let own = self.subscription.profile().capabilities.as_ref();
        own.unwrap_or(&self.given.policy.capabilities).clone()
    }
}
