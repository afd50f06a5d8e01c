//! CSeq.

use crate::{Method, Name, ParseError, text};

/// Sequence number and method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CSeq<'a> {
    pub number: u32,
    pub method: Method<'a>,
}

impl<'a> CSeq<'a> {
    /// The number is below 2^31 (RFC 3261 8.1.1.5).
    pub fn parse(value: &'a str) -> Result<Self, ParseError> {
        let error = ParseError::Malformed(Name::CSeq);
        let (number, method) = value.trim_ascii().split_once(text::is_blank).ok_or(error)?;
        let method = method.trim_ascii();
        let number = text::number::<u32>(number).filter(|number| *number < 1 << 31).ok_or(error)?;
        if text::is_token(method) { Ok(Self { number, method: Method::parse(method) }) } else { Err(error) }
    }
}

impl std::fmt::Display for CSeq<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_refuses() {
        let cseq = CSeq::parse("  7 \t REGISTER ").unwrap();
        assert_eq!((cseq.number, cseq.method), (7, Method::Register));
        assert_eq!(cseq.to_string(), "7 REGISTER");
        for bad in ["", "7", "REGISTER", "-1 REGISTER", "2147483648 REGISTER", "1 RE GISTER", "1 REG\u{e9}"] {
            assert!(CSeq::parse(bad).is_err(), "{bad}");
        }
    }
}
