//! The reg event package's document (RFC 3680): who is registered where, read tolerantly and written strictly.

use quick_xml::escape::{escape, resolve_xml_entity};
use quick_xml::events::{BytesStart, Event as Xml};
use quick_xml::{Reader, XmlVersion};
use std::fmt::Write;

/// Content-Type of the document.
pub const MIME: &str = "application/reginfo+xml";
/// Event of the package.
pub const PACKAGE: &str = "reg";
/// Seconds a subscription lasts when nobody says.
//= RFC 3680 4.3
pub const DEFAULT_EXPIRES: u32 = 3761;

/// A larger document is not read.
const LARGEST: usize = 64 * 1024;
const MAX_REGISTRATIONS: usize = 256;
const MAX_CONTACTS: usize = 64;

/// Why a document cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReginfoError {
    #[error("read a reginfo document of this size")]
    TooLarge,
    #[error("read reginfo as XML, at octet {at}")]
    NotWellFormed { at: u64 },
    #[error("find {0} in reginfo")]
    Missing(&'static str),
    #[error("understand {0} of reginfo")]
    Malformed(&'static str),
}

/// One document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reginfo {
    /// Counts up from 0 within a subscription.
    pub version: u32,
    /// Whether it names all registrations; else only those that changed.
    pub full: bool,
    pub registrations: Vec<RegistrationInfo>,
}

/// One public identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationInfo {
    pub aor: String,
    pub id: String,
    pub state: RegistrationState,
    pub contacts: Vec<ContactInfo>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistrationState {
    Init,
    Active,
    Terminated,
}

/// One contact of an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactInfo {
    pub id: String,
    pub uri: String,
    pub event: ContactEvent,
    /// Seconds left.
    pub expires: Option<u32>,
    /// Seconds to wait before registering again.
    pub retry_after: Option<u32>,
}

/// What happened to a contact last; whether it is active follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContactEvent {
    Registered,
    Created,
    Refreshed,
    Shortened,
    Expired,
    Deactivated,
    Probation,
    Unregistered,
    Rejected,
}

impl ContactEvent {
    pub const ALL: [Self; 9] = [
        Self::Registered,
        Self::Created,
        Self::Refreshed,
        Self::Shortened,
        Self::Expired,
        Self::Deactivated,
        Self::Probation,
        Self::Unregistered,
        Self::Rejected,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Created => "created",
            Self::Refreshed => "refreshed",
            Self::Shortened => "shortened",
            Self::Expired => "expired",
            Self::Deactivated => "deactivated",
            Self::Probation => "probation",
            Self::Unregistered => "unregistered",
            Self::Rejected => "rejected",
        }
    }

    /// Whether the contact is still bound.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Registered | Self::Created | Self::Refreshed | Self::Shortened)
    }
}

impl RegistrationState {
    const ALL: [Self; 3] = [Self::Init, Self::Active, Self::Terminated];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Active => "active",
            Self::Terminated => "terminated",
        }
    }
}

impl Reginfo {
    pub fn to_xml(&self) -> String {
        let state = if self.full { "full" } else { "partial" };
        let mut xml = format!(
            "<?xml version=\"1.0\"?>\n<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"{}\" state=\"{state}\">\n",
            self.version
        );
        for registration in &self.registrations {
            registration.write(&mut xml);
        }
        xml.push_str("</reginfo>\n");
        xml
    }

    pub fn parse(body: &[u8]) -> Result<Self, ReginfoError> {
        if body.len() > LARGEST {
            return Err(ReginfoError::TooLarge);
        }
        let text = std::str::from_utf8(body).map_err(|_| ReginfoError::NotWellFormed { at: 0 })?;
        Document { reader: Reader::from_str(text) }.reginfo()
    }
}

impl RegistrationInfo {
    fn write(&self, xml: &mut String) {
        let (aor, id) = (escape(&*self.aor), escape(&*self.id));
        let _ = writeln!(xml, " <registration aor=\"{aor}\" id=\"{id}\" state=\"{}\">", self.state.as_str());
        for contact in &self.contacts {
            let state = if contact.event.is_active() { "active" } else { "terminated" };
            let (id, event) = (escape(&*contact.id), contact.event.as_str());
            let _ = write!(xml, "  <contact id=\"{id}\" state=\"{state}\" event=\"{event}\"");
            for (name, seconds) in [("expires", contact.expires), ("retry-after", contact.retry_after)] {
                if let Some(seconds) = seconds {
                    let _ = write!(xml, " {name}=\"{seconds}\"");
                }
            }
            let _ = writeln!(xml, "><uri>{}</uri></contact>", escape(&*contact.uri));
        }
        xml.push_str(" </registration>\n");
    }
}

