//! Which identities a UE's requests and answers assert (`spec/07` section 4).

use sip::{Message, Name, Relay, Uri};

use super::Relayed;
use crate::core::dialogs::DialogId;
use crate::core::{Device, PCscf, Refusal};

impl PCscf {
    /// What a request of this device asserts: the preferred identities that are registered, else those of its
    /// dialog, else the default.
    //= RFC 3325 5, TS 24.229 5.2.6.3
    pub(super) fn asserted_by_request(
        &self,
        device: &Device,
        request: &Message,
        dialog: Option<DialogId>,
    ) -> Result<Vec<Box<str>>, Refusal> {
        let of_dialog = dialog.and_then(|id| self.dialogs.get(id)).map(|dialog| &dialog.asserted);
        let asserted = self.asserted(device, request, of_dialog.map_or(&[], Vec::as_slice));
        if asserted.is_empty() { Err(Refusal::NoIdentityToAssert) } else { Ok(asserted) }
    }

    /// What the answers of this device assert: whom the request has addressed.
    //= TS 24.229 5.2.6.4
    pub(super) fn addressed_by(
        &self,
        device: &Device,
        request: &Message,
        dialog: Option<DialogId>,
    ) -> Vec<Box<str>> {
        if let Some(dialog) = dialog.and_then(|id| self.dialogs.get(id)) {
            return dialog.asserted.clone();
        }
        let Some(registration) = self.registrations.get(device) else { return Vec::new() };
        let called =
            [Name::PCalledPartyId, Name::To].into_iter().filter_map(|name| request.address(name).ok());
        let called = called.filter_map(|address| address.parse_uri().ok());
        let registered = |called: Uri<'_>| registration.registered(&called).map(Into::into);
        let mut addressed = called.filter_map(registered);
        addressed.next().into_iter().collect()
    }

    pub(super) fn asserted_by_answer(&self, relay: &Relay<Relayed>, response: &Message) -> Vec<Box<str>> {
        self.asserted(&relay.context.device, response, &relay.context.asserted)
    }

    /// `usual`: where the message prefers nothing that is registered.
    fn asserted(&self, device: &Device, message: &Message, usual: &[Box<str>]) -> Vec<Box<str>> {
        let Some(registration) = self.registrations.get(device) else { return Vec::new() };
        let preferred = message.addresses(Name::PPreferredIdentity).filter_map(Result::ok);
        let preferred: Vec<Uri<'_>> = preferred.filter_map(|address| address.parse_uri().ok()).collect();
        let usual: Vec<Box<str>> =
            usual.iter().filter(|one| registration.associated_uris.contains(one)).cloned().collect();
        if preferred.is_empty() && !usual.is_empty() {
            return usual;
        }
        // The first of them is the default.
        let registered: Vec<Box<str>> = usual.iter().chain(&registration.associated_uris).cloned().collect();
        trust::identity::assert(&preferred, &registered)
    }
}
