//! Who is registered here: what the P-CSCF remembers of a 200 besides the security associations.

use std::collections::HashMap;

use aka::Impi;
use sip::{Message, Name, OptionTags, Uri};

/// One contact of a private identity. Sets and registrations belong to it: a phone, or one flow of a phone that
/// registers several.
//= TS 33.203 7.1
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Device {
    pub impi: Impi,
    /// `+sip.instance` and `reg-id` of the Contact, where it has both and asks for outbound.
    //= RFC 5626 4.2
    pub flow: Option<Box<str>>,
}

impl Device {
    /// Whose REGISTER this is.
    pub(super) fn of(request: &Message, impi: Impi) -> Self {
        let contact = request.address(Name::Contact).ok();
        let outbound = OptionTags::of(request, Name::Supported).contains("outbound");
        let flow = contact.filter(|_| outbound).and_then(|contact| {
            let instance = contact.params.value("+sip.instance")?;
            let flow = contact.params.value("reg-id")?;
            Some(format!("{instance};{flow}").into())
        });
        Self { impi, flow }
    }
}

/// What is known of a registered contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Default identity first.
    pub associated_uris: Vec<Box<str>>,
    /// `<uri>;params`, top first: the Route of the UE's requests.
    pub service_route: Vec<Box<str>>,
    pub contact: Box<str>,
    /// It is over, and its sets live on for what still must be said over them.
    pub ended: bool,
}

impl Registration {
    pub(super) fn new(request: &Message, response: &Message) -> Self {
        let associated = response.addresses(Name::PAssociatedUri).filter_map(Result::ok);
        Self {
            associated_uris: associated.map(|address| address.uri.into()).collect(),
            //= RFC 3608 6.1: the routes of the latest 200 replace those before
            service_route: response.values(Name::ServiceRoute).map(Into::into).collect(),
            contact: request.address(Name::Contact).map(|contact| contact.uri.into()).unwrap_or_default(),
            ended: false,
        }
    }

    /// Whether this URI is the contact (RFC 3261 19.1.4).
    pub(super) fn is_at(&self, uri: &Uri<'_>) -> bool {
        Uri::parse(&self.contact).is_ok_and(|contact| contact.equals(uri))
    }

    /// The registered identity that is equal to this one (RFC 3261 19.1.4).
    pub(super) fn registered(&self, identity: &Uri<'_>) -> Option<&str> {
        let is_same = |own: &&str| Uri::parse(own).is_ok_and(|own| own.equals(identity));
        self.associated_uris.iter().map(|own| &**own).find(is_same)
    }
}

/// All of them, by private identity: few for each.
#[derive(Debug, Default)]
pub(super) struct Registrations(HashMap<Impi, Vec<(Device, Registration)>>);

impl Registrations {
    pub(super) fn get(&self, device: &Device) -> Option<&Registration> {
        self.of(&device.impi).find(|(known, _)| *known == device).map(|(_, registration)| registration)
    }

    pub(super) fn of(&self, impi: &Impi) -> impl Iterator<Item = (&Device, &Registration)> {
        let known = self.0.get(impi).map(Vec::as_slice).unwrap_or_default();
        known.iter().map(|(device, registration)| (device, registration))
    }

    pub(super) fn insert(&mut self, device: Device, registration: Registration) {
        let known = self.0.entry(device.impi.clone()).or_default();
        known.retain(|(other, _)| *other != device);
        known.push((device, registration));
    }

    /// Marks it as over. Answers whether it was not before.
    pub(super) fn end(&mut self, device: &Device) -> bool {
        let known = self.0.get_mut(&device.impi).into_iter().flatten();
        let running = |one: &&mut (Device, Registration)| one.0 == *device && !one.1.ended;
        let registration = known.into_iter().find(running);
        registration.map(|(_, registration)| registration.ended = true).is_some()
    }

    pub(super) fn remove(&mut self, device: &Device) -> Option<Registration> {
        let known = self.0.get_mut(&device.impi)?;
        let at = known.iter().position(|(other, _)| other == device)?;
        let (_, registration) = known.swap_remove(at);
        if known.is_empty() {
            self.0.remove(&device.impi);
        }
        Some(registration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register(contact: &str, supported: &str) -> Message {
        let text = format!(
            "REGISTER sip:b SIP/2.0\r\nVia: SIP/2.0/UDP 10.9.0.2;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=f\r\n\
             To: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\nContact: {contact}\r\nSupported: {supported}\r\n\
             Content-Length: 0\r\n\r\n"
        );
        Message::parse(text.into_bytes()).unwrap()
    }

    #[test]
    fn a_flow_is_a_device_of_its_own_only_with_outbound() {
        let impi = || Impi::new("a@b").unwrap();
        let device = |contact: &str, supported: &str| Device::of(&register(contact, supported), impi());
        let contact = r#"<sip:a@10.9.0.2:7100>;+sip.instance="<urn:uuid:1>";reg-id=1"#;
        let flow = device(contact, "path, outbound");
        assert!(flow.flow.is_some());
        assert_ne!(flow, device(&contact.replace("reg-id=1", "reg-id=2"), "path, outbound"));
        assert_eq!(device(contact, "path").flow, None);
        assert_eq!(device("<sip:a@10.9.0.2:7100>;reg-id=1", "outbound").flow, None);
    }
}