/// A pull parser over the document. What is unknown is skipped without recursion.
struct Document<'a> {
    reader: Reader<&'a [u8]>,
}

enum Child<'a> {
    Element(BytesStart<'a>),
    /// `<name/>`
    Empty(BytesStart<'a>),
    End,
}

impl<'a> Document<'a> {
    fn reginfo(mut self) -> Result<Reginfo, ReginfoError> {
        let root = loop {
            match self.event()? {
                Xml::Start(start) => break start,
                // An internal subset could define entities; no S-CSCF sends one.
                Xml::DocType(_) => return Err(ReginfoError::Malformed("DOCTYPE")),
                Xml::Decl(_) | Xml::Comment(_) | Xml::PI(_) | Xml::Text(_) => {}
                _ => return Err(ReginfoError::Missing("reginfo")),
            }
        };
        if root.local_name().as_ref() != "reginfo" {
            return Err(ReginfoError::Missing("reginfo"));
        }
        let version = number(&self.attribute(&root, "version")?.ok_or(ReginfoError::Missing("version"))?)
            .ok_or(ReginfoError::Malformed("version"))?;
        let full = match self.attribute(&root, "state")?.as_deref() {
            Some("full") => true,
            Some("partial") => false,
            _ => return Err(ReginfoError::Malformed("state")),
        };
        let mut registrations = Vec::new();
        loop {
            match self.child()? {
                Child::End => return Ok(Reginfo { version, full, registrations }),
                Child::Element(start) if start.local_name().as_ref() == "registration" => {
                    if registrations.len() == MAX_REGISTRATIONS {
                        return Err(ReginfoError::TooLarge);
                    }
                    registrations.push(self.registration(&start, true)?);
                }
                Child::Empty(start) if start.local_name().as_ref() == "registration" => {
                    registrations.push(self.registration(&start, false)?);
                }
                Child::Element(start) => self.skip(&start)?,
                Child::Empty(_) => {}
            }
            if registrations.len() > MAX_REGISTRATIONS {
                return Err(ReginfoError::TooLarge);
            }
        }
    }

    fn registration(
        &mut self,
        start: &BytesStart<'a>,
        has_content: bool,
    ) -> Result<RegistrationInfo, ReginfoError> {
        let state = self.attribute(start, "state")?;
        let state = RegistrationState::ALL.into_iter().find(|one| state.as_deref() == Some(one.as_str()));
        let mut registration = RegistrationInfo {
            aor: self.name(start, "aor")?,
            id: self.name(start, "id")?,
            state: state.ok_or(ReginfoError::Malformed("state"))?,
            contacts: Vec::new(),
        };
        if !has_content {
            return Ok(registration);
        }
        loop {
            match self.child()? {
                Child::End => return Ok(registration),
                Child::Element(start) if start.local_name().as_ref() == "contact" => {
                    if registration.contacts.len() == MAX_CONTACTS {
                        return Err(ReginfoError::TooLarge);
                    }
                    registration.contacts.push(self.contact(&start)?);
                }
                Child::Element(start) => self.skip(&start)?,
                Child::Empty(_) => {}
            }
        }
    }

    fn contact(&mut self, start: &BytesStart<'a>) -> Result<ContactInfo, ReginfoError> {
        let event = self.attribute(start, "event")?;
        let event = ContactEvent::ALL.into_iter().find(|one| event.as_deref() == Some(one.as_str()));
        let event = event.ok_or(ReginfoError::Malformed("event"))?;
        let is_active = match self.attribute(start, "state")?.as_deref() {
            Some("active") => true,
            Some("terminated") => false,
            _ => return Err(ReginfoError::Malformed("state")),
        };
        if is_active != event.is_active() {
            return Err(ReginfoError::Malformed("event"));
        }
        let seconds = |value: Option<String>| value.as_deref().and_then(crate::header::delta_seconds);
        let mut contact = ContactInfo {
            id: self.name(start, "id")?,
            uri: String::new(),
            event,
            expires: seconds(self.attribute(start, "expires")?),
            retry_after: seconds(self.attribute(start, "retry-after")?),
        };
        loop {
            match self.child()? {
                Child::End => break,
                Child::Element(start) if start.local_name().as_ref() == "uri" => {
                    contact.uri = self.content()?.trim().to_owned();
                }
                Child::Element(start) => self.skip(&start)?,
                Child::Empty(_) => {}
            }
        }
        if contact.uri.is_empty() {
            return Err(ReginfoError::Missing("uri"));
        }
        contact.uri = printable(contact.uri, "uri")?;
        Ok(contact)
    }

    /// What must be there to tell whom it is about.
    fn name(&self, start: &BytesStart<'a>, name: &'static str) -> Result<String, ReginfoError> {
        printable(self.attribute(start, name)?.ok_or(ReginfoError::Missing(name))?, name)
    }

    fn attribute(&self, start: &BytesStart<'a>, name: &str) -> Result<Option<String>, ReginfoError> {
        let malformed = |_| self.not_well_formed();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|_| self.not_well_formed())?;
            if attribute.key.as_ref() == name {
                let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(malformed)?;
                return Ok(Some(value.into_owned()));
            }
        }
        Ok(None)
    }

    fn child(&mut self) -> Result<Child<'a>, ReginfoError> {
        loop {
            match self.event()? {
                Xml::Start(start) => return Ok(Child::Element(start)),
                Xml::Empty(start) => return Ok(Child::Empty(start)),
                Xml::End(_) => return Ok(Child::End),
                Xml::Eof => return Err(self.not_well_formed()),
                _ => {}
            }
        }
    }

    /// The text of an element that holds nothing else.
    fn content(&mut self) -> Result<String, ReginfoError> {
        let mut text = String::new();
        loop {
            match self.event()? {
                Xml::Text(part) => text.push_str(&part),
                Xml::CData(part) => text.push_str(&part.xml10_content()),
                Xml::GeneralRef(reference) => {
                    let predefined = resolve_xml_entity(&reference);
                    match reference.resolve_char_ref().map_err(|_| self.not_well_formed())? {
                        Some(character) => text.push(character),
                        None => text.push_str(predefined.ok_or_else(|| self.not_well_formed())?),
                    }
                }
                Xml::Comment(_) | Xml::PI(_) => {}
                Xml::End(_) => return Ok(text),
                _ => return Err(self.not_well_formed()),
            }
        }
    }

    fn skip(&mut self, start: &BytesStart<'a>) -> Result<(), ReginfoError> {
        self.reader.read_to_end(start.name()).map(drop).map_err(|_| self.not_well_formed())
    }

    fn event(&mut self) -> Result<Xml<'a>, ReginfoError> {
        self.reader.read_event().map_err(|_| self.not_well_formed())
    }

    fn not_well_formed(&self) -> ReginfoError {
        ReginfoError::NotWellFormed { at: self.reader.buffer_position() }
    }
}

