//! `[hiding]` in the I-CSCF's file: what of this network others do not see, and the file of the keys.
//!
//! ```toml
//! [hiding]
//! network = "ims.example"                 # what tokens say they are of; default: home_domain
//! key_file = "/etc/akasec/hiding.keys"    # mode 0600; made by: akasec hiding-key FILE
//! inside_domains = ["core.ims.example"]   # with all names below
//! inside_prefixes = ["10.30.0.0/16"]      # never an address a phone may have
//! visible = ["icscf.core.ims.example"]    # HOST or HOST:PORT inside these that others must reach
//! ```

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hiding::{Hiding, Inside, InsideError, KeyFileError, Keys};
use serde::{Deserialize, Serialize};
use sip::Instant;
use trust::Prefix;
use zeroize::Zeroizing;

/// More than a key file with comments needs.
const LONGEST_FILE: u64 = 64 * 1024;

/// `[hiding]`. Holds no key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HidingFile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    pub key_file: PathBuf,
    #[serde(default)]
    pub inside_domains: Vec<String>,
    #[serde(default)]
    pub inside_prefixes: Vec<Prefix>,
    #[serde(default)]
    pub visible: Vec<String>,
}

/// Why a `[hiding]` cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HidingFileError {
    #[error("read the keys of topology hiding from {}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("use the keys of topology hiding in {}: others may read them (chmod 600)", path.display())]
    Exposed { path: PathBuf },
    #[error("use the keys of topology hiding in {}", path.display())]
    Keys { path: PathBuf, source: KeyFileError },
    #[error("hide what [hiding] says")]
    Inside(#[from] InsideError),
    #[error("hide anything: [hiding] names neither inside_domains nor inside_prefixes")]
    Nothing,
}

impl HidingFile {
    /// Reads the keys. `borders`: HOST:PORT of this node where others reach it, which stay in sight like `visible`.
    pub fn load<'a>(
        &'a self,
        home_domain: &str,
        borders: impl IntoIterator<Item = &'a str>,
    ) -> Result<Hiding, HidingFileError> {
        if self.inside_domains.is_empty() && self.inside_prefixes.is_empty() {
            return Err(HidingFileError::Nothing);
        }
        let prefixes: Vec<String> = self.inside_prefixes.iter().map(ToString::to_string).collect();
        let visible = self.visible.iter().map(String::as_str).chain(borders);
        let inside = Inside::new(
            self.inside_domains.iter().map(String::as_str),
            prefixes.iter().map(String::as_str),
            visible,
        )?;
        let keys = keys(&self.key_file)?;
        Ok(Hiding::new(self.network.as_deref().unwrap_or(home_domain), inside, keys)?)
    }
}

fn keys(path: &Path) -> Result<Keys, HidingFileError> {
    let unreadable = |source| HidingFileError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    // Of the file that is read, whatever the path means by now.
    let metadata = file.metadata().map_err(unreadable)?;
    if metadata.mode() & 0o077 != 0 {
        return Err(HidingFileError::Exposed { path: path.to_owned() });
    }
    let length = metadata.len().min(LONGEST_FILE);
    // In one piece: a buffer that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(length).unwrap_or(0) + 1));
    file.take(length).read_to_string(&mut text).map_err(unreadable)?;
    let (date, now) = (SystemTime::now(), node::Clock::start().now());
    let instant = |seconds| on_our_clock(seconds, date, now);
    Keys::parse(&text, instant).map_err(|source| HidingFileError::Keys { path: path.to_owned(), source })
}

/// What a date (seconds since 1970) is on the clock that counts from the start of the machine.
fn on_our_clock(seconds: u64, date: SystemTime, now: Instant) -> Instant {
    let since_1970 = date.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now + Duration::from_secs(seconds).saturating_sub(since_1970)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use sip::Message;

    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f";

    fn page() -> Result<HidingFile, toml::de::Error> {
        let lines = include_str!("hiding.rs").lines().filter_map(|line| line.strip_prefix("//!"));
        let lines: Vec<_> = lines.skip_while(|line| line.trim() != "```toml").skip(1).collect();
        let example: Vec<_> = lines.iter().take_while(|line| line.trim() != "```").copied().collect();
        #[derive(Deserialize)]
        struct File {
            hiding: HidingFile,
        }
        toml::from_str::<File>(&example.join("\n")).map(|file| file.hiding)
    }

    fn write(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn thg_4_the_page_shows_a_section_that_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = page().unwrap();
        assert_eq!(file.key_file, Path::new("/etc/akasec/hiding.keys"));
        file.key_file = folder.path().join("keys");
        write(&file.key_file, &format!("3 = {KEY}\n"), 0o600);
        let hiding = file.load("unused.example", ["10.30.0.2:5060"]).unwrap();
        let message = "NOTIFY sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP 10.30.0.2:5060;branch=z9hG4bK1\r\n\
            Via: SIP/2.0/UDP scscf.core.ims.example;branch=z9hG4bK2\r\nRecord-Route: <sip:icscf.core.ims.example;lr>, \
            <sip:10.30.0.3;lr>\r\nFrom: <sip:a@b>\r\nTo: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 NOTIFY\r\n\r\n";
        let message = Message::parse(message).unwrap();
        let hidden = hiding.hide(&message, || [1; 16]).unwrap();
        let text = String::from_utf8(hidden.bytes().to_vec()).unwrap();
        assert!(
            text.contains("10.30.0.2:5060") && text.contains("icscf.core") && text.contains("=ims.example")
        );
        assert!(!text.contains("scscf") && !text.contains("10.30.0.3"), "{text}");
        assert_eq!(hiding.leaks(&hidden.bytes()), []);
        // Another I-CSCF reads the same file; without a name the network is the home domain.
        let second = file.load("unused.example", ["10.30.0.2:5060"]).unwrap();
        assert!(second.restore(Instant::ZERO, &hidden).unwrap().is_some());
        file.network = None;
        let named = file.load("home.example", []).unwrap().hide(&message, || [1; 16]).unwrap();
        assert!(String::from_utf8(named.bytes().to_vec()).unwrap().contains("tokenized-by=home.example"));
    }

    #[test]
    fn what_is_wrong_with_the_section_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = page().unwrap();
        file.key_file = folder.path().join("keys");
        let error = |file: &HidingFile| file.load("home.example", []).unwrap_err();
        assert!(matches!(error(&file), HidingFileError::Unreadable { .. }));
        for mode in [0o640, 0o604, 0o660, 0o644] {
            write(&file.key_file, &format!("3 = {KEY}\n"), mode);
            assert!(error(&file).to_string().contains("chmod 600"), "{mode:o}");
        }
        write(&file.key_file, "3 = 00\n", 0o600);
        let source = KeyFileError::Line { line: 1 };
        assert!(matches!(error(&file), HidingFileError::Keys { source: found, .. } if found == source));
        write(&file.key_file, &format!("3 = {KEY}\n"), 0o600);
        file.visible = vec!["a b".to_owned()];
        assert!(matches!(error(&file), HidingFileError::Inside(InsideError::Except(_))));
        (file.inside_domains, file.inside_prefixes) = (Vec::new(), Vec::new());
        assert!(matches!(error(&file), HidingFileError::Nothing));
    }

    #[test]
    fn thg_9_an_end_in_the_file_is_one_on_our_clock() {
        let date = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let now = Instant::from_epoch(Duration::from_secs(50));
        let at = |seconds| Instant::from_epoch(Duration::from_secs(seconds));
        assert_eq!(on_our_clock(1_000_007, date, now), at(57));
        assert_eq!(on_our_clock(999_999, date, now), now, "it has ended");
    }
}
