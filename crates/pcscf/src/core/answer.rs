//! SM11 to SM12: what the core network says about a REGISTER, on its way to the UE.

use sip::{ClientId, Draft, Flow, Instant, Message, Name, Uri};

use super::{Arrival, Event, Forwarded, PCscf, Registration, SetId, Stage};

impl PCscf {
    pub(super) fn core_answered(&mut self, now: Instant, id: ClientId, response: Message) {
        let Some(status) = response.status().filter(|status| *status >= 200) else { return };
        let Some(forwarded) = self.forwarded.remove(&id) else { return };
        match status {
            401 => self.challenge(now, forwarded, &response),
            200..300 => self.registered(now, &forwarded, &response),
            _ => {
                self.pass_on(now, &forwarded, &response);
                self.event(Event::Rejected { impi: forwarded.impi.clone(), status });
                //= TS 33.203 7.4.2a: after the failure message both ends delete the new set
                self.drop_temporary(&forwarded);
            }
        }
    }

    fn registered(&mut self, now: Instant, forwarded: &Forwarded, response: &Message) {
        let expires = granted(&forwarded.request, response);
        // The answer leaves over the set of its request before anything happens to that set.
        self.pass_on(now, forwarded, response);
        if expires == 0 {
            return self.deregistered(now, forwarded);
        }
        let Arrival::Over(set) = forwarded.arrival else {
            // A core network that registers an unauthenticated UE is not ours to believe: no set confirms it.
            return self.event(Event::Dropped { flow: forwarded.flow, reason: "a 200 without a challenge" });
        };
        let ue = forwarded.flow.remote;
        let impi = forwarded.impi.clone();
        self.registrations.insert(impi.clone(), registration(&forwarded.request, response));
        match self.sets.get(set).map(|entry| (entry.stage, entry.initial)) {
            Some((Stage::Temporary, initial)) => {
                let (ended, change) = self.sets.promote(now, set, expires);
                self.outputs.extend(change);
                ended.into_iter().for_each(|ended| self.remove_set(ended));
                self.event(Event::Registered { impi, ue, set, expires, initial });
            }
            Some(_) => {
                let change = self.sets.prolong(now, set, expires);
                self.outputs.extend(change);
                self.event(Event::Refreshed { impi, set, expires });
            }
            None => {}
        }
    }

    /// The sets outlive the 200, which must leave inside ESP, and its retransmissions.
    //= TS 33.203 7.4: SAs are deleted after the answer to the de-registration
    fn deregistered(&mut self, now: Instant, forwarded: &Forwarded) {
        let ids: Vec<SetId> = self.sets.of(&forwarded.impi).map(|(id, _)| id).collect();
        for id in ids {
            let change = self.sets.end_soon(now, id);
            self.outputs.extend(change);
        }
        self.registrations.remove(&forwarded.impi);
        self.event(Event::Deregistered { impi: forwarded.impi.clone() });
    }

    /// A response as it goes to the UE: our Via and what concerns only the network removed.
    fn pass_on(&mut self, now: Instant, forwarded: &Forwarded, response: &Message) {
        let mut draft = Draft::forward(response);
        draft
            .remove_first_value(Name::Via)
            .remove(Name::PChargingVector)
            .remove(Name::PChargingFunctionAddresses)
            .remove(Name::SecurityServer);
        // No challenge passes here, so no ik and ck do; a line that claims otherwise stays out.
        draft.remove(Name::WwwAuthenticate);
        let reply: Option<Flow> = self.reply_flow(forwarded.flow, forwarded.arrival);
        self.respond(now, forwarded.server, reply, draft.finish());
    }
}

/// The registration time granted to the contact of the request: its expires parameter, else the header.
//= RFC 3261 10.3
fn granted(request: &Message, response: &Message) -> u32 {
    let own = request.contacts().ok().and_then(|contacts| match contacts {
        sip::Contacts::List(list) => list.first().and_then(|contact| contact.parse_uri().ok()),
        sip::Contacts::Star => None,
    });
    let bound = match response.contacts() {
        Ok(sip::Contacts::List(list)) => list,
        _ => Vec::new(),
    };
    let same = |uri: &str| own.zip(Uri::parse(uri).ok()).is_some_and(|(own, uri)| own.equals(&uri));
    match bound.iter().find(|contact| same(contact.uri)) {
        Some(contact) => contact.expires().or_else(|| response.expires()).unwrap_or(3600),
        // A contact that is not bound any more was de-registered.
        None if request.contacts().is_ok() => 0,
        None => response.expires().unwrap_or(0),
    }
}

fn registration(request: &Message, response: &Message) -> Registration {
    let uris = |name| -> Vec<Box<str>> {
        response.addresses(name).filter_map(Result::ok).map(|address| address.uri.into()).collect()
    };
    Registration {
        associated_uris: uris(Name::PAssociatedUri),
        //= RFC 3608 6.1: the routes of the latest 200 replace those before
        service_route: uris(Name::ServiceRoute),
        contact: request.address(Name::Contact).map(|contact| contact.uri.into()).unwrap_or_default(),
    }
}