/// A reference such as `&#10;` brings in what neither a URI nor an id may hold, and what would not come through a log
/// or another document unchanged.
fn printable(text: String, what: &'static str) -> Result<String, ReginfoError> {
    if text.contains(char::is_control) { Err(ReginfoError::Malformed(what)) } else { Ok(text) }
}

fn number(text: &str) -> Option<u32> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_the_digest_is_read() {
        let text = r#"<?xml version="1.0"?>
<reginfo xmlns="urn:ietf:params:xml:ns:reginfo" version="3" state="partial">
 <registration aor="sip:+4930123@home.example" id="r1" state="active">
  <contact id="c1" state="active" event="shortened" expires="300" q="0.5"><uri>sip:a@10.9.0.2:7002;x=1&amp;y</uri><unknown-param name="+sip.instance">"x"</unknown-param></contact>
 </registration>
 <registration aor="tel:+4930123" id="r2" state="init"/>
 <other><deep/></other>
</reginfo>"#;
        let found = Reginfo::parse(text.as_bytes()).unwrap();
        assert_eq!((found.version, found.full, found.registrations.len()), (3, false, 2));
        let contact = &found.registrations[0].contacts[0];
        assert_eq!(contact.uri, "sip:a@10.9.0.2:7002;x=1&y");
        assert_eq!((contact.event, contact.expires), (ContactEvent::Shortened, Some(300)));
        assert_eq!(found.registrations[1].state, RegistrationState::Init);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let wrap = |inner: &str| format!("<reginfo version=\"0\" state=\"full\">{inner}</reginfo>");
        let contact = |attributes: &str, inner: &str| {
            wrap(&format!(
                "<registration aor=\"sip:a@b\" id=\"r\" state=\"active\"><contact {attributes}>{inner}</contact></registration>"
            ))
        };
        let uri = "<uri>sip:a@b</uri>";
        assert!(
            Reginfo::parse(contact("id=\"c\" state=\"active\" event=\"created\"", uri).as_bytes()).is_ok()
        );
        for bad in [
            String::new(),
            "<reginfo/>".into(),
            "<!DOCTYPE x [<!ENTITY a \"b\">]><reginfo version=\"0\" state=\"full\"></reginfo>".into(),
            "<reginfo version=\"-1\" state=\"full\"></reginfo>".into(),
            "<reginfo version=\"0\" state=\"both\"></reginfo>".into(),
            wrap("<registration id=\"r\" state=\"active\"/>"),
            wrap("<registration aor=\"a\" id=\"r\" state=\"new\"/>"),
            wrap("<registration aor=\"a\" id=\"r\" state=\"active\">"),
            contact("id=\"c\" state=\"active\" event=\"rejected\"", uri),
            contact("id=\"c\" state=\"active\" event=\"created\"", ""),
            contact("id=\"c\" state=\"active\" event=\"created\"", "<uri>&bad;</uri>"),
            "x".repeat(LARGEST + 1),
        ] {
            assert!(Reginfo::parse(bad.as_bytes()).is_err(), "{bad:.200}");
        }
        let many = "<registration aor=\"a\" id=\"r\" state=\"init\"/>".repeat(MAX_REGISTRATIONS + 1);
        assert_eq!(Reginfo::parse(wrap(&many).as_bytes()), Err(ReginfoError::TooLarge));
    }

    /// Found by fuzzing: a line break in an AOR was read, written, and then read as a blank.
    #[test]
    fn control_characters_are_refused_in_what_names_somebody() {
        let document = |aor: &str, id: &str, uri: &str| {
            let text = format!(
                "<reginfo version=\"0\" state=\"full\"><registration aor=\"{aor}\" id=\"r\" state=\"active\">\
                 <contact id=\"{id}\" state=\"active\" event=\"created\"><uri>{uri}</uri></contact>\
                 </registration></reginfo>"
            );
            Reginfo::parse(text.as_bytes()).map(drop)
        };
        // Blanks around a URI are layout; a line break in an attribute counts as a blank.
        assert_eq!(document("sip:a@b", "c\nd", "\n sip:a@b&#10;"), Ok(()));
        for reference in ["&#9;", "&#10;", "&#13;", "&#1;", "&#x7f;", "&#x85;"] {
            let bad = format!("sip:a{reference}b");
            assert_eq!(document(&bad, "c", "sip:a@b"), Err(ReginfoError::Malformed("aor")));
            assert_eq!(document("sip:a@b", &bad, "sip:a@b"), Err(ReginfoError::Malformed("id")));
            assert_eq!(document("sip:a@b", "c", &bad), Err(ReginfoError::Malformed("uri")));
        }
    }

    fn document() -> impl Strategy<Value = Reginfo> {
        let text = "[ -~é&<>\"']{1,12}";
        let trimmed = "[!-~é]{1,12}";
        let contact = (text, trimmed, 0..9usize, any::<Option<u32>>(), any::<Option<u32>>());
        let contact = contact.prop_map(|(id, uri, event, expires, retry_after)| ContactInfo {
            id,
            uri,
            event: ContactEvent::ALL[event],
            expires,
            retry_after,
        });
        let registration = (text, text, 0..3usize, proptest::collection::vec(contact, 0..3));
        let registration = registration.prop_map(|(aor, id, state, contacts)| RegistrationInfo {
            aor,
            id,
            state: RegistrationState::ALL[state],
            contacts,
        });
        (any::<u32>(), any::<bool>(), proptest::collection::vec(registration, 0..4))
            .prop_map(|(version, full, registrations)| Reginfo { version, full, registrations })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(document in document()) {
            prop_assert_eq!(Reginfo::parse(document.to_xml().as_bytes()), Ok(document));
        }

        #[test]
        fn never_panics(text in "[<>/=\"' a-z&;#!\\PC]{0,80}") {
            let _ = Reginfo::parse(text.as_bytes());
        }
    }
}
