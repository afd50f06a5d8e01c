//! The file the keys stand in: read, made, and given a new key on top.

use std::fmt::Write;

use sip::Instant;
use zeroize::Zeroizing;

use crate::key::{BLOCK, Held, Key, Keys};

/// Old keys that may still decrypt, and the newest.
const MOST_KEYS: usize = 16;

const ABOUT: &str = "# Keys of topology hiding, newest first. Mode 0600, and the same file for every I-CSCF of the network.\n\
                     # A new key on top: akasec hiding-key --rotate FILE\n";

/// What is wrong with a key file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    #[error(
        "read line {line}: it must be ID = KEY or ID = KEY until SECONDS (ID 0 to 255, KEY 32 hex digits)"
    )]
    Line { line: usize },
    #[error("take line {line}: another key has this id")]
    RepeatedId { line: usize },
    #[error("take line {line}: the first key encrypts and has no end")]
    FirstEnds { line: usize },
    #[error("take line {line}: there are more than {MOST_KEYS} keys; old ones whose time is over can go")]
    TooMany { line: usize },
    #[error("find a key: the file has none (make one with: akasec hiding-key FILE)")]
    Empty,
}

impl Keys {
    /// A key file: newest key first, one `ID = KEY` a line, behind which an old one may have `until SECONDS` (since
    /// 1970, which `instant` translates). Empty lines and those that start with `#` are left out.
    pub fn parse(text: &str, instant: impl Fn(u64) -> Instant) -> Result<Self, KeyFileError> {
        let mut newest: Option<Held> = None;
        let mut older: Vec<Held> = Vec::new();
        for (line, written) in lines(text).filter_map(|(line, written)| Some((line, written?))) {
            let written = Line::parse(written).ok_or(KeyFileError::Line { line })?;
            let Line { id, octets, until } = &written;
            let held = Held { id: *id, key: Key::new(octets), until: until.map(&instant) };
            let Some(first) = &newest else {
                if held.until.is_some() {
                    return Err(KeyFileError::FirstEnds { line });
                }
                newest = Some(held);
                continue;
            };
            if first.id == held.id || older.iter().any(|other| other.id == held.id) {
                return Err(KeyFileError::RepeatedId { line });
            }
            if older.len() + 1 >= MOST_KEYS {
                return Err(KeyFileError::TooMany { line });
            }
            older.push(held);
        }
        newest.map(|newest| Self { newest, older }).ok_or(KeyFileError::Empty)
    }
}

/// A key file with one key, which should be random.
pub fn new_key_file(octets: &[u8; BLOCK]) -> Zeroizing<String> {
    let mut file = Zeroizing::new(String::with_capacity(ABOUT.len() + 64));
    file.push_str(ABOUT);
    write_key(&mut file, 1, octets);
    file
}

/// The key file with a new key on top. The one that was there ends `keep` seconds after `now` (since 1970); what has
/// ended by now goes, all else stays.
pub fn rotate_key_file(
    text: &str,
    octets: &[u8; BLOCK],
    now: u64,
    keep: u64,
) -> Result<Zeroizing<String>, KeyFileError> {
    Keys::parse(text, |_| Instant::ZERO)?;
    let ids: Vec<u8> = lines(text).filter_map(|(_, line)| Some(Line::parse(line?)?.id)).collect();
    let first = ids.first().copied().unwrap_or_default();
    // There are 256 ids and few keys: one is free.
    let id =
        (1..=u8::MAX).map(|step| first.wrapping_add(step)).find(|id| !ids.contains(id)).unwrap_or_default();
    // In one piece: a text that grows leaves copies behind.
    let mut file = Zeroizing::new(String::with_capacity(text.len() + 128));
    let mut on_top = true;
    for (line, (_, key)) in text.lines().zip(lines(text)) {
        let key = key.and_then(Line::parse);
        if key.as_ref().and_then(|key| key.until).is_some_and(|until| until <= now) {
            continue;
        }
        if key.is_some() && std::mem::take(&mut on_top) {
            write_key(&mut file, id, octets);
            let _ = writeln!(file, "{} until {}", line.trim_end(), now.saturating_add(keep));
        } else {
            file.push_str(line);
            file.push('\n');
        }
    }
    Keys::parse(&file, |_| Instant::ZERO)?;
    Ok(file)
}

/// Every line with its number, the key on it if there is one.
fn lines(text: &str) -> impl Iterator<Item = (usize, Option<&str>)> {
    (1..).zip(text.lines().map(|line| {
        let line = line.trim();
        (!line.is_empty() && !line.starts_with('#')).then_some(line)
    }))
}

fn write_key(file: &mut String, id: u8, octets: &[u8; BLOCK]) {
    let mut digits = Zeroizing::new([0; 2 * BLOCK]);
    let _ = hex::encode_to_slice(octets, digits.as_mut());
    let _ = writeln!(file, "{id} = {}", std::str::from_utf8(digits.as_ref()).unwrap_or_default());
}

struct Line {
    id: u8,
    octets: Zeroizing<[u8; BLOCK]>,
    until: Option<u64>,
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let (id, rest) = line.split_once('=')?;
        let mut words = rest.split_ascii_whitespace();
        let mut octets = Zeroizing::new([0; BLOCK]);
        hex::decode_to_slice(words.next()?, octets.as_mut()).ok()?;
        let until = match (words.next(), words.next(), words.next()) {
            (None, ..) => None,
            (Some("until"), Some(seconds), None) => Some(seconds.parse().ok()?),
            _ => return None,
        };
        Some(Self { id: id.trim_end().parse().ok()?, octets, until })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const FILE: &str = "# newest first\n\n 7 = 000102030405060708090a0b0c0d0e0f\n\
                        6=101112131415161718191A1B1C1D1E1F until 1000\r\n5 = 202122232425262728292a2b2c2d2e2f\n";

