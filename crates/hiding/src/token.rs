//! One token: entries of a header, sealed under K_v and written as a host name.
//!
//! Plain text: version, kind, the entries joined by `,`, the tag, and padding (PKCS#7) to whole blocks. Of it
//! AES-128-CBC, behind the key's id and the IV; all that in base 32, in labels of a host name. What a host name has no
//! room for stands in a parameter.

use sip::Instant;
use subtle::{ConditionallySelectable, ConstantTimeEq, ConstantTimeGreater, ConstantTimeLess};

use crate::base32;
use crate::key::{BLOCK, Key, Keys, TAG};

const VERSION: u8 = 1;
/// Version and kind.
const HEAD: usize = 2;
/// The key's id and the IV.
const CLEAR: usize = 1 + BLOCK;

const LABEL: usize = 60;
/// Letters of base 32 in a host name of 253: four labels of 60, one of 9, and the dots between.
const HOST: usize = 249;
/// The most octets of entries that fit into a host name: 155 octets, of them 8 blocks of cipher text.
pub(crate) const ROOM: usize = (HOST * 5 / 8 - CLEAR) / BLOCK * BLOCK - HEAD - TAG - 1;

/// What a token holds. One of another kind is refused, so that none is moved to where it does not belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Via,
    /// Record-Route, Route, Service-Route: all come back as Route.
    Route,
    /// Record-Route of a response: whoever sent the request reverses the list for its Route, but cannot reverse what is
    /// inside a token. So it is sealed the other way round.
    //= RFC 3261 12.1.2
    Backward,
    Path,
    /// The URI of a Contact.
    Contact,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Via, Self::Route, Self::Backward, Self::Path, Self::Contact];

    const fn octet(self) -> u8 {
        match self {
            Self::Via => b'V',
            Self::Route => b'R',
            Self::Backward => b'B',
            Self::Path => b'P',
            Self::Contact => b'C',
        }
    }
}

/// A token with our network's name is none of ours, or of a key whose time is over. One error for all causes: whoever
/// tries tokens out learns nothing of why one failed. A request with it gets a 400, a response is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("read a token of our network")]
pub struct TokenRefused;

impl TokenRefused {
    /// Status and reason phrase of the answer to a request.
    pub const fn status(self) -> (u16, &'static str) {
        (400, "Bad Request")
    }
}

/// As it is written.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) host: String,
    /// What the host had no room for; most often empty.
    pub(crate) rest: String,
}

/// The entries of a token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

/// `iv` must be random and new for each token.
pub(crate) fn seal(keys: &Keys, kind: Kind, text: &str, iv: [u8; BLOCK]) -> Token {
    let (id, key) = keys.newest();
    let content = HEAD + text.len();
    let padding = BLOCK - (content + TAG) % BLOCK;
    let mut octets = Vec::with_capacity(CLEAR + content + TAG + BLOCK);
    octets.push(id);
    octets.extend(iv);
    octets.extend([VERSION, kind.octet()]);
    octets.extend(text.as_bytes());
    octets.resize(CLEAR + content + TAG + padding, 0);
    // At most a block, which a u8 holds.
    let padding = u8::try_from(padding).unwrap_or_default();
    if let Some((clear, plain)) = octets.split_at_mut_checked(CLEAR) {
        let tag = key.tag(&[clear, &[padding], plain]);
        let (_, tail) = plain.split_at_mut(content);
        tail.fill(padding);
        tail[..TAG].copy_from_slice(&tag);
        key.encrypt(&iv, plain);
    }
    written(&octets)
}

/// What a token holds, if one of our keys made it.
pub(crate) fn open(keys: &Keys, now: Instant, host: &str, rest: &str) -> Result<Opened, TokenRefused> {
    // Up to here a failure tells of the text only, which whoever sent it has before him.
    let mut octets = read(host, rest).ok_or(TokenRefused)?;
    let ([id, iv @ ..], cipher) = octets.split_first_chunk_mut::<CLEAR>().ok_or(TokenRefused)?;
    if cipher.is_empty() || cipher.len() % BLOCK != 0 {
        return Err(TokenRefused);
    }
    let (key, known) = keys.find(*id, now);
    key.decrypt(iv, cipher);
    let verified = verify(key, *id, iv, cipher);
    // From here on it is one that we made.
    let length = verified.filter(|_| bool::from(known)).ok_or(TokenRefused)?;
    match cipher.get(..length) {
        Some([VERSION, kind, text @ ..]) => {
            let kind = Kind::ALL.into_iter().find(|known| known.octet() == *kind).ok_or(TokenRefused)?;
            let text = std::str::from_utf8(text).map_err(|_| TokenRefused)?;
            Ok(Opened { kind, text: text.to_owned() })
        }
        _ => Err(TokenRefused),
    }
}

/// The length of what stands before tag and padding. Takes the same steps whatever the padding says and wherever the
/// tag stands, so that the time tells no more than the answer does.
fn verify(key: &Key, id: u8, iv: &[u8; BLOCK], plain: &[u8]) -> Option<usize> {
    let total = u32::try_from(plain.len()).ok()?;
    let padding = plain.last().copied()?;
    let behind = padding_and_tag(padding);
    let mut sound = !padding.ct_eq(&0) & !padding.ct_gt(&16) & !total.ct_lt(&(2 + behind));
    for (back, octet) in (0_u8..16).zip(plain.iter().rev()) {
        sound &= !back.ct_lt(&padding) | octet.ct_eq(&padding);
    }

    let mut tag = [0; TAG];
    for candidate in 1_u8..=16 {
        let Some(at) = total.checked_sub(padding_and_tag(candidate)) else { break };
        let here = candidate.ct_eq(&padding);
        for (octet, found) in tag.iter_mut().zip(plain.get(at as usize..).unwrap_or_default()) {
            octet.conditional_assign(found, here);
        }
    }

    let content = total.wrapping_sub(behind);
    let mut tagged = plain.to_vec();
    for (at, octet) in (0_u32..).zip(&mut tagged) {
        octet.conditional_assign(&0, !at.ct_lt(&content));
    }
    sound &= key.tag(&[&[id], iv, &[padding], &tagged]).ct_eq(&tag);
    bool::from(sound).then_some(content as usize)
}

fn padding_and_tag(padding: u8) -> u32 {
    8 + u32::from(padding)
}

fn written(octets: &[u8]) -> Token {
    let text = base32::encode(octets);
    let (head, rest) = text.split_at(text.len().min(HOST));
    let mut host = String::with_capacity(head.len() + head.len() / LABEL);
    for (at, letter) in head.chars().enumerate() {
        if at > 0 && at % LABEL == 0 {
            host.push('.');
        }
        host.push(letter);
    }
    Token { host, rest: rest.to_owned() }
}

fn read(host: &str, rest: &str) -> Option<Vec<u8>> {
    let letters: Vec<u8> = host.bytes().filter(|octet| *octet != b'.').chain(rest.bytes()).collect();
    base32::decode(&letters)
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
