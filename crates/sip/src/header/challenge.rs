//! WWW-Authenticate of IMS AKA, and taking ik and ck out of it.

use crate::ParseError;
use crate::header::auth::{AuthParams, without_params};
use crate::header::uri::hex;
use std::borrow::Cow;
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The keys the S-CSCF hands to the P-CSCF (TS 24.229 7.2A.1).
#[derive(Zeroize, ZeroizeOnDrop, PartialEq, Eq)]
pub struct KeyParams {
    pub ik: [u8; 16],
    pub ck: [u8; 16],
}

impl fmt::Debug for KeyParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// One Digest challenge.
#[derive(Debug)]
pub struct Challenge<'a> {
    pub realm: Cow<'a, str>,
    /// As hashed: the base64 text.
    pub nonce: Cow<'a, str>,
    /// As written, without quotes; absent means MD5.
    pub algorithm: Option<Cow<'a, str>>,
    /// The list as written, for example `auth,auth-int`.
    pub qop: Option<Cow<'a, str>>,
    pub opaque: Option<Cow<'a, str>>,
    pub stale: bool,
    /// Present only when both are there and well formed.
    pub keys: Option<KeyParams>,
}

impl<'a> Challenge<'a> {
    /// The first challenge of the line.
    pub fn parse(value: &'a str) -> Result<Self, ParseError> {
        let params = AuthParams::digest(value).ok_or(ParseError::AuthParams)?;
        let find = |name: &str| params.clone().find(|param| param.is(name)).map(|param| param.value());
        Ok(Self {
            realm: find("realm").ok_or(ParseError::AuthParams)?,
            nonce: find("nonce").ok_or(ParseError::AuthParams)?,
            algorithm: find("algorithm"),
            qop: find("qop"),
            opaque: find("opaque"),
            stale: find("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
            keys: strip_keys(value).1,
        })
    }

    /// Whether the qop list holds this value.
    pub fn offers_qop(&self, wanted: &str) -> bool {
        let list = self.qop.as_deref().unwrap_or_default();
        list.split(',').any(|qop| qop.trim().eq_ignore_ascii_case(wanted))
    }
}

/// The header value without any ik and ck, and the keys when there was exactly one of each, 32 hex digits long,
/// quoted or not. Order, case and blanks do not matter; what cannot be read is not passed on.
pub fn strip_keys(value: &str) -> (String, Option<KeyParams>) {
    //= TS 24.229 5.2.2.2
    let mut keys = KeyParams { ik: [0; 16], ck: [0; 16] };
    let (mut iks, mut cks) = (Found::default(), Found::default());
    let rest = without_params(value, |param| {
        let (found, key) = match param {
            param if param.is("ik") => (&mut iks, &mut keys.ik),
            param if param.is("ck") => (&mut cks, &mut keys.ck),
            _ => return false,
        };
        found.times += 1;
        found.good = decode(param.raw, key);
        true
    });
    let complete = iks.once() && cks.once();
    (rest, complete.then_some(keys))
}

#[derive(Default)]
struct Found {
    times: usize,
    good: bool,
}

impl Found {
    const fn once(&self) -> bool {
        self.times == 1 && self.good
    }
}

fn decode(raw: &str, key: &mut [u8; 16]) -> bool {
    let digits = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')).unwrap_or(raw).as_bytes();
    if digits.len() != 32 {
        return false;
    }
    let pairs = digits.chunks_exact(2).zip(key.iter_mut());
    for (pair, octet) in pairs {
        match (hex(pair[0]), hex(pair[1])) {
            (Some(high), Some(low)) => *octet = high << 4 | low,
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const IK: &str = "f769bcd751044604127672711c6d3441";
    const CK: &str = "b40ba9a3c58b2a05bbf0d987b21bf8cb";

    #[test]
    fn dig_5_keys_leave_in_every_order_case_and_quoting() {
        let forms = [
            format!(r#"Digest realm="r", nonce="n", algorithm=AKAv1-MD5, ik="{IK}", ck="{CK}""#),
            format!(r#"Digest ck="{CK}",ik="{IK}",realm="r",nonce="n",algorithm=AKAv1-MD5"#),
            format!(r#"Digest CK={CK} , IK = {IK}, realm="r", nonce="n" ,algorithm=AKAv1-MD5"#),
            format!(
                "Digest realm=\"r\"  ,  Ik\t=  \"{}\" nonce=\"n\" cK=\"{CK}\" algorithm=AKAv1-MD5",
                IK.to_uppercase()
            ),
        ];
        for form in forms {
            let (rest, keys) = strip_keys(&form);
            let keys = keys.unwrap();
            assert_eq!((keys.ik[0], keys.ck[15]), (0xf7, 0xcb));
            let mut params: Vec<_> = AuthParams::digest(&rest).unwrap().map(|p| p.name.to_owned()).collect();
            params.sort();
            assert_eq!(params, ["algorithm", "nonce", "realm"], "{form}");
            assert!(!rest.to_lowercase().contains(IK) && !rest.contains(CK));
        }
    }

    #[test]
    fn dig_5_doubtful_keys_leave_too_but_count_for_nothing() {
        for form in [
            format!(r#"Digest nonce="n", ik="{IK}""#),
            format!(r#"Digest nonce="n", ik="{IK}", ck="{CK}", ck="{IK}""#),
            format!(r#"Digest nonce="n", ik="{IK}", ck="abcd""#),
            format!(r#"Digest nonce="n", ik="{IK}", ck="zz{}""#, &CK[2..]),
            format!(r#"Digest nonce="n", ik="{IK}", Digest nonce="m", ik="{IK}""#),
            format!(r#"Digest nonce="n", ik="{IK}", ck="{CK}"#),
        ] {
            let (rest, keys) = strip_keys(&form);
            assert_eq!(keys, None, "{form}");
            assert!(!rest.contains("ik=") && !rest.contains("ck=") && !rest.contains(CK), "{rest}");
        }
    }

    #[test]
    fn secrets_never_print() {
        let value = format!(r#"Digest realm="r", nonce="n", ik="{IK}", ck="{CK}""#);
        let challenge = Challenge::parse(&value).unwrap();
        let shown = format!("{challenge:?}");
        assert!(shown.contains("<secret>") && !shown.contains("f769") && !shown.contains("247"), "{shown}");
    }

    #[test]
    fn dig_11_qop_lists() {
        let challenge = Challenge::parse(r#"Digest realm="r",nonce="n",qop="auth-int , Auth""#).unwrap();
        assert!(
            challenge.offers_qop("auth") && challenge.offers_qop("auth-int") && !challenge.offers_qop("x")
        );
    }

    proptest! {
        #[test]
        fn dig_5_no_key_survives(before in "[\\PC]{0,20}", after in "[\\PC]{0,20}", quoted: bool) {
            let ck = if quoted { format!("\"{CK}\"") } else { CK.to_owned() };
            let (rest, _) = strip_keys(&format!("Digest {before},ck={ck},{after}"));
            // A quote opened before may make the key part of another parameter's text; then it is no ck to anyone.
            let mut survived = false;
            without_params(&rest, |param| {
                survived |= param.is("ck");
                false
            });
            prop_assert!(!survived);
            prop_assert!(strip_keys(&rest).1.is_none());
        }
    }
}