    fn at(seconds: u64) -> Instant {
        Instant::from_epoch(Duration::from_secs(seconds))
    }

    fn parse(text: &str) -> Result<Keys, KeyFileError> {
        Keys::parse(text, at)
    }

    fn usable(keys: &Keys, id: u8, now: u64) -> bool {
        keys.find(id, at(now)).1.into()
    }

    #[test]
    fn a_key_is_not_shown() {
        let shown = format!("{:?}", parse(FILE).unwrap());
        assert_eq!(shown.matches("<secret>").count(), 3, "{shown}");
        assert!(!shown.contains("01, 2") && !shown.contains("0102") && !shown.contains("16, 17"), "{shown}");
    }

    #[test]
    fn thg_9_a_key_file_newest_first() {
        let keys = parse(FILE).unwrap();
        assert_eq!(keys.newest().0, 7);
        assert!(usable(&keys, 7, 5000) && usable(&keys, 5, 5000));
        assert!(usable(&keys, 6, 999) && !usable(&keys, 6, 1000));
        assert!(!usable(&keys, 8, 0));
        // The one asked for, not just one that may.
        let mut block = [0; 16];
        keys.find(6, at(0)).0.encrypt(&[0; 16], &mut block);
        let mut expected = [0; 16];
        let octets: Vec<u8> = (0x10..0x20).collect();
        Key::new(&octets.try_into().unwrap()).encrypt(&[0; 16], &mut expected);
        assert_eq!(block, expected);
    }

    #[test]
    fn thg_9_a_new_key_on_top() {
        let first = new_key_file(&[0xab; 16]);
        assert_eq!(parse(&first).unwrap().newest().0, 1);
        assert!(first.ends_with("\n1 = abababababababababababababababab\n"), "one key");
        let second = rotate_key_file(&first, &[0xcd; 16], 1000, 500).unwrap();
        assert!(second.ends_with(
            "\n2 = cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\n1 = abababababababababababababababab until 1500\n"
        ));
        let keys = parse(&second).unwrap();
        assert!(usable(&keys, 2, 9999) && usable(&keys, 1, 1499) && !usable(&keys, 1, 1500));
        // The first one has ended, the second ends, and what the operator wrote beside them stays.
        let third = rotate_key_file(&format!("{}# mine\n", *second), &[0xef; 16], 1500, u64::MAX).unwrap();
        assert!(third.starts_with(ABOUT) && third.ends_with(&format!(" until {}\n# mine\n", u64::MAX)));
        let keys = parse(&third).unwrap();
        assert!(keys.newest().0 == 3 && usable(&keys, 2, 5000) && !usable(&keys, 1, 0));
    }

    #[test]
    fn thg_9_ids_go_round_and_keys_have_a_limit() {
        let key = "000102030405060708090a0b0c0d0e0f";
        let rotated = rotate_key_file(&format!("255 = {key}\n0 = {key}\n"), &[1; 16], 10, 10).unwrap();
        assert_eq!(parse(&rotated).unwrap().newest().0, 1);
        let mut file = new_key_file(&[0; 16]);
        for number in 1..16 {
            file = rotate_key_file(&file, &[number; 16], 10, 10).unwrap();
        }
        let full = rotate_key_file(&file, &[16; 16], 10, 10).err();
        assert!(matches!(full, Some(KeyFileError::TooMany { .. })), "{full:?}");
        // Later there is room again.
        assert!(rotate_key_file(&file, &[16; 16], 20, 10).is_ok());
        assert_eq!(rotate_key_file("7 : x", &[1; 16], 1, 1).err(), Some(KeyFileError::Line { line: 1 }));
    }

    #[test]
    fn mistakes_in_a_key_file_have_their_line() {
        let line = |line| KeyFileError::Line { line };
        let key = "000102030405060708090a0b0c0d0e0f";
        for (text, error) in [
            (String::new(), KeyFileError::Empty),
            ("# none\n".to_owned(), KeyFileError::Empty),
            (format!("1 = {key}\n256 = {key}"), line(2)),
            (format!("-1 = {key}"), line(1)),
            (format!("1 {key}"), line(1)),
            ("1 = 0001".to_owned(), line(1)),
            (format!("1 = {key}00"), line(1)),
            (format!("1 = {key} 9"), line(1)),
            (format!("1 = {key}\n2 = {key} until x"), line(2)),
            (format!("1 = {key}\n2 = {key} until 1 2"), line(2)),
            (format!("1 = {key} until 9"), KeyFileError::FirstEnds { line: 1 }),
            (format!("1 = {key}\n#\n1 = {key}"), KeyFileError::RepeatedId { line: 3 }),
            (format!("1 = {key}\n2 = {key}\n2 = {key}"), KeyFileError::RepeatedId { line: 3 }),
            (
                (0..17).map(|id| format!("{id} = {key}\n")).collect(),
                KeyFileError::TooMany { line: MOST_KEYS + 1 },
            ),
        ] {
            assert_eq!(parse(&text).err(), Some(error), "{text}");
        }
    }
}
