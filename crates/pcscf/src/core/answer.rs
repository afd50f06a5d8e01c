//! SM11 to SM12: what the core network answers, on its way to the UE.

use sip::{ClientId, Contacts, Draft, Flow, Instant, Message, Name, ServerId, Uri};

use super::{Arrival, Asked, Device, Event, Forwarded, PCscf, Registration, SetId, Stage};

impl PCscf {
    pub(super) fn core_answered(&mut self, now: Instant, id: ClientId, response: Message) {
        let Some(status) = response.status() else { return };
        if !self.asked.contains_key(&id) {
            return self.relay_answered(now, id, &response);
        }
        if status < 200 {
            // Each hop tells the one before it by itself that it tries (RFC 4320 4.1).
            return;
        }
        match self.asked.remove(&id) {
            None => {}
            Some(Asked::Register(forwarded)) => self.register_answered(now, *forwarded, status, &response),
            Some(Asked::Subscribe { impi, call_id }) => {
                self.subscribe_answered(now, &impi, &call_id, status, &response);
            }
        }
    }

    fn register_answered(&mut self, now: Instant, forwarded: Forwarded, status: u16, response: &Message) {
        match status {
            401 => self.challenge(now, forwarded, response),
            200..300 => self.registered(now, &forwarded, response),
            _ => {
                let reply = self.failure_flow(now, &forwarded);
                self.pass_on(now, forwarded.server, reply, response);
                self.event(Event::Rejected { impi: forwarded.device.impi.clone(), status });
                //= TS 33.203 7.4.2a: after the failure message both ends delete the new set
                self.drop_temporary(now, &forwarded);
            }
        }
    }

    /// A failed answer to a challenge is told over the set that SM1 came over, and over the new one only where SM1
    /// was not protected. On a stream it stays on the connection of its request.
    //= TS 33.203 7.4.2a
    fn failure_flow(&self, now: Instant, forwarded: &Forwarded) -> Option<Flow> {
        let reply = self.reply_flow(forwarded.flow, forwarded.arrival);
        let Arrival::Over(set) = forwarded.arrival else { return reply };
        let temporary = self.sets.get(set).filter(|entry| entry.stage == Stage::Temporary && !entry.initial);
        let old = temporary.and_then(|_| self.sets.sending(now, &forwarded.device));
        match old.filter(|_| !forwarded.flow.transport.is_reliable()) {
            Some((_, old)) => {
                let sa = old.associations.pc_to_us;
                Some(Flow::udp(sa.source, sa.destination))
            }
            None => reply,
        }
    }

    fn registered(&mut self, now: Instant, forwarded: &Forwarded, response: &Message) {
        let expires = granted(&forwarded.request, response);
        // The answer leaves over the set of its request before anything happens to that set.
        let reply = self.reply_flow(forwarded.flow, forwarded.arrival);
        self.pass_on(now, forwarded.server, reply, response);
        let Arrival::Over(set) = forwarded.arrival else {
            // Whatever the core network says about an unauthenticated UE: no set confirms it, so none is touched.
            return self.event(Event::Dropped { flow: forwarded.flow, reason: "a 200 without a challenge" });
        };
        // A REGISTER without Contact only asks what is bound.
        let Some(expires) = expires else { return };
        if expires == 0 {
            return self.deregistered(now, &forwarded.device);
        }
        let Some((stage, initial)) = self.sets.get(set).map(|entry| (entry.stage, entry.initial)) else {
            return;
        };
        let (ue, device) = (forwarded.flow.remote, forwarded.device.clone());
        self.registrations.insert(device.clone(), Registration::new(&forwarded.request, response));
        if stage == Stage::Temporary {
            if initial {
                // What a subscription says of an earlier registration must not touch this one, however late it comes.
                self.subscriptions.remove(&device.impi);
                // The UE has begun anew, and knows nothing of its dialogs any more.
                self.dialogs.remove_all(&device);
            }
            let (ended, change) = self.sets.promote(now, set, expires);
            self.outputs.extend(change);
            ended.into_iter().for_each(|ended| self.remove_set(ended));
            self.event(Event::Registered { impi: device.impi.clone(), ue, set, expires, initial });
        } else {
            let change = self.sets.prolong(now, set, expires);
            self.outputs.extend(change);
            self.event(Event::Refreshed { impi: device.impi.clone(), set, expires });
        }
        self.subscribe(now, &device, expires);
    }

