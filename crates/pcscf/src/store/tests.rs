use std::io::Cursor;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use aka::Impi;
use proptest::prelude::*;
use sec_agree::{
    Algorithms, Associations, Encapsulation, End, Policy, Port, SecurityClient, SecurityServer, Setup, Side,
    Spi,
};
use sip::Instant;

use super::*;
use crate::core::{Device, Dialog, PeerPrivacy, Purpose, Registration, SavedSet, Stage, Usage};

fn end(address: &str, base: u16, spi: u32) -> End {
    let (port, spi) = (|offset| Port::new(base + offset).unwrap(), |offset| Spi::new(spi + offset).unwrap());
    let setup = Setup { spi_c: spi(0), spi_s: spi(1), port_c: port(0), port_s: port(1) };
    End { address: address.parse().unwrap(), setup }
}

fn set(n: u32, stage: Stage) -> SavedSet {
    let (ue, p_cscf) = (end("10.9.0.2", 7000, 1000 + n * 4), end("10.9.0.1", 6000, 5000 + n * 4));
    let associations = Associations::new(&ue, &p_cscf, Algorithms::ALL[1]).unwrap();
    SavedSet {
        associations,
        stage,
        client: SecurityClient::offer(&Algorithms::ALL, ue.setup).unwrap(),
        server: SecurityServer::answer(&Policy::default(), p_cscf.setup).unwrap(),
        initial: n == 0,
        nonce: "bm9uY2U=".into(),
        used: true,
        installed: Instant::from_epoch(Duration::from_millis(1500)),
        expires: Instant::from_epoch(Duration::from_millis(600_031_500)),
    }
}

fn saved(n: u32) -> SavedDevice {
    SavedDevice {
        device: Device { impi: Impi::new(&format!("user{n}@ims.example")).unwrap(), flow: None },
        registration: Some(Registration {
            associated_uris: vec![format!("sip:user{n}@ims.example").into()],
            service_route: vec!["<sip:orig@scscf.ims.example;lr>".into()],
            contact: "sip:user@10.9.0.2:7001".into(),
            ended: false,
        }),
        sets: vec![set(n, Stage::Current)],
        dialogs: vec![dialog(n)],
    }
}

fn dialog(n: u32) -> Dialog {
    let until = Instant::from_epoch(Duration::from_millis(600_031_500));
    Dialog {
        call_id: format!("call{n}@10.9.0.2").into(),
        ue_tag: "u".into(),
        peer_tag: "p".into(),
        by_ue: n == 0,
        route: vec!["<sip:scscf.ims.example;lr>".into()],
        asserted: vec![format!("sip:user{n}@ims.example").into()],
        peer: Some(PeerPrivacy {
            wanted: "id;user".into(),
            address: (n == 1).then(|| "<sip:boss@ims.example>;tag=p".into()),
        }),
        confirmed: true,
        usages: vec![
            Usage { purpose: Purpose::Session, until: None },
            Usage { purpose: Purpose::Event("presence;id=1".into()), until: Some(until) },
        ],
    }
}

fn gone(n: u32) -> SavedDevice {
    SavedDevice { registration: None, sets: Vec::new(), dialogs: Vec::new(), ..saved(n) }
}

/// A file with these lines, as one run leaves it.
fn file_of(path: &Path, devices: &[SavedDevice]) -> StateFile {
    let (mut state, _) = StateFile::open(path, "boot".into()).unwrap();
    state.rewrite(std::iter::empty()).unwrap();
    for device in devices {
        state.note(device);
        state.flush(std::iter::empty);
    }
    state
}

