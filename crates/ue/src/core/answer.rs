//! SM12 and every other final answer.

use std::time::Duration;

use aka::DigestResponse;
use sip::header::AuthenticationInfo;
use sip::{Contacts, Instant, Message, Name, Uri};

use super::sets::Via;
use super::subscription::retry_after;
use super::{Command, Failure, Registration, Step, Ue};

impl Ue {
    pub(super) fn answered(&mut self, now: Instant, status: u16, response: &Message) {
        if !(200..300).contains(&status) {
            return self.refused_by_network(now, status, response);
        }
        let Some(attempt) = &self.attempt else { return };
        if attempt.command == Command::Deregister {
            self.attempt = None;
            return self.deregistered(now);
        }
        let Some(expires) = self.granted(response).filter(|expires| *expires > 0) else {
            return self.fail(now, Failure::BadAnswer("our contact is not in the 200"));
        };
        if attempt.is_initial() && !attempt.answering {
            // Nobody authenticated the network: such a 200 is worth nothing.
            return self.fail(now, Failure::BadAnswer("a 200 without a challenge"));
        }
        if !proves(response, attempt.rspauth.as_ref().filter(|_| attempt.answering)) {
            return self.fail(now, Failure::BadAnswer("its rspauth is wrong"));
        }
        let Some(attempt) = self.attempt.take() else { return };
        if attempt.is_initial() {
            // Whatever was before has ended at the network, and its dialogs with it.
            self.subscription = None;
        }
        let bound = attempt.bound.and_then(|bound| u32::try_from((bound - now).as_secs()).ok());
        let expires = bound.map_or(expires, |bound| bound.clamp(1, expires));
        let outputs = if attempt.answering {
            self.last_authorization = attempt.authorization.clone();
            self.sets.promote(now, attempt.is_initial(), expires)
        } else {
            self.sets.give_back(&attempt.offer.setup());
            self.sets.prolong(now, expires).into_iter().collect()
        };
        self.outputs.extend(outputs);
        let Some(set) = self.sets.current() else { return };
        let uris = |name| -> Vec<Box<str>> {
            response.addresses(name).filter_map(Result::ok).map(|address| address.uri.into()).collect()
        };
        let registration = Registration {
            expires,
            associated_uris: uris(Name::PAssociatedUri),
            service_route: uris(Name::ServiceRoute),
            associations: set.associations,
        };
        self.registration = Some(registration.clone());
        self.doubtful = attempt.ended;
        self.refresh = self.config.stay_registered.then(|| now + refresh_after(expires));
        self.recovery.registered(self.refresh);
        self.step(Step::Registered(Box::new(registration)));
        self.subscribe(now);
    }

    fn refused_by_network(&mut self, now: Instant, status: u16, response: &Message) {
        let Some(attempt) = &mut self.attempt else { return };
        if attempt.distrusted {
            return self.fail(now, Failure::NetworkAuthentication);
        }
        let min_expires = response.first(Name::MinExpires).and_then(sip::header::delta_seconds);
        if let (423, Some(min_expires)) = (status, min_expires)
            && attempt.command != Command::Deregister
            && self.recovery.raise(min_expires, attempt.expires)
        {
            //= RFC 3261 10.2.8: after 423 the registration is tried again with the time the registrar takes
            attempt.expires = min_expires;
            let via = attempt.first_via;
            let authorization = self.first_authorization(via);
            return self.register_again(now, &authorization);
        }
        self.note_refusal(status);
        let reason = response.reason().unwrap_or_default().into();
        self.fail(now, Failure::Rejected { status, reason, retry_after: retry_after(response) });
    }

    pub(super) fn deregistered(&mut self, now: Instant) {
        self.registration = None;
        self.last_authorization = None;
        self.refresh = None;
        self.recovery.registered(None);
        self.drop_between_users();
        let outputs = self.sets.retire(now, true);
        self.outputs.extend(outputs);
        self.step(Step::Deregistered);
    }

    /// The registration time of our own contact.
    fn granted(&self, response: &Message) -> Option<u32> {
        let Ok(Contacts::List(bound)) = response.contacts() else { return None };
        let via = self.attempt.as_ref().map_or(Via::Clear, |attempt| attempt.via);
        let (address, port) = (self.address_over(via), self.config.server_port.get());
        let ours = |uri: Uri<'_>| uri.host.ip() == Some(address) && uri.port == Some(port);
        let contact = bound.iter().find(|contact| contact.parse_uri().is_ok_and(ours))?;
        contact.expires().or_else(|| response.expires())
    }
}

/// Whether what Authentication-Info says of the server's knowledge of RES is true. It need not say anything.
//= RFC 2617 3.2.3
fn proves(response: &Message, expected: Option<&DigestResponse>) -> bool {
    let Some(value) = response.first(Name::AuthenticationInfo) else { return true };
    let Ok(info) = AuthenticationInfo::parse(value) else { return false };
    let proof = info.rspauth.as_deref().zip(expected);
    proof.is_none_or(|(rspauth, expected)| expected.matches(rspauth))
}

/// When to register again.
//= TS 24.229 5.1.1.4: 600 s before the end if it lasts over 1200 s, else at half of it
pub(super) fn refresh_after(expires: u32) -> Duration {
    Duration::from_secs(u64::from(if expires > 1200 { expires - 600 } else { expires / 2 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn re_registration_comes_in_time() {
        assert_eq!(refresh_after(600_000), Duration::from_secs(599_400));
        assert_eq!(refresh_after(1200), Duration::from_secs(600));
        assert_eq!(refresh_after(60), Duration::from_secs(30));
    }
}
