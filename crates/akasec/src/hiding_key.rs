//! `akasec hiding-key`: makes the keys of topology hiding.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, bail};
use clap::Args;
use hiding::{new_key_file, rotate_key_file};
use zeroize::Zeroizing;

const DAY: u64 = 24 * 3600;
/// More than a key file with comments needs.
const LONGEST_FILE: u64 = 64 * 1024;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The key file: `key_file` under [hiding] in icscf.toml.
    file: PathBuf,
    /// Put a new key on top of those in the file; the one before it goes on decrypting for a while.
    #[arg(long)]
    rotate: bool,
    /// How long the key before it still decrypts: as long as registrations and dialogs may last.
    #[arg(long, value_name = "DAYS", default_value_t = 14, requires = "rotate", value_parser = clap::value_parser!(u64).range(1..=3650))]
    keep_days: u64,
    /// Make a new file in the place of one that is there: what its keys have hidden can no longer be read.
    #[arg(long, conflicts_with = "rotate")]
    force: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    crate::print(&make(options)?)?;
    Ok(ExitCode::SUCCESS)
}

/// What to tell about it.
fn make(options: &Options) -> anyhow::Result<String> {
    let mut octets = Zeroizing::new([0; 16]);
    getrandom::fill(&mut *octets).context("draw a random key")?;
    let path = &options.file;
    if options.rotate {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("read the date")?;
        let old = read(path)?;
        let rotated = rotate_key_file(&old, &octets, since_1970.as_secs(), options.keep_days * DAY);
        replace(path, &rotated.with_context(|| format!("rotate the keys in {}", path.display()))?)?;
        return Ok(format!(
            "{}: a new key is on top; the one before it decrypts for {} more days. Bring the file to every I-CSCF of the \
             network and start them anew.\n",
            path.display(),
            options.keep_days
        ));
    }
    let new = new_key_file(&octets);
    if options.force {
        replace(path, &new)?
    } else {
        create(path, &new)?
    }
    Ok(format!("{}: a new key. Every I-CSCF of the network needs this file, mode 0600.\n", path.display()))
}

fn read(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let metadata = file.metadata().with_context(|| format!("look at {}", path.display()))?;
    if metadata.mode() & 0o077 != 0 {
        bail!("{} may be read by others: make a new file, or chmod 600 if nobody has", path.display());
    }
    if metadata.len() > LONGEST_FILE {
        bail!("{} is too long for a key file", path.display());
    }
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(metadata.len())? + 1));
    file.take(LONGEST_FILE).read_to_string(&mut text).with_context(|| format!("read {}", path.display()))?;
    Ok(text)
}

/// A file that was not there, readable for nobody else.
fn create(path: &Path, text: &str) -> anyhow::Result<()> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = match made {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => bail!(
            "{} is there: --rotate puts a new key on top of its own, --force gives them up",
            path.display()
        ),
        made => made.with_context(|| format!("make {}", path.display()))?,
    };
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = std::fs::remove_file(path);
    }
    written.with_context(|| format!("write {}", path.display()))
}

/// The I-CSCF that could read the old file can read the new one, whoever makes it.
fn keep_owner(old: &Path, new: &Path) -> anyhow::Result<()> {
    let owner = |path| std::fs::metadata(path).map(|found| (found.uid(), found.gid()));
    // Where there was none the maker owns it.
    let Ok((uid, gid)) = owner(old) else { return Ok(()) };
    if owner(new).is_ok_and(|made| made == (uid, gid)) {
        return Ok(());
    }
    std::os::unix::fs::chown(new, Some(uid), Some(gid)).with_context(|| {
        format!(
            "give the new file to the owner of {} ({uid}:{gid}): run as root or as the owner",
            old.display()
        )
    })
}

/// The old file or the new one, whatever happens in between.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    // Through a symbolic link, not in its place.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut beside = path.clone().into_os_string();
    beside.push(format!(".new-{}", std::process::id()));
    let beside = PathBuf::from(beside);
    // It may hold part of a key.
    let leave = |error| {
        let _ = std::fs::remove_file(&beside);
        error
    };
    create(&beside, text)?;
    keep_owner(&path, &beside).map_err(leave)?;
    std::fs::rename(&beside, &path).with_context(|| format!("replace {}", path.display())).map_err(leave)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .with_context(|| format!("sync {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use hiding::Keys;
    use sip::Instant;

    use super::*;

    fn options(file: &Path, rotate: bool, force: bool) -> Options {
        Options { file: file.to_owned(), rotate, keep_days: 14, force }
    }

    fn keys(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        Keys::parse(&text, |_| Instant::ZERO).unwrap();
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn thg_9_a_key_file_is_made_once_and_rotated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hiding.keys");
        assert!(make(&options(&path, true, false)).is_err(), "there is nothing to rotate");
        make(&options(&path, false, false)).unwrap();
        let first = keys(&path);
        assert_eq!((first.len(), mode(&path)), (1, 0o600));
        let error = make(&options(&path, false, false)).unwrap_err().to_string();
        assert!(error.contains("--rotate") && error.contains("--force"), "{error}");
        assert_eq!(keys(&path), first);

        let told = make(&options(&path, true, false)).unwrap();
        let second = keys(&path);
        assert!(!second.iter().any(|key| told.contains(&key[4..36])), "no key is shown: {told}");
        assert_eq!((second.len(), mode(&path)), (2, 0o600));
        assert!(second[1].starts_with(&format!("{} until ", first[0])), "the old key goes on");
        assert_ne!(second[0][4..], first[0][4..]);

        make(&options(&path, false, true)).unwrap();
        let third = keys(&path);
        assert_eq!((third.len(), mode(&path)), (1, 0o600));
        assert!(!second.iter().any(|old| old.contains(&third[0][4..])), "a key of its own");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_key_file_that_others_may_read_is_not_rotated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hiding.keys");
        make(&options(&path, false, false)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let before = keys(&path);
        let error = make(&options(&path, true, false)).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        assert_eq!(keys(&path), before);
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("real"), folder.path().join("link"));
        make(&options(&path, false, false)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        make(&options(&link, true, false)).unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(keys(&path).len(), 2);
    }
}