    /// The sets outlive the 200, which must leave inside ESP, and its retransmissions.
    //= TS 33.203 7.4: SAs are deleted after the answer to the de-registration
    pub(super) fn deregistered(&mut self, now: Instant, device: &Device) {
        let ids: Vec<SetId> = self.sets.of(device).map(|(id, _)| id).collect();
        for id in ids {
            let change = self.sets.end_soon(now, id);
            self.outputs.extend(change);
        }
        if self.registrations.end(device) {
            self.event(Event::Deregistered { impi: device.impi.clone() });
        }
    }

    /// A response as it goes to the UE: our Via and what concerns only the network removed.
    pub(super) fn pass_on(
        &mut self,
        now: Instant,
        server: ServerId,
        reply: Option<Flow>,
        response: &Message,
    ) {
        let mut draft = Draft::forward(response);
        draft
            .remove_first_value(Name::Via)
            .remove(Name::PChargingVector)
            .remove(Name::PChargingFunctionAddresses)
            .remove(Name::SecurityServer);
        // No challenge passes here, so no ik and ck do; a line that claims otherwise stays out.
        draft.remove(Name::WwwAuthenticate);
        self.respond(now, server, reply, draft.finish());
    }
}

/// The registration time granted to the contact of the request: its expires parameter, else the header; 0 when it is
/// not bound any more. `None` for a request without a contact, which changes nothing.
//= RFC 3261 10.3
fn granted(request: &Message, response: &Message) -> Option<u32> {
    let asked = match request.contacts().ok()? {
        Contacts::Star => return Some(0),
        Contacts::List(list) => list,
    };
    let own = asked.first()?.parse_uri().ok()?;
    let bound = match response.contacts() {
        Ok(Contacts::List(list)) => list,
        _ => Vec::new(),
    };
    let is_own = |uri: &str| Uri::parse(uri).is_ok_and(|uri| own.equals(&uri));
    let contact = bound.iter().find(|contact| is_own(contact.uri));
    Some(contact.map_or(0, |contact| contact.expires().or_else(|| response.expires()).unwrap_or(3600)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(first_line: &str, contact: &str) -> Message {
        let text = format!(
            "{first_line}\r\nVia: SIP/2.0/UDP 10.9.0.2;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=f\r\nTo: <sip:a@b>\r\n\
             Call-ID: c\r\nCSeq: 1 REGISTER\r\n{contact}Content-Length: 0\r\n\r\n"
        );
        Message::parse(text.into_bytes()).unwrap()
    }

    #[test]
    fn the_time_granted_is_that_of_the_own_contact() {
        let granted = |asked: &str, bound: &str| {
            granted(&message("REGISTER sip:b SIP/2.0", asked), &message("SIP/2.0 200 OK", bound))
        };
        let own = "Contact: <sip:a@10.9.0.2:7100>\r\n";
        let two = "Contact: <sip:a@10.9.0.9:7100>;expires=9, <sip:a@10.9.0.2:7100>;expires=60\r\n";
        assert_eq!(granted(own, two), Some(60));
        assert_eq!(granted(own, "Contact: <sip:a@10.9.0.2:7100>\r\nExpires: 30\r\n"), Some(30));
        assert_eq!(
            granted(own, "Contact: <sip:a@10.9.0.9:7100>;expires=9\r\n"),
            Some(0),
            "not bound any more"
        );
        assert_eq!(granted("Contact: *\r\nExpires: 0\r\n", ""), Some(0));
        // A request that only asks must not end the sets it came over.
        assert_eq!(granted("", two), None);
        assert_eq!(granted("", ""), None);
    }
}
