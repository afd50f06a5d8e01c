//! What the HSS tells an S-CSCF of its own accord, and what becomes of it.

use std::sync::{Arc, PoisonError};

use aka::{Impi, Impu};
use cx::{
    Answer, CxFailure, LinkError, Origin, PushProfileRequest, ReasonCode, RegistrationTerminationRequest,
    Reply, Request, UserData,
};

use super::Hss;
use super::operations::Delivery;
use crate::store::Store;

/// An RTR or PPR that is to be sent.
#[derive(Debug)]
pub(super) struct Notice {
    pub(super) to: Origin,
    pub(super) request: Request,
}

impl Notice {
    pub(super) fn rtr(
        to: Origin,
        impi: Impi,
        impus: Vec<Impu>,
        associated: Vec<Impi>,
        reason: ReasonCode,
        info: Option<Arc<str>>,
    ) -> Self {
        let request = RegistrationTerminationRequest { impi, impus, associated, reason, info };
        Self { to, request: Request::Rtr(request) }
    }

    pub(super) fn ppr(to: Origin, user_data: UserData) -> Self {
        let impi = user_data.private_id.clone();
        Self { to, request: Request::Ppr(PushProfileRequest { impi, user_data: Some(user_data) }) }
    }
}

impl<S: Store> Hss<S> {
    pub(super) fn tell(&self, notice: Notice, done: Box<dyn FnOnce(Delivery) + Send>) {
        let Notice { to, request } = notice;
        let (name, host) = (request.name(), to.host.clone());
        let reply: Reply = Box::new(move |answered| {
            let delivery = Delivery::of(answered);
            match &delivery {
                Delivery::Delivered => tracing::info!(host = %host.escape_debug(), "{name} delivered"),
                Delivery::Unreachable(error) => {
                    tracing::warn!(host = %host.escape_debug(), %error, "{name} not delivered");
                }
                Delivery::Refused(failure) => {
                    tracing::warn!(host = %host.escape_debug(), %failure, "{name} refused");
                }
            }
            done(delivery);
        });
        let peers = self.0.peers.read().unwrap_or_else(PoisonError::into_inner).clone();
        match peers {
            Some(peers) => peers.call(&to, request, reply),
            None => reply(Err(LinkError::NotConnected)),
        }
    }
}

impl Delivery {
    fn of(answered: Result<Answer, LinkError>) -> Self {
        match answered {
            Ok(answer) => match answer.failure() {
                None => Self::Delivered,
                Some(failure) => Self::Refused(CxFailure::clone(failure)),
            },
            Err(error) => Self::Unreachable(error),
        }
    }
}
