//! The `name=value` parameters of WWW-Authenticate and Authorization, read so that a malformed neighbour never
//! hides a parameter from us that a more lenient reader would see.

use crate::text;
use std::borrow::Cow;

/// One parameter.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AuthParam<'a> {
    pub name: &'a str,
    /// As written, quotes included.
    pub raw: &'a str,
}

impl<'a> AuthParam<'a> {
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    pub fn value(&self) -> Cow<'a, str> {
        text::unquote(self.raw)
    }
}

impl std::fmt::Debug for AuthParam<'_> {
    /// The value may be a key or a response.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// The parameters in order. Blanks and commas separate; a value ends with its token or its closing quote, so a
/// forgotten comma hides nothing.
#[derive(Clone)]
pub struct AuthParams<'a> {
    rest: &'a str,
}

impl std::fmt::Debug for AuthParams<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuthParams")
    }
}

pub(crate) enum Piece<'a> {
    Scheme(&'a str),
    Param(AuthParam<'a>),
}

impl<'a> AuthParams<'a> {
    /// The parameters of a Digest header value; `None` for another scheme.
    pub fn digest(value: &'a str) -> Option<Self> {
        let mut params = Self { rest: value };
        match params.piece() {
            Some(Piece::Scheme(scheme)) if scheme.eq_ignore_ascii_case("Digest") => Some(params),
            _ => None,
        }
    }

    pub(crate) const fn pieces(value: &'a str) -> Self {
        Self { rest: value }
    }

    pub(crate) fn piece(&mut self) -> Option<Piece<'a>> {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', ',']);
            if self.rest.is_empty() {
                return None;
            }
            let name = self.token();
            if name.is_empty() {
                self.skip_garbage();
                continue;
            }
            let after = self.rest.trim_start_matches(text::is_blank);
            let Some(value) = after.strip_prefix('=') else {
                // A word before a blank is a scheme; a word before anything else says nothing.
                if self.rest.starts_with(text::is_blank) {
                    return Some(Piece::Scheme(name));
                }
                continue;
            };
            self.rest = value.trim_start_matches(text::is_blank);
            match self.value() {
                Some(raw) => return Some(Piece::Param(AuthParam { name, raw })),
                None => return None,
            }
        }
    }

    fn token(&mut self) -> &'a str {
        let end = self.rest.bytes().position(|octet| !text::is_token_octet(octet)).unwrap_or(self.rest.len());
        self.take(end)
    }

    /// `None`: a quoted string without end, which swallows the rest.
    fn value(&mut self) -> Option<&'a str> {
        let Some(inside) = self.rest.strip_prefix('"') else {
            let end = self.rest.find([' ', '\t', ',', '"', ';']).unwrap_or(self.rest.len());
            return Some(self.take(end));
        };
        let mut escaped = false;
        for (at, octet) in inside.bytes().enumerate() {
            match octet {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => return Some(self.take(at + 2)),
                _ => {}
            }
        }
        self.rest = "";
        None
    }

    fn skip_garbage(&mut self) {
        if self.rest.starts_with('"') {
            self.value();
        } else {
            let width = self.rest.chars().next().map_or(0, char::len_utf8);
            self.take(width);
        }
    }

    fn take(&mut self, end: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }
}

impl<'a> Iterator for AuthParams<'a> {
    type Item = AuthParam<'a>;

    /// Stops at a second scheme: another challenge on the same line.
    fn next(&mut self) -> Option<AuthParam<'a>> {
        match self.piece()? {
            Piece::Param(param) => Some(param),
            Piece::Scheme(_) => {
                self.rest = "";
                None
            }
        }
    }
}

/// The header value without the parameters `drop` picks, in every challenge of the line. Only schemes and
/// well-formed parameters are written, each as it was: what we could not read does not pass.
pub fn without_params(value: &str, mut drop: impl FnMut(&AuthParam<'_>) -> bool) -> String {
    let mut kept = String::with_capacity(value.len());
    let mut pieces = AuthParams::pieces(value);
    let mut separator = "";
    while let Some(piece) = pieces.piece() {
        match piece {
            Piece::Scheme(scheme) => {
                kept.push_str(separator);
                kept.push_str(scheme);
                separator = " ";
            }
            Piece::Param(param) if !drop(&param) => {
                kept.push_str(separator);
                kept.push_str(param.name);
                kept.push('=');
                kept.push_str(param.raw);
                separator = ", ";
            }
            Piece::Param(_) => {}
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(value: &str) -> Vec<&str> {
        AuthParams::digest(value).unwrap().map(|param| param.name).collect()
    }

    #[test]
    fn sip_14_tolerates_white_space_and_forgotten_commas() {
        let value = "Digest  username = \"a,\\\"b\" ,realm=x nonce=\"\",,  nc = 00000001, é, lone, ck=1";
        assert_eq!(names(value), ["username", "realm", "nonce", "nc", "ck"]);
        assert_eq!(names("digest a=\"1\"b=2"), ["a", "b"]);
        assert_eq!(names("Digest a=1, b=\"open, c=3"), ["a"]);
        assert!(AuthParams::digest("Basic abc").is_none());
        assert!(AuthParams::digest("Digest").is_none());
        assert!(AuthParams::digest("").is_none());
    }

    #[test]
    fn a_second_challenge_ends_the_first() {
        assert_eq!(names("Digest a=1, Digest b=2"), ["a"]);
        assert_eq!(
            without_params("Digest a=1,b=2, Digest b=3 ,c=4", |p| p.is("B")),
            "Digest a=1, Digest c=4"
        );
    }
}
