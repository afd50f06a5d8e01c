//! User-Data: the IMSSubscription document of TS 29.228 Annex E, read tolerantly and written strictly.

use aka::{Impi, Impu};
use quick_xml::Reader;
use quick_xml::escape::{escape, resolve_xml_entity};
use quick_xml::events::{BytesStart, Event};

use crate::CxError;

mod criteria;

/// Of the elements that are ours.
const NAMESPACE: &str = "urn:akasec:user-data";

pub use criteria::{CriteriaSummary, DefaultHandling, FilterCriteria};

/// A subscription as one S-CSCF needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserData {
    pub private_id: Impi,
    pub profiles: Vec<ServiceProfile>,
}

/// The identities that share filter criteria.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceProfile {
    pub identities: Vec<PublicIdentity>,
    /// Wildcarded identities that are no URIs.
    pub wildcards: Vec<Wildcard>,
    pub filter_criteria: Vec<FilterCriteria>,
    /// The CoreNetworkServicesAuthorization element as it came, tags included.
    pub core_network_services: Option<Vec<u8>>,
    /// SharedIFCSetID: criteria that both ends have beforehand.
    pub shared_ifc_sets: Vec<u32>,
    pub anonymity: Anonymity,
}

/// The privacy that the network asks for in the requests of a user, because its subscription wants it. No standard has
/// an element for it: ours stands in the Extension of the ServiceProfile, where others pass over it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Anonymity {
    /// The asserted identity is withheld.
    pub id: bool,
    /// From and other headers of the user are replaced.
    pub user: bool,
}

impl Anonymity {
    pub const fn as_str(self) -> &'static str {
        match (self.id, self.user) {
            (false, false) => "none",
            (true, false) => "id",
            (false, true) => "user",
            (true, true) => "both",
        }
    }

    /// `none`, `id`, `user` or `both`.
    pub fn parse(word: &str) -> Option<Self> {
        let all = [(false, false), (true, false), (false, true), (true, true)];
        let mut all = all.into_iter().map(|(id, user)| Self { id, user });
        all.find(|one| one.as_str() == word)
    }

    /// What any of the two asks for.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self { id: self.id || other.id, user: self.user || other.user }
    }
}

/// A wildcarded identity such as `sip:room-!.*!@home.example`, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wildcard {
    pub text: String,
    pub barred: bool,
    pub kind: IdentityType,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicIdentity {
    pub identity: Impu,
    pub barred: bool,
    pub kind: IdentityType,
}

/// IdentityType of the Extension; distinct when there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IdentityType {
    #[default]
    DistinctUser,
    DistinctService,
    WildcardService,
    NonDistinctUser,
    WildcardUser,
    /// A code without a name here.
    Other(u8),
}

impl IdentityType {
    pub const fn code(self) -> u8 {
        match self {
            Self::DistinctUser => 0,
            Self::DistinctService => 1,
            Self::WildcardService => 2,
            Self::NonDistinctUser => 3,
            Self::WildcardUser => 4,
            Self::Other(code) => code,
        }
    }

    pub const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::DistinctUser,
            1 => Self::DistinctService,
            2 => Self::WildcardService,
            3 => Self::NonDistinctUser,
            4 => Self::WildcardUser,
            other => Self::Other(other),
        }
    }
}

impl UserData {
    /// With a message bound of 64 KiB nothing larger arrives; the rest is room for the other AVPs.
    pub const LARGEST: usize = 48 * 1024;
    /// Over all profiles, wildcards included.
    pub const MOST_IDENTITIES: usize = 500;
    /// Over all profiles.
    pub const MOST_CRITERIA: usize = 500;

    /// All identities in document order.
    pub fn identities(&self) -> impl Iterator<Item = &PublicIdentity> {
        self.profiles.iter().flat_map(|profile| &profile.identities)
    }

    /// The first distinct identity that is not barred.
    //= TS 29.228 6.5.1.1
    pub fn default_impu(&self) -> Option<&Impu> {
        let mut usable = self.identities().filter(|id| !id.barred && id.kind == IdentityType::DistinctUser);
        usable.next().map(|id| &id.identity)
    }

    /// In the order of the schema.
    pub fn to_xml(&self) -> Vec<u8> {
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?><IMSSubscription><PrivateID>");
        xml.push_str(&escape(self.private_id.as_str()));
        xml.push_str("</PrivateID>");
        let mut xml = xml.into_bytes();
        for profile in &self.profiles {
            xml.extend_from_slice(b"<ServiceProfile>");
            for identity in &profile.identities {
                write_identity(&mut xml, identity.identity.as_str(), identity.barred, identity.kind);
            }
            for wildcard in &profile.wildcards {
                write_identity(&mut xml, &wildcard.text, wildcard.barred, wildcard.kind);
            }
            for criteria in &profile.filter_criteria {
                xml.extend_from_slice(&criteria.xml);
            }
            xml.extend_from_slice(profile.core_network_services.as_deref().unwrap_or_default());
            let anonymity = profile.anonymity;
            let anonymous = anonymity != Anonymity::default();
            if anonymous || !profile.shared_ifc_sets.is_empty() {
                xml.extend_from_slice(b"<Extension>");
                for set in &profile.shared_ifc_sets {
                    xml.extend_from_slice(format!("<SharedIFCSetID>{set}</SharedIFCSetID>").as_bytes());
                }
                if anonymous {
                    let word = anonymity.as_str();
                    let element = format!("<Anonymity xmlns=\"{NAMESPACE}\">{word}</Anonymity>");
                    xml.extend_from_slice(element.as_bytes());
                }
                xml.extend_from_slice(b"</Extension>");
            }
            xml.extend_from_slice(b"</ServiceProfile>");
        }
        xml.extend_from_slice(b"</IMSSubscription>");
        xml
    }