fn found(path: &Path) -> Found {
    StateFile::open(path, "boot".into()).unwrap().1
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pcscf.state");
    assert!(found(&path).devices.is_empty(), "there is nothing yet");
    let mut two = saved(0);
    two.device.flow = Some("\"<urn:uuid:1>\";1".into());
    two.sets.push(set(1, Stage::Old));
    let seen = Encapsulation {
        side: Side::PCscf,
        ue: "192.0.2.7:31000".parse().unwrap(),
        p_cscf: "10.9.0.1:4500".parse().unwrap(),
    };
    two.sets[0].associations = two.sets[0].associations.encapsulated(seen).unwrap();
    let mut leaving = saved(2);
    leaving.registration = None;
    // The latest line of a device counts, and one without sets ends it.
    drop(file_of(&path, &[saved(0), two.clone(), saved(1), leaving.clone(), gone(1)]));
    let mut read = found(&path);
    read.devices.sort_by_key(|saved| (saved.device.impi.to_string(), saved.device.flow.clone()));
    assert_eq!(read.devices, [saved(0), two, leaving]);
    assert_eq!((read.damaged, read.torn, read.of_earlier_boot), (0, false, 0));
    // A new run writes it anew, and the next one reads the same.
    let (mut state, again) = StateFile::open(&path, "boot".into()).unwrap();
    state.rewrite(again.devices.into_iter()).unwrap();
    drop(state);
    assert_eq!(found(&path).devices.len(), 3);
}

#[test]
fn nobody_else_can_read_it_and_no_key_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pcscf.state");
    drop(file_of(&path, &[saved(0)]));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    let mut names: Vec<&String> = line["sets"][0].as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(
        names,
        [
            "algorithms",
            "client",
            "expires",
            "initial",
            "installed",
            "nonce",
            "p_cscf",
            "server",
            "stage",
            "ue",
            "used"
        ]
    );
    for mode in [0o640, 0o604, 0o620] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(matches!(StateFile::open(&path, "boot".into()), Err(StoreError::NotOurs { .. })));
        assert!(matches!(StateFile::check(&path, "boot"), Err(StoreError::NotOurs { .. })));
    }
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
    assert!(matches!(StateFile::open(&path, "boot".into()), Err(StoreError::Open { .. })));
}

#[test]
fn two_runs_cannot_have_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pcscf.state");
    let running = file_of(&path, &[]);
    assert!(matches!(StateFile::open(&path, "boot".into()), Err(StoreError::InUse { .. })));
    assert!(matches!(StateFile::remove(&path), Err(StoreError::InUse { .. })));
    drop(running);
    StateFile::remove(&path).unwrap();
    assert!(!path.exists());
}

#[test]
fn a_torn_end_costs_only_the_last_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pcscf.state");
    drop(file_of(&path, &[saved(0), saved(1)]));
    let octets = fs::read(&path).unwrap();
    let second = octets.len() - octets.iter().rev().skip(1).position(|octet| *octet == b'\n').unwrap() - 1;
    for end in [second + 1, second + 100, octets.len() - 1] {
        let read = read(Cursor::new(&octets[..end]), "boot").unwrap().unwrap();
        assert_eq!((read.devices, read.torn, read.damaged), (vec![saved(0)], true, 0));
    }
    let empty = read(Cursor::new(&octets[..10]), "boot").unwrap().unwrap();
    assert!(empty.torn && empty.devices.is_empty());
}

#[test]
fn a_damaged_line_is_left_out_and_another_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pcscf.state");
    drop(file_of(&path, &[saved(0), saved(1)]));
    let text = fs::read_to_string(&path).unwrap();
    let read_text = |text: &str| read(Cursor::new(text.as_bytes()), "boot").unwrap();
    for (from, to) in [
        ("\"current\"", "\"temporary\""),
        ("\"impi\":\"user0@ims.example\"", "\"impi\":\"\""),
        ("\"spi_c\":1000", "\"spi_c\":5001"),
        ("\"spi_c\":1000", "\"spi_c\":7"),
        ("\"port_c\":7000", "\"port_c\":5060"),
        ("\"10.9.0.2\"", "\"fd00::2\""),
        ("\"hmac-sha-1-96/aes-cbc\"", "\"rot13/null\""),
        ("{\"impi\"", "{\"key\":1,\"impi\""),
        ("\"ue_tag\":\"u\"", "\"ue_tag\":\"\""),
        ("\"usages\":[{}", "\"usages\":[{},{},{},{},{},{},{},{}"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        let read = read_text(&changed).unwrap();
        assert_eq!((read.devices, read.damaged), (vec![saved(1)], 1), "{from}");
    }
    let long = text.replacen('\n', &format!("\n{}\n", "x".repeat(300 << 10)), 1);
    assert_eq!((read_text(&long).unwrap().damaged, read_text(&long).unwrap().devices.len()), (1, 2));
    for (from, to) in [("\"version\":1", "\"version\":2"), ("pcscf state", "something"), ("{", "[")] {
        assert!(read_text(&text.replacen(from, to, 1)).is_none());
    }
    fs::write(&path, "[pcscf]\n").unwrap();
    assert!(matches!(StateFile::open(&path, "boot".into()), Err(StoreError::WrongFormat { .. })));
}

