//! Authorization of IMS AKA.

use crate::ParseError;
use crate::header::auth::{AuthParams, without_params};
use std::borrow::Cow;
use std::fmt;

/// Digest credentials. Empty nonce and response are legal: the first REGISTER has them.
pub struct Credentials<'a> {
    pub username: Cow<'a, str>,
    pub realm: Cow<'a, str>,
    pub nonce: Cow<'a, str>,
    pub uri: Cow<'a, str>,
    /// Hex digits, or empty.
    pub response: Option<Cow<'a, str>>,
    pub algorithm: Option<Cow<'a, str>>,
    /// Quoted on the wire or not.
    pub qop: Option<Cow<'a, str>>,
    pub nc: Option<Cow<'a, str>>,
    pub cnonce: Option<Cow<'a, str>>,
    pub opaque: Option<Cow<'a, str>>,
    /// base64 of the 14 octets.
    pub auts: Option<Cow<'a, str>>,
    pub integrity_protected: Option<Cow<'a, str>>,
}

impl<'a> Credentials<'a> {
    /// Only username must be there; what else is absent reads as empty. A repeated parameter is an error: two
    /// readers must not see two different users.
    pub fn parse(value: &'a str) -> Result<Self, ParseError> {
        let params: Vec<_> = AuthParams::digest(value).ok_or(ParseError::AuthParams)?.collect();
        let repeated = |at: usize| params[..at].iter().any(|earlier| earlier.is(params[at].name));
        if (0..params.len().min(64)).any(repeated) || params.len() > 64 {
            return Err(ParseError::AuthParams);
        }
        let find = |name: &str| params.iter().find(|param| param.is(name)).map(|param| param.value());
        Ok(Self {
            username: find("username").ok_or(ParseError::AuthParams)?,
            realm: find("realm").unwrap_or_default(),
            nonce: find("nonce").unwrap_or_default(),
            uri: find("uri").unwrap_or_default(),
            response: find("response"),
            algorithm: find("algorithm"),
            qop: find("qop"),
            nc: find("nc"),
            cnonce: find("cnonce"),
            opaque: find("opaque"),
            auts: find("auts"),
            integrity_protected: find("integrity-protected"),
        })
    }

    /// A response of at least one octet.
    pub fn has_response(&self) -> bool {
        self.response.as_deref().is_some_and(|response| !response.is_empty())
    }
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .field("response", &"<secret>")
            .field("auts", &self.auts.is_some())
            .field("integrity_protected", &self.integrity_protected)
            .finish_non_exhaustive()
    }
}

/// The Authorization value with `integrity-protected` set to `value`, or without it. What the UE wrote there goes
/// first, however it wrote it.
pub fn with_integrity_protected(authorization: &str, value: Option<&str>) -> String {
    //= TS 33.203 P.3
    let mut rest = without_params(authorization, |param| param.is("integrity-protected"));
    if let Some(value) = value {
        let separator = if rest.contains('=') { ", " } else { " " };
        rest.push_str(separator);
        rest.push_str("integrity-protected=");
        rest.push_str(&crate::text::quote(value));
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dig_3_empty_nonce_and_response() {
        let value = r#"Digest username="a@b",realm="b",uri="sip:b",nonce="",response="""#;
        let credentials = Credentials::parse(value).unwrap();
        assert_eq!(credentials.username, "a@b");
        assert_eq!(credentials.response.as_deref(), Some(""));
        assert!(!credentials.has_response());
        assert_eq!(credentials.uri, "sip:b");
    }

    #[test]
    fn dig_11_quoted_and_unquoted_qop() {
        for qop in ["auth", "\"auth\""] {
            let value =
                format!(r#"Digest username="a", qop = {qop} ,nc=00000001,   cnonce="x", response=0a"#);
            let credentials = Credentials::parse(&value).unwrap();
            assert_eq!(credentials.qop.as_deref(), Some("auth"));
            assert_eq!(credentials.nc.as_deref(), Some("00000001"));
        }
    }

    #[test]
    fn dig_10_integrity_protected_of_the_ue_is_removed() {
        for forged in [
            r#"Digest username="a", integrity-protected="yes", nonce="n""#,
            r#"Digest integrity-protected=yes, username="a", nonce="n""#,
            r#"Digest username="a" Integrity-Protected = "yes" nonce="n", INTEGRITY-PROTECTED=yes"#,
        ] {
            let clean = with_integrity_protected(forged, None);
            assert_eq!(clean, r#"Digest username="a", nonce="n""#);
            let marked = with_integrity_protected(forged, Some("no"));
            assert_eq!(marked, r#"Digest username="a", nonce="n", integrity-protected="no""#);
            assert_eq!(Credentials::parse(&marked).unwrap().integrity_protected.as_deref(), Some("no"));
        }
    }

    #[test]
    fn a_repeated_parameter_is_refused() {
        assert!(Credentials::parse(r#"Digest username="a", username="b""#).is_err());
        assert!(Credentials::parse("Digest realm=x").is_err());
    }

    #[test]
    fn the_response_never_prints() {
        let value = r#"Digest username="a", response="1125a3c2e293453f07e08957ff235efc""#;
        let shown = format!("{:?}", Credentials::parse(value).unwrap());
        assert!(shown.contains("<secret>") && !shown.contains("1125"));
    }
}