    pub fn from_xml(xml: &[u8]) -> Result<Self, CxError> {
        if xml.len() > Self::LARGEST {
            return Err(CxError::UserDataTooLarge);
        }
        let text = std::str::from_utf8(xml).map_err(|_| CxError::UserDataXml { at: 0 })?;
        // The reader passes over a byte order mark and does not count it, so what is cut out by position would be off.
        let text = text.trim_start_matches('\u{feff}');
        Document { text, reader: Reader::from_str(text) }.subscription()
    }
}

fn write_identity(xml: &mut Vec<u8>, identity: &str, barred: bool, kind: IdentityType) {
    xml.extend_from_slice(b"<PublicIdentity>");
    if barred {
        xml.extend_from_slice(b"<BarringIndication>1</BarringIndication>");
    }
    let uri = escape(identity);
    xml.extend_from_slice(format!("<Identity>{uri}</Identity>").as_bytes());
    if kind != IdentityType::DistinctUser {
        let code = kind.code();
        xml.extend_from_slice(
            format!("<Extension><IdentityType>{code}</IdentityType></Extension>").as_bytes(),
        );
    }
    xml.extend_from_slice(b"</PublicIdentity>");
}

fn check_counts(profiles: &[ServiceProfile]) -> Result<(), CxError> {
    let identities: usize = profiles.iter().map(|p| p.identities.len() + p.wildcards.len()).sum();
    let criteria: usize = profiles.iter().map(|profile| profile.filter_criteria.len()).sum();
    if identities > UserData::MOST_IDENTITIES || criteria > UserData::MOST_CRITERIA {
        return Err(CxError::UserDataTooMany);
    }
    Ok(())
}

/// A pull parser over the document. Unknown elements are skipped without recursion, so depth costs no stack.
struct Document<'a> {
    text: &'a str,
    reader: Reader<&'a [u8]>,
}

enum Child<'a> {
    Element(BytesStart<'a>),
    /// An element without content.
    Empty,
    End,
}

impl<'a> Document<'a> {
    fn subscription(mut self) -> Result<UserData, CxError> {
        let root = loop {
            match self.event()? {
                Event::Start(start) => break start,
                // An internal subset could define entities; no HSS sends one.
                Event::DocType(_) => return Err(CxError::UserDataElement("a document without DOCTYPE")),
                Event::Decl(_) | Event::Comment(_) | Event::PI(_) | Event::Text(_) => {}
                _ => return Err(CxError::UserDataElement("IMSSubscription")),
            }
        };
        if root.local_name().as_ref() != "IMSSubscription" {
            return Err(CxError::UserDataElement("IMSSubscription"));
        }
        let mut private_id = None;
        let mut profiles = Vec::new();
        while let Some(child) = self.next_element()? {
            match child.local_name().as_ref() {
                "PrivateID" => {
                    let text = self.content(&child)?;
                    private_id = Some(Impi::new(&text).map_err(|_| CxError::UserDataElement("PrivateID"))?);
                }
                "ServiceProfile" => {
                    profiles.push(self.profile()?);
                    check_counts(&profiles)?;
                }
                _ => self.skip(&child)?,
            }
        }
        let private_id = private_id.ok_or(CxError::UserDataElement("PrivateID"))?;
        if profiles.iter().all(|profile| profile.identities.is_empty() && profile.wildcards.is_empty()) {
            return Err(CxError::UserDataElement("PublicIdentity"));
        }
        Ok(UserData { private_id, profiles })
    }

    fn profile(&mut self) -> Result<ServiceProfile, CxError> {
        let mut profile = ServiceProfile::default();
        loop {
            let begin = self.reader.buffer_position();
            match self.child()? {
                Child::End => return Ok(profile),
                Child::Empty => {}
                Child::Element(child) => match child.local_name().as_ref() {
                    "PublicIdentity" => self.identity(&mut profile)?,
                    "InitialFilterCriteria" => {
                        let xml = self.verbatim(&child, begin)?;
                        profile.filter_criteria.push(FilterCriteria { xml });
                    }
                    "CoreNetworkServicesAuthorization" => {
                        profile.core_network_services = Some(self.verbatim(&child, begin)?);
                    }
                    "Extension" => self.profile_extension(&mut profile)?,
                    _ => self.skip(&child)?,
                },
            }
        }
    }

