//! LIR: which S-CSCF a request for this identity goes to.

use cx::{CxFailure, ExperimentalCode, LocationInfo, LocationInfoRequest};

use super::request::View;
use crate::Status;

impl View<'_> {
    //= TS 29.228 6.1.4.1
    pub(super) fn locate(&mut self, lir: &LocationInfoRequest) -> Result<LocationInfo, CxFailure> {
        let held = self.subscription.held(&lir.impu).ok_or(ExperimentalCode::UserUnknown)?;
        let is_served = self.state.status(&lir.impu) != Status::NotRegistered;
        let may_be_served = lir.originating || self.subscription.has_unregistered_services(held.set);
        if !is_served && !may_be_served {
            return Err(ExperimentalCode::IdentityNotRegistered.into());
        }
        if lir.capabilities {
            //= TS 23.380 4.2.2
            self.state.reassignment |= self.state.name_of_any().is_some();
            return Ok(LocationInfo::Capabilities { capabilities: self.capabilities() });
        }
        let own = self.state.server(&lir.impu).filter(|_| is_served);
        Ok(match own.or_else(|| self.state.name_of_any()).cloned() {
            Some(server_name) => LocationInfo::Served { server_name },
            None => LocationInfo::UnregisteredService { capabilities: self.capabilities() },
        })
    }
}
