//! `name-addr` and `addr-spec`: From, To, Contact, Route, Path, P-Asserted-Identity...

use crate::header::{Uri, delta_seconds};
use crate::text::{Params, cut, find_outside};
use crate::{Name, ParseError};

/// Display name, URI and header parameters.
#[derive(Debug, Clone, Copy)]
pub struct NameAddr<'a> {
    /// As written: a quoted string keeps its quotes.
    pub display: Option<&'a str>,
    /// As written, without the angle brackets.
    pub uri: &'a str,
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// `None` when there is no URI, or a bracket or quote has no partner.
    pub fn parse(value: &'a str) -> Option<Self> {
        let value = value.trim_ascii();
        let Some(open) = find_outside(value, b'<', false) else {
            // RFC 3261 20.10: without brackets every parameter is a header parameter.
            let (uri, params) = cut(value, b';').unwrap_or((value, ""));
            let uri = uri.trim_ascii();
            let valid = uri.contains(':') && !uri.contains(['"', '>', ' ', '\t']);
            return valid.then_some(Self { display: None, uri, params: Params::new(params) });
        };
        let display = value[..open].trim_ascii();
        let (uri, params) = cut(&value[open + 1..], b'>')?;
        let params = params.trim_ascii();
        let uri = uri.trim_ascii();
        let valid = (params.is_empty() || params.starts_with(';'))
            && cut(uri, b':').is_some()
            && cut(uri, b'<').is_none();
        valid.then_some(Self {
            display: (!display.is_empty()).then_some(display),
            uri,
            params: Params::new(params),
        })
    }

    /// The URI taken apart.
    pub fn parse_uri(&self) -> Result<Uri<'a>, ParseError> {
        Uri::parse(self.uri)
    }

    pub fn tag(&self) -> Option<&'a str> {
        self.params.value("tag").filter(|tag| !tag.is_empty())
    }

    /// The expires parameter of a Contact, in seconds.
    pub fn expires(&self) -> Option<u32> {
        self.params.value("expires").and_then(delta_seconds)
    }
}

/// The Contact values of one message.
#[derive(Debug, Clone)]
pub enum Contacts<'a> {
    /// `*`, alone (RFC 3261 10.2.2).
    Star,
    /// Possibly empty.
    List(Vec<NameAddr<'a>>),
}

impl<'a> Contacts<'a> {
    pub(crate) fn parse(values: impl Iterator<Item = &'a str>) -> Result<Self, ParseError> {
        let error = ParseError::Malformed(Name::Contact);
        let values: Vec<_> = values.collect();
        match values.as_slice() {
            ["*"] => Ok(Self::Star),
            values => {
                let contact = |value: &&'a str| NameAddr::parse(value).ok_or(error);
                Ok(Self::List(values.iter().map(contact).collect::<Result<_, _>>()?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sip_14_forms_of_an_address() {
        let to = NameAddr::parse(r#""A <b>; \"c\"" <sip:a@b;x=1> ; tag = t1;expires=60"#).unwrap();
        assert_eq!(to.display, Some(r#""A <b>; \"c\"""#));
        assert_eq!((to.uri, to.tag(), to.expires()), ("sip:a@b;x=1", Some("t1"), Some(60)));
        let bare = NameAddr::parse("sip:a@b;tag=t2").unwrap();
        assert_eq!((bare.uri, bare.tag()), ("sip:a@b", Some("t2")));
        let words = NameAddr::parse("Alice Smith <tel:+1>").unwrap();
        assert_eq!((words.display, words.uri), (Some("Alice Smith"), "tel:+1"));
        assert_eq!(NameAddr::parse("<sip:a>;expires=99999999999999").unwrap().expires(), Some(u32::MAX));
    }

    #[test]
    fn refuses_broken_addresses() {
        for bad in ["", "<sip:a", "\"x <sip:a>", "<sip:a> x", "*", "<>", "a b", "<sip:<a>"] {
            assert!(NameAddr::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn sip_13_star_is_alone() {
        assert!(matches!(Contacts::parse(["*"].into_iter()), Ok(Contacts::Star)));
        assert!(Contacts::parse(["*", "<sip:a>"].into_iter()).is_err());
        assert!(matches!(Contacts::parse(std::iter::empty()), Ok(Contacts::List(list)) if list.is_empty()));
    }

    proptest! {
        #[test]
        fn never_panics(text in "[<>\";:=,\\\\ a-z\\PC]{0,40}") {
            if let Some(address) = NameAddr::parse(&text) {
                let _ = (address.parse_uri(), address.tag(), address.expires());
            }
        }
    }
}