#[test]
fn what_is_from_before_a_reboot_is_only_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pcscf.state");
    drop(file_of(&path, &[saved(0), saved(1), gone(1)]));
    let (_, read) = StateFile::open(&path, "another boot".into()).unwrap();
    assert_eq!((read.devices.len(), read.of_earlier_boot), (0, 1));
}

#[test]
fn it_is_written_anew_when_it_has_grown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pcscf.state");
    let (mut state, _) = StateFile::open(&path, "boot".into()).unwrap();
    state.rewrite(std::iter::empty()).unwrap();
    let (mut asked, mut largest) = (0, 0);
    for _ in 0..3000 {
        state.note(&saved(0));
        state.flush(|| {
            asked += 1;
            std::iter::once(saved(0))
        });
        largest = largest.max(fs::metadata(&path).unwrap().len());
    }
    assert!((2..10).contains(&asked), "{asked}");
    assert!(largest < 2 * GROWTH, "{largest}");
    drop(state);
    assert_eq!(found(&path).devices, [saved(0)]);
}

/// A UE that fills its dialogs must not keep its own sets from being written.
#[test]
fn a_dialog_that_is_too_large_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pcscf.state");
    let mut device = saved(0);
    let large = Dialog { call_id: "x".repeat(2100).into(), ..dialog(0) };
    let nearly = |n: usize| Dialog { call_id: format!("{n:01900}").into(), ..dialog(0) };
    // What JSON writes longer than it is.
    let escaped = Dialog { call_id: "\u{1}".repeat(400).into(), ..dialog(0) };
    device.dialogs = (0..62).map(nearly).chain([large, escaped]).collect();
    drop(file_of(&path, &[device]));
    let read = found(&path);
    assert_eq!((read.devices[0].dialogs.len(), read.devices[0].sets.len()), (62, 1));
}

#[test]
fn a_full_disk_is_made_good_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pcscf.state");
    let mut state = file_of(&path, &[saved(0)]);
    // A descriptor that refuses to be written stands for the full disk.
    state.file = File::open(&path).unwrap();
    state.note(&saved(1));
    state.flush(std::iter::empty);
    assert!(state.stale);
    for _ in 0..200 {
        state.note(&saved(1));
        state.flush(|| [saved(0), saved(1)].into_iter());
    }
    assert!(!state.stale, "it was written anew");
    drop(state);
    assert_eq!(found(&path).devices.len(), 2);
}

fn sound_file() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pcscf.state");
    drop(file_of(&path, &[saved(0), saved(1)]));
    fs::read(&path).unwrap()
}

proptest! {
    #[test]
    fn any_octets_are_read_without_a_panic(octets in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = read(Cursor::new(octets), "boot");
    }

    #[test]
    fn a_sound_file_with_any_change_holds_only_legal_sets(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut octets = sound_file();
        for (at, value) in changes {
            let at = at.index(octets.len());
            octets[at] = value;
        }
        if let Some(found) = read(Cursor::new(octets), "boot").unwrap() {
            for device in found.devices {
                prop_assert!(!device.sets.is_empty());
                let line = encode(&device).unwrap();
                let again: DeviceLine = serde_json::from_slice(&line).unwrap();
                prop_assert_eq!(again.into_saved(), Some(device));
            }
        }
    }
}