    fn profile_extension(&mut self, profile: &mut ServiceProfile) -> Result<(), CxError> {
        while let Some(child) = self.next_element()? {
            match child.local_name().as_ref() {
                "SharedIFCSetID" => {
                    let number = self.content(&child)?.trim().parse();
                    let number = number.map_err(|_| CxError::UserDataElement("SharedIFCSetID"))?;
                    profile.shared_ifc_sets.push(number);
                }
                "Anonymity" => {
                    let word = Anonymity::parse(self.content(&child)?.trim());
                    profile.anonymity = word.ok_or(CxError::UserDataElement("Anonymity"))?;
                }
                _ => self.skip(&child)?,
            }
        }
        Ok(())
    }

    fn identity(&mut self, profile: &mut ServiceProfile) -> Result<(), CxError> {
        let (mut uri, mut barred, mut kind) = (None, false, IdentityType::default());
        while let Some(child) = self.next_element()? {
            match child.local_name().as_ref() {
                "Identity" => uri = Some(self.content(&child)?),
                "BarringIndication" => {
                    barred = match self.content(&child)?.trim() {
                        "0" | "false" => false,
                        "1" | "true" => true,
                        _ => return Err(CxError::UserDataElement("BarringIndication")),
                    };
                }
                "Extension" => kind = self.identity_type(kind)?,
                _ => self.skip(&child)?,
            }
        }
        let uri = uri.ok_or(CxError::UserDataElement("Identity"))?;
        let text = uri.trim();
        match (Impu::new(text), kind) {
            (Ok(identity), _) => profile.identities.push(PublicIdentity { identity, barred, kind }),
            (Err(_), IdentityType::WildcardService | IdentityType::WildcardUser) if !text.is_empty() => {
                profile.wildcards.push(Wildcard { text: text.to_owned(), barred, kind });
            }
            (Err(_), _) => return Err(CxError::UserDataElement("Identity")),
        }
        Ok(())
    }

    fn identity_type(&mut self, mut kind: IdentityType) -> Result<IdentityType, CxError> {
        while let Some(child) = self.next_element()? {
            match child.local_name().as_ref() {
                "IdentityType" => {
                    let code = self.content(&child)?.trim().parse();
                    kind =
                        IdentityType::from_code(code.map_err(|_| CxError::UserDataElement("IdentityType"))?);
                }
                _ => self.skip(&child)?,
            }
        }
        Ok(kind)
    }

    /// The next child element with content, or None at the end of the parent.
    fn next_element(&mut self) -> Result<Option<BytesStart<'a>>, CxError> {
        loop {
            match self.child()? {
                Child::Element(start) => return Ok(Some(start)),
                Child::Empty => {}
                Child::End => return Ok(None),
            }
        }
    }

    fn child(&mut self) -> Result<Child<'a>, CxError> {
        match self.event()? {
            Event::Start(start) => Ok(Child::Element(start)),
            Event::End(_) => Ok(Child::End),
            Event::Eof => Err(self.not_well_formed()),
            _ => Ok(Child::Empty),
        }
    }

    /// The text of an element that holds nothing else.
    fn content(&mut self, _start: &BytesStart<'a>) -> Result<String, CxError> {
        let mut text = String::new();
        loop {
            match self.event()? {
                Event::Text(part) => text.push_str(&part),
                Event::CData(part) => text.push_str(&part.xml10_content()),
                Event::GeneralRef(reference) => {
                    let predefined = resolve_xml_entity(&reference);
                    match reference.resolve_char_ref().map_err(|_| self.not_well_formed())? {
                        Some(character) => text.push(character),
                        None => text.push_str(predefined.ok_or_else(|| self.not_well_formed())?),
                    }
                }
                Event::Comment(_) | Event::PI(_) => {}
                Event::End(_) => return Ok(text),
                _ => return Err(self.not_well_formed()),
            }
        }
    }

    fn skip(&mut self, start: &BytesStart<'a>) -> Result<(), CxError> {
        self.reader.read_to_end(start.name()).map(drop).map_err(|_| self.not_well_formed())
    }

    /// The element that `start` begins, as it stands in the document. `begin` is where its tag or the white space
    /// before it starts.
    fn verbatim(&mut self, start: &BytesStart<'a>, begin: u64) -> Result<Vec<u8>, CxError> {
        self.skip(start)?;
        let position = |at: u64| usize::try_from(at).map_err(|_| self.not_well_formed());
        let range = position(begin)?..position(self.reader.buffer_position())?;
        let part = self.text.get(range).ok_or_else(|| self.not_well_formed())?;
        Ok(part.trim().as_bytes().to_vec())
    }

    fn event(&mut self) -> Result<Event<'a>, CxError> {
        self.reader.read_event().map_err(|_| self.not_well_formed())
    }

    fn not_well_formed(&self) -> CxError {
        CxError::UserDataXml { at: self.reader.buffer_position() }
    }
}

#[cfg(test)]
mod tests;
