//! Privacy towards a UE: what the other end of a dialog asked for when it began holds for all that it sends in it.

use sip::{Draft, Instant, Message, Method, Name, Relay};
use trust::{MemoryError, Privacy, PrivacyMemory, Service, Value};

use super::Relayed;
use crate::core::PCscf;
use crate::core::dialogs::{Dialog, PeerPrivacy, Purpose};

/// Two, because both ends of a dialog may be UEs of ours: what is over for one is not yet for the other.
#[derive(Debug, Default)]
pub(in crate::core) struct PrivacyMemories {
    /// Of dialogs that a UE has made.
    by_ue: PrivacyMemory,
    by_others: PrivacyMemory,
}

impl PrivacyMemories {
    fn of(&mut self, made_by_ue: bool) -> &mut PrivacyMemory {
        if made_by_ue { &mut self.by_ue } else { &mut self.by_others }
    }

    pub(in crate::core) fn expire(&mut self, now: Instant) {
        self.by_ue.expire(now);
        self.by_others.expire(now);
    }

    pub(in crate::core) fn next_timeout(&self) -> Option<Instant> {
        self.by_ue.deadline().into_iter().chain(self.by_others.deadline()).min()
    }

    pub(in crate::core) fn len(&self) -> usize {
        self.by_ue.len() + self.by_others.len()
    }

    pub(in crate::core) fn end_of(&mut self, dialog: &Dialog) {
        self.of(dialog.by_ue).end_of(&dialog.call_id, &dialog.peer_tag);
    }

    /// What an earlier run knew of a dialog.
    pub(in crate::core) fn restore(&mut self, now: Instant, dialog: &Dialog) {
        let Some(PeerPrivacy { wanted, address }) = &dialog.peer else { return };
        let is_session = dialog.usages.iter().any(|usage| usage.purpose == Purpose::Session);
        let method = if is_session { Method::Invite } else { Method::Subscribe };
        let peer = address.as_ref().map_or(
            format!("<sip:anonymous@anonymous.invalid>;tag={}", dialog.peer_tag),
            ToString::to_string,
        );
        let mut draft = Draft::request(method, "sip:anonymous@anonymous.invalid");
        let ue = format!("<sip:anonymous@anonymous.invalid>;tag={}", dialog.ue_tag);
        let (from, to) = if address.is_some() { (peer, ue) } else { (ue, peer) };
        draft.push(Name::From, from).push(Name::To, to);
        draft.push(Name::CallId, dialog.call_id.to_string());
        draft.push(Name::CSeq, format!("1 {method}"));
        let memory = self.of(dialog.by_ue);
        if address.is_some() {
            // It was remembered before, so there is room for it.
            let _ = memory.request(now, &draft.push(Name::Privacy, wanted.to_string()).finish());
        } else {
            let request = draft.finish();
            let mut response = Draft::reply(&request, 200, "OK", None);
            memory.response(now, &response.push(Name::Privacy, wanted.to_string()).finish());
        }
    }
}

impl PCscf {
    /// Does to a request what its sender wants. Answers what is to be remembered of that.
    //= TS 33.203 5.3: the last hop provides the privacy
    pub(super) fn make_private(
        &mut self,
        now: Instant,
        request: &Message,
        draft: &mut Draft<'_>,
        made_by_ue: bool,
    ) -> Result<Option<PeerPrivacy>, MemoryError> {
        let Some(privacy) = self.privacy.of(made_by_ue).request(now, request)? else { return Ok(None) };
        privacy.execute(draft, Service::LastHop)?;
        let address = request.first(Name::From).filter(|_| privacy.asks(&Value::User));
        Ok(Some(peer_privacy(&privacy, address)))
    }

    /// As [`Self::make_private`], for a response. What is critical cannot be refused any more; what can be done is.
    pub(super) fn make_answer_private(
        &mut self,
        now: Instant,
        relay: &Relay<Relayed>,
        response: &Message,
        draft: &mut Draft<'_>,
    ) -> Option<PeerPrivacy> {
        let privacy = self.privacy.of(relay.context.made_by_ue).response(now, response)?;
        if privacy.execute(draft, Service::LastHop).is_err() {
            let _ = Privacy::cautious().execute(draft, Service::LastHop);
        }
        Some(peer_privacy(&privacy, None))
    }

    /// A UE asks somebody who is anonymous to it: To gets back the address that he knows.
    pub(super) fn give_back_name(
        &mut self,
        now: Instant,
        request: &Message,
        draft: &mut Draft<'_>,
        made_by_ue: bool,
    ) {
        self.privacy.of(made_by_ue).inward(now, request, draft);
    }

    pub(super) fn privacy_answered(&mut self, relay: &Relay<Relayed>, response: &Message) {
        self.privacy.of(relay.context.made_by_ue).answered(&relay.request, response);
    }
}

fn peer_privacy(privacy: &Privacy, address: Option<&str>) -> PeerPrivacy {
    PeerPrivacy { wanted: privacy.to_string().into(), address: address.map(Into::into) }
}
