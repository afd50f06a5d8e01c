//! Authentication-Info: what the server proves and says after a successful authentication (RFC 2617 3.2.3).

use std::borrow::Cow;
use std::fmt;

use super::auth::{AuthParams, Piece};
use crate::ParseError;

/// The values a client looks at. All may be absent.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthenticationInfo<'a> {
    /// The server's proof that it knows the password: 32 hex digits.
    pub rspauth: Option<Cow<'a, str>>,
    pub qop: Option<Cow<'a, str>>,
    pub cnonce: Option<Cow<'a, str>>,
    pub nc: Option<Cow<'a, str>>,
}

impl<'a> AuthenticationInfo<'a> {
    /// There is no scheme in front; a repeated rspauth is an error.
    pub fn parse(value: &'a str) -> Result<Self, ParseError> {
        let mut info = Self { rspauth: None, qop: None, cnonce: None, nc: None };
        let mut pieces = AuthParams::pieces(value);
        while let Some(piece) = pieces.piece() {
            let Piece::Param(param) = piece else { return Err(ParseError::AuthParams) };
            let field = match param {
                param if param.is("rspauth") => &mut info.rspauth,
                param if param.is("qop") => &mut info.qop,
                param if param.is("cnonce") => &mut info.cnonce,
                param if param.is("nc") => &mut info.nc,
                _ => continue,
            };
            if field.replace(param.value()).is_some() {
                return Err(ParseError::AuthParams);
            }
        }
        Ok(info)
    }
}

impl fmt::Debug for AuthenticationInfo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticationInfo")
            .field("rspauth", &self.rspauth.is_some())
            .field("qop", &self.qop)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dig_13_parameters_in_any_order_and_quoting() {
        for value in [
            r#"qop=auth, rspauth="0a1b", cnonce="x,y", nc=00000001"#,
            r#"nc = 00000001 ,cnonce="x,y",RSPAUTH=0a1b, QOP="auth", nextnonce="n""#,
        ] {
            let info = AuthenticationInfo::parse(value).unwrap();
            let found = [&info.rspauth, &info.qop, &info.cnonce, &info.nc].map(|field| field.as_deref());
            assert_eq!(found, [Some("0a1b"), Some("auth"), Some("x,y"), Some("00000001")], "{value}");
            assert!(!format!("{info:?}").contains("0a1b"));
        }
        assert_eq!(AuthenticationInfo::parse(r#"nextnonce="n""#).unwrap().rspauth, None);
        assert!(AuthenticationInfo::parse(r#"rspauth="0a", rspauth="0b""#).is_err());
        assert!(AuthenticationInfo::parse(r#"Digest rspauth="0a""#).is_err());
    }
}
