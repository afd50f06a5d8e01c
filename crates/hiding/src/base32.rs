//! Base 32 in lower case without padding (RFC 4648 6): host names know no case and no `=`.

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

pub(crate) fn encode(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len().div_ceil(5) * 8);
    for group in octets.chunks(5) {
        let mut bits = [0; 8];
        bits[3..3 + group.len()].copy_from_slice(group);
        let bits = u64::from_be_bytes(bits);
        for digit in 0..(group.len() * 8).div_ceil(5) {
            text.push(char::from(ALPHABET[(bits >> (35 - 5 * digit) & 31) as usize]));
        }
    }
    text
}

/// In either case. `None`: another letter, a length no octets have, or bits behind the last octet that are not 0.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len() * 5 / 8);
    for group in text.chunks(8) {
        let mut bits = 0_u64;
        for letter in group {
            bits = bits << 5 | u64::from(digit(*letter)?);
        }
        let length = group.len() * 5 / 8;
        let unused = group.len() * 5 % 8;
        if unused >= 5 || bits & ((1 << unused) - 1) != 0 {
            return None;
        }
        octets.extend(bits.checked_shr(u32::try_from(unused).ok()?)?.to_be_bytes().get(8 - length..)?);
    }
    Some(octets)
}

const fn digit(letter: u8) -> Option<u8> {
    match letter {
        b'a'..=b'z' => Some(letter - b'a'),
        b'A'..=b'Z' => Some(letter - b'A'),
        b'2'..=b'7' => Some(letter - b'2' + 26),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 4648 10.
    #[test]
    fn known_answers() {
        for (plain, text) in [
            ("", ""),
            ("f", "my"),
            ("fo", "mzxq"),
            ("foo", "mzxw6"),
            ("foob", "mzxw6yq"),
            ("fooba", "mzxw6ytb"),
            ("foobar", "mzxw6ytboi"),
        ] {
            assert_eq!(encode(plain.as_bytes()), text);
            assert_eq!(decode(text.to_uppercase().as_bytes()).as_deref(), Some(plain.as_bytes()));
        }
    }

    #[test]
    fn one_text_for_each_octets() {
        for bad in ["m", "mzx", "mzxw6y", "mz", "mzxw6ytb1", "mzxw6.tb", "mzxw6ytbm"] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn there_and_back(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decode(encode(&octets).as_bytes()), Some(octets));
        }

        #[test]
        fn never_panics(text in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some(octets) = decode(&text) {
                prop_assert_eq!(encode(&octets).into_bytes(), text.to_ascii_lowercase());
            }
        }
    }
}
