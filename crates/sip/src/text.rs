//! The grammar pieces every header shares: comma lists, `;` parameters, quoted strings. Tolerant of white space
//! round `=`, `;` and `,`; quotes may hold any of them, with `\` escapes.

use memchr::{memchr, memchr2};
use std::borrow::Cow;

/// Whether the octet may stand in a token (RFC 3261 25.1).
pub const fn is_token_octet(octet: u8) -> bool {
    TOKEN[octet as usize]
}

static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut octet = 0_u8;
    while octet < 128 {
        let mark = matches!(octet, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
        table[octet as usize] = mark || octet.is_ascii_alphanumeric();
        octet += 1;
    }
    table
};

/// Whether the text is a token: at least one octet, token octets only.
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_octet)
}

pub(crate) const fn is_blank(letter: char) -> bool {
    matches!(letter, ' ' | '\t')
}

/// Both sides of the first such (ASCII) octet.
pub(crate) fn cut(text: &str, octet: u8) -> Option<(&str, &str)> {
    let at = memchr(octet, text.as_bytes())?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Position of `wanted` outside quoted strings and, when asked, outside angle brackets.
pub(crate) fn find_outside(text: &str, wanted: u8, brackets: bool) -> Option<usize> {
    let bytes = text.as_bytes();
    let first = memchr(wanted, bytes)?;
    let opener = if brackets { memchr2(b'"', b'<', &bytes[..first]) } else { memchr(b'"', &bytes[..first]) };
    if opener.is_none() {
        return Some(first);
    }
    let mut quoted = false;
    let mut angle = false;
    let mut at = 0;
    while let Some(octet) = bytes.get(at).copied() {
        if quoted {
            match octet {
                b'\\' => at += 1,
                b'"' => quoted = false,
                _ => {}
            }
        } else if octet == wanted && !angle {
            return Some(at);
        } else {
            match octet {
                b'"' if !angle => quoted = true,
                b'<' if brackets => angle = true,
                b'>' if brackets => angle = false,
                _ => {}
            }
        }
        at += 1;
    }
    None
}

/// The non-empty values of a comma list.
#[derive(Debug, Clone)]
pub struct List<'a> {
    rest: &'a str,
}

/// Splits at commas outside quotes and angle brackets; empty values are skipped.
pub const fn list(text: &str) -> List<'_> {
    List { rest: text }
}

impl<'a> List<'a> {
    /// What has not been split yet.
    pub(crate) const fn rest(&self) -> &'a str {
        self.rest
    }
}

impl<'a> Iterator for List<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        while !self.rest.is_empty() {
            let (value, rest) = match find_outside(self.rest, b',', true) {
                Some(comma) => (&self.rest[..comma], &self.rest[comma + 1..]),
                None => (self.rest, ""),
            };
            self.rest = rest;
            let value = value.trim_ascii();
            if !value.is_empty() {
                return Some(value);
            }
        }
        None
    }
}

/// `;name=value` parameters; values stay as written (quotes included), see [`unquote`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Params<'a> {
    rest: &'a str,
}

impl<'a> Params<'a> {
    /// `text` is what follows the main value, with or without the leading `;`.
    pub const fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// The first parameter of that name, case-insensitive. `Some(None)`: present without a value.
    pub fn get(self, name: &str) -> Option<Option<&'a str>> {
        let mut params = self;
        params.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The value of the first parameter of that name.
    pub fn value(self, name: &str) -> Option<&'a str> {
        self.get(name).flatten()
    }

    /// Whether the parameter is there, with or without a value.
    pub fn has(self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The text the parameters were read from.
    pub const fn as_str(self) -> &'a str {
        self.rest
    }
}

impl<'a> Iterator for Params<'a> {
    type Item = (&'a str, Option<&'a str>);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let (piece, rest) = match find_outside(self.rest, b';', false) {
                Some(semicolon) => (&self.rest[..semicolon], &self.rest[semicolon + 1..]),
                None => (self.rest, ""),
            };
            self.rest = rest;
            let (name, value) = match find_outside(piece, b'=', false) {
                Some(equals) => (&piece[..equals], Some(piece[equals + 1..].trim_ascii())),
                None => (piece, None),
            };
            let name = name.trim_ascii();
            if !name.is_empty() {
                return Some((name, value));
            }
        }
        None
    }
}

/// A quoted string without its quotes and escapes; anything else as it is.
pub fn unquote(text: &str) -> Cow<'_, str> {
    let inner = text.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
    match inner {
        None => Cow::Borrowed(text),
        Some(inner) if !inner.contains('\\') => Cow::Borrowed(inner),
        Some(inner) => {
            let mut plain = String::with_capacity(inner.len());
            let mut letters = inner.chars();
            while let Some(letter) = letters.next() {
                plain.extend(if letter == '\\' { letters.next() } else { Some(letter) });
            }
            Cow::Owned(plain)
        }
    }
}

/// The text as a quoted string.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        if matches!(letter, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted.push('"');
    quoted
}

/// Digits only: no sign, no white space inside, no overflow.
pub(crate) fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    if text.is_empty() || !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sip_14_lists_split_outside_quotes_and_brackets() {
        let values: Vec<_> = list(r#""a, \"b" <sip:x,y@z> ;q=1 ,, <sip:c>,"#).collect();
        assert_eq!(values, [r#""a, \"b" <sip:x,y@z> ;q=1"#, "<sip:c>"]);
    }

    #[test]
    fn sip_14_params_with_odd_white_space() {
        let params = Params::new(r#" ; a = 1;lr ;b="x;\"y" ; ;C=2"#);
        assert_eq!(params.value("A"), Some("1"));
        assert_eq!(params.get("lr"), Some(None));
        assert_eq!(params.value("b").map(unquote).as_deref(), Some("x;\"y"));
        assert_eq!(params.value("c"), Some("2"));
        assert!(!params.has("d"));
    }

    #[test]
    fn numbers_are_digits_only() {
        assert_eq!(number::<u32>("0012"), Some(12));
        for bad in ["", "+1", "-1", " 1", "1 ", "4294967296", "0x1"] {
            assert_eq!(number::<u32>(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn quoting_round_trips(text in "\\PC{0,40}") {
            let quoted = quote(&text);
            let plain = unquote(&quoted);
            prop_assert_eq!(plain.as_ref(), text.as_str());
            prop_assert_eq!(list(&quoted).count(), 1);
        }

        #[test]
        fn never_panics(text in "[\\PC\\x00-\\x1f]{0,60}") {
            for value in list(&text) {
                let _ = unquote(value);
                for (_, value) in Params::new(value) {
                    let _ = value.map(unquote);
                }
            }
        }
    }
}
