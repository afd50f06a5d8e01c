use std::fmt;

use crate::{Alg, Algorithms, Ealg, Mode, SecAgreeError};

/// One mechanism of a Security-Client, -Server or -Verify header, whatever its kind.
///
/// Two are equal when they say the same: names and values compare without regard to case, order of parameters and
/// white space do not count; unknown parameters do.
#[derive(Debug, Clone)]
pub struct Mechanism {
    raw: String,
    name: String,
    /// Lower-case names and values, sorted by name.
    parameters: Vec<(String, String)>,
}

impl PartialEq for Mechanism {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.parameters == other.parameters
    }
}

impl Eq for Mechanism {}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.raw)
    }
}

impl Mechanism {
    /// More are never offered; a bound against a flood of them.
    pub(crate) const LIMIT: usize = 512;
    const MAX_PARAMETERS: usize = 32;

    pub fn parse(text: &str) -> Result<Self, SecAgreeError> {
        let raw = text.trim();
        let mut pieces = split_unquoted(raw);
        let name = pieces.next().map(str::trim).filter(|name| is_token(name));
        let name = name.ok_or(SecAgreeError::MalformedMechanism)?.to_ascii_lowercase();
        let mut parameters = Vec::with_capacity(8);
        for piece in pieces {
            let (key, value) = piece.split_once('=').unwrap_or((piece, ""));
            let key = key.trim();
            if !is_token(key) || parameters.len() == Self::MAX_PARAMETERS {
                return Err(SecAgreeError::MalformedMechanism);
            }
            parameters.push((key.to_ascii_lowercase(), value.trim().to_ascii_lowercase()));
        }
        parameters.sort();
        Ok(Self { raw: raw.to_owned(), name, parameters })
    }

    pub(crate) fn parse_all<'a>(
        values: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<Self>, SecAgreeError> {
        let mut mechanisms = Vec::new();
        for value in values {
            if mechanisms.len() == Self::LIMIT {
                return Err(SecAgreeError::TooManyMechanisms { limit: Self::LIMIT });
            }
            mechanisms.push(Self::parse(value)?);
        }
        Ok(mechanisms)
    }

    pub(crate) fn is_ipsec_3gpp(&self) -> bool {
        // `ipsec-3gpp;mediasec` marks a media plane mechanism of RFC 3329 extensions, not an SA offer.
        self.name == "ipsec-3gpp" && !self.parameters.iter().any(|(name, _)| name == "mediasec")
    }

    pub(crate) fn parameter(&self, name: &'static str) -> Result<Option<&str>, SecAgreeError> {
        let mut found =
            self.parameters.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let first = found.next();
        if found.next().is_some() { Err(SecAgreeError::RepeatedParameter { name }) } else { Ok(first) }
    }

    pub(crate) fn mandatory(&self, name: &'static str) -> Result<&str, SecAgreeError> {
        self.parameter(name)?.ok_or(SecAgreeError::MissingParameter { name })
    }

    /// The algorithms and the mode of an ipsec-3gpp mechanism, or why it cannot be used.
    //= TS 33.203 Annex H: alg is mandatory; ealg, prot and mod default to null, esp and trans
    pub(crate) fn proposal(&self) -> Result<(Mode, Algorithms), SecAgreeError> {
        let alg: Alg = self.mandatory("alg")?.parse()?;
        let ealg: Ealg = self.parameter("ealg")?.unwrap_or("null").parse()?;
        //= TS 33.203 6.3: ESP in transport mode, in UDP-enc-tun behind a NAT; ah and tun are not used
        if self.parameter("prot")?.unwrap_or("esp") != "esp" {
            return Err(SecAgreeError::NotEsp);
        }
        let mode = self.parameter("mod")?.map_or(Some(Mode::Trans), Mode::of_text);
        let mode = mode.ok_or(SecAgreeError::NotTransport)?;
        Ok((mode, Algorithms::new(alg, ealg)?))
    }

    /// The q value in thousandths; a mechanism without one counts as 1.
    pub(crate) fn q(&self) -> Result<u16, SecAgreeError> {
        let Some(text) = self.parameter("q")? else { return Ok(1000) };
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let digits = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
        let thousandths = format!("{decimals:0<3}").parse::<u16>().ok().filter(|_| digits);
        match (whole, thousandths) {
            ("0", Some(thousandths)) => Ok(thousandths),
            ("1", Some(0)) => Ok(1000),
            _ => Err(SecAgreeError::BadQ),
        }
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte))
}

/// Splits at semicolons that are not inside a quoted string.
fn split_unquoted(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut quoted, mut escaped) = (false, false);
        for (at, byte) in text.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b';' if !quoted => {
                    rest = text.get(at + 1..);
                    return text.get(..at);
                }
                _ => {}
            }
        }
        rest = None;
        Some(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_8_case_order_and_white_space_do_not_count() {
        let one = Mechanism::parse("ipsec-3gpp; q=0.1;Alg=HMAC-SHA-1-96 ; spi-c = 1001").unwrap();
        let other = Mechanism::parse("IPSEC-3gpp;spi-c=1001;alg=hmac-sha-1-96;q=0.1").unwrap();
        assert_eq!(one, other);
        assert_ne!(one, Mechanism::parse("ipsec-3gpp;spi-c=1001;alg=hmac-sha-1-96").unwrap());
        assert_ne!(one, Mechanism::parse("ipsec-3gpp;spi-c=1001;alg=hmac-sha-1-96;q=0.1;x=1").unwrap());
    }

    #[test]
    fn quoted_semicolons_do_not_split() {
        let mechanism = Mechanism::parse(r#"digest;d-ver="a;\";b";d-qop=auth"#).unwrap();
        assert_eq!(mechanism.parameter("d-ver").unwrap(), Some(r#""a;\";b""#));
    }

    #[test]
    fn q_values() {
        let q = |text: &str| Mechanism::parse(&format!("ipsec-3gpp;q={text}")).unwrap().q();
        assert_eq!(q("0.2"), Ok(200));
        assert_eq!(q("1.000"), Ok(1000));
        assert_eq!(q("0"), Ok(0));
        for bad in ["1.1", "0.1234", "2", "", ".5", "0.x", "-0"] {
            assert_eq!(q(bad), Err(SecAgreeError::BadQ), "{bad}");
        }
    }

    #[test]
    fn garbage_is_an_error() {
        for bad in ["", ";", "ipsec 3gpp", "ipsec-3gpp;=1", "ipsec-3gpp;;alg=null", "\"x\""] {
            assert!(Mechanism::parse(bad).is_err(), "{bad}");
        }
    }
}
