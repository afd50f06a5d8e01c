//! `[[zb]]` sections of a configuration file, and the files with their keys.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sec_agree::{Alg, Algorithms, Ealg, EspKeys, Spi};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Zb, ZbError, ZbLink, ZbMode, ZbProtocol};

/// A file larger than this is no key file of ours.
const LONGEST_FILE: u64 = 64 * 1024;

/// One `[[zb]]` section as written in TOML. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZbFile {
    /// Our address of the interface.
    pub local: IpAddr,
    /// The node at its other end.
    pub peer: IpAddr,
    /// SPI of what the peer sends: its `spi_out`.
    pub spi_in: u32,
    /// SPI of what we send: the peer's `spi_in`.
    pub spi_out: u32,
    /// hmac-sha-1-96/aes-cbc, or hmac-sha-1-96/null for integrity alone.
    #[serde(default = "algorithm")]
    pub algorithm: String,
    /// A line for each SPI: the SPI, its integrity key and its cipher key, in hex. The same file serves both nodes.
    pub key_file: PathBuf,
    /// transport or tunnel.
    #[serde(default)]
    pub mode: ZbMode,
    /// udp or tcp; everything when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<ZbProtocol>,
    /// Only what has this port at one end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

fn algorithm() -> String {
    "hmac-sha-1-96/aes-cbc".into()
}

impl ZbFile {
    /// Checks all sections of a file together and reads their keys.
    pub fn load_all(sections: &[Self]) -> Result<Vec<Zb>, ZbError> {
        let (mut pairs, mut spis) = (HashSet::new(), HashSet::new());
        let mut loaded = Vec::with_capacity(sections.len());
        for section in sections {
            let zb = section.load()?;
            let ZbLink { local, peer, spi_in, .. } = zb.link;
            if !pairs.insert((local, peer)) || pairs.contains(&(peer, local)) {
                return Err(ZbError::SamePair { local, peer });
            }
            if !spis.insert((local, spi_in)) {
                return Err(ZbError::SameSpi { local, spi: spi_in.get() });
            }
            loaded.push(zb);
        }
        Ok(loaded)
    }

    fn load(&self) -> Result<Zb, ZbError> {
        let link = self.link()?;
        let keys = KeyFile::read(&self.key_file)?;
        let keys_of = |spi: Spi| keys.find(spi, link.algorithms);
        Ok(Zb { link, key_in: keys_of(link.spi_in)?, key_out: keys_of(link.spi_out)? })
    }

    fn link(&self) -> Result<ZbLink, ZbError> {
        let Self { local, peer, mode, protocol, port, .. } = *self;
        let one_host = |address: IpAddr| !address.is_unspecified() && !address.is_multicast();
        if local.is_ipv4() != peer.is_ipv4() || local == peer || !one_host(peer) {
            return Err(bad("peer", &peer, "the address of another host, of the same family as local"));
        }
        if !one_host(local) {
            return Err(bad("local", &local, "an address of this host"));
        }
        let spi = |key, value| Spi::new(value).map_err(|_| bad(key, &value, "256 to 4294967295"));
        let (spi_in, spi_out) = (spi("spi_in", self.spi_in)?, spi("spi_out", self.spi_out)?);
        // Were they equal, a packet could be sent back to whoever sent it.
        if spi_in == spi_out {
            return Err(bad("spi_out", &spi_out, "another SPI than spi_in"));
        }
        if port == Some(0) {
            return Err(bad("port", &0, "1 to 65535"));
        }
        Ok(ZbLink { local, peer, spi_in, spi_out, algorithms: self.algorithms()?, mode, protocol, port })
    }

    fn algorithms(&self) -> Result<Algorithms, ZbError> {
        let named = self.algorithm.parse::<Algorithms>().ok();
        // A counter mode whose counter starts again under the same key gives its secrets away, and the standards have
        // given up md5 and triple DES.
        let allowed = |pair: &Algorithms| {
            pair.alg() == Alg::HmacSha1_96 && matches!(pair.ealg(), Ealg::AesCbc | Ealg::Null)
        };
        named.filter(allowed).ok_or_else(|| {
            let wanted =
                "with manual keys hmac-sha-1-96/aes-cbc or hmac-sha-1-96/null; for others use an IKE daemon";
            bad("algorithm", &self.algorithm, wanted)
        })
    }
}

fn bad(key: &'static str, value: &impl ToString, wanted: &'static str) -> ZbError {
    ZbError::BadValue { key, value: value.to_string().into(), wanted }
}

struct KeyFile<'a> {
    path: &'a Path,
    text: Zeroizing<String>,
}

impl<'a> KeyFile<'a> {
    fn read(path: &'a Path) -> Result<Self, ZbError> {
        let unreadable = |source: io::Error| ZbError::KeyFile { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(ZbError::Exposed { path: path.to_owned(), mode });
        }
        let length = metadata.len().min(LONGEST_FILE);
        // In one piece: a buffer that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(usize::try_from(length).unwrap_or(0) + 1));
        file.take(length).read_to_string(&mut text).map_err(unreadable)?;
        Ok(Self { path, text })
    }

    fn find(&self, spi: Spi, algorithms: Algorithms) -> Result<EspKeys, ZbError> {
        let mut found = None;
        for (at, line) in self.text.lines().enumerate() {
            let bad = |wanted| ZbError::BadLine { path: self.path.to_owned(), line: at + 1, wanted };
            let written = line.split('#').next().unwrap_or_default();
            let mut words = written.split_whitespace();
            let Some(first) = words.next() else { continue };
            let number =
                number(first).ok_or_else(|| bad("a line starts with its SPI, in decimal or as 0x…"))?;
            if number != spi.get() {
                continue;
            }
            if found.is_some() {
                return Err(bad("this SPI stands here twice; leave one line"));
            }
            let mut key = || words.next().map_or(Some(Zeroizing::default()), octets);
            let (Some(integrity), Some(cipher), None) = (key(), key(), words.next()) else {
                return Err(bad("SPI, integrity key and cipher key are wanted, both keys in hex"));
            };
            let keys = EspKeys::manual(algorithms, &integrity, &cipher);
            let wanted =
                "hmac-sha-1-96 wants 20 octets (openssl rand -hex 20), aes-cbc 16, 24 or 32, null none";
            found = Some(keys.map_err(|_| bad(wanted))?);
        }
        found.ok_or_else(|| ZbError::NoKey { path: self.path.to_owned(), spi: spi.get() })
    }
}

fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn octets(hex: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut octets = Zeroizing::new(Vec::with_capacity(hex.len() / 2));
    for pair in hex.as_bytes().chunks(2) {
        let digit =
            |at: usize| char::from(*pair.get(at)?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        octets.push(digit(0)? << 4 | digit(1)?);
    }
    Some(octets)
}
