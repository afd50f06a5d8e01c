use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use netlink_packet_xfrm::XfrmAttrs;

use super::*;

const KEYS: &str = "\
# both directions of one interface
4097 000102030405060708090a0b0c0d0e0f10111213 202122232425262728292a2b2c2d2e2f
0x1002 303132333435363738393a3b3c3d3e3f40414243 505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f # aes-256
5000 000102030405060708090A0B0C0D0E0F10111213
";

fn key_file(folder: &Path, text: &str, mode: u32) -> std::path::PathBuf {
    let path = folder.join("zb.keys");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    path
}

fn section(key_file: &Path) -> ZbFile {
    let text = format!(
        "local = \"10.0.0.1\"\npeer = \"10.0.0.2\"\nspi_in = 4097\nspi_out = 4098\nkey_file = {key_file:?}\n"
    );
    toml::from_str(&text).unwrap()
}

#[test]
fn zb_a_section_and_its_keys_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = section(&key_file(folder.path(), KEYS, 0o600));
    assert_eq!((file.algorithm.as_str(), file.mode), ("hmac-sha-1-96/aes-cbc", ZbMode::Transport));
    let zb = ZbFile::load_all(std::slice::from_ref(&file)).unwrap().remove(0);
    assert_eq!(zb.key_in.integrity.as_bytes(), (0u8..20).collect::<Vec<_>>());
    assert_eq!(zb.key_in.confidentiality.as_bytes(), (32u8..48).collect::<Vec<_>>());
    assert_eq!(zb.key_out.confidentiality.as_bytes(), (80u8..112).collect::<Vec<_>>());
    let shown = format!("{zb:?}");
    assert!(shown.contains("<secret>") && !shown.contains("32, 33") && !shown.contains("2021"), "{shown}");
    let printed = toml::to_string(&file).unwrap();
    assert_eq!(toml::from_str::<ZbFile>(&printed).unwrap(), file);
    let whole = format!("{printed}protocol = \"tcp\"\nport = 3868\n").replace("transport", "tunnel");
    let whole: ZbFile = toml::from_str(&whole).unwrap();
    assert_eq!((whole.mode, whole.protocol, whole.port), (ZbMode::Tunnel, Some(ZbProtocol::Tcp), Some(3868)));
}

#[test]
fn zb_a_key_file_that_others_may_read_or_that_is_wrong_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |text: &str, mode| {
        let file = section(&key_file(folder.path(), text, mode));
        ZbFile::load_all(&[file]).unwrap_err()
    };
    for mode in [0o640, 0o604, 0o620, 0o666] {
        let error = refused(KEYS, mode);
        assert!(matches!(error, ZbError::Exposed { mode: found, .. } if found == mode), "{error}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    let first = KEYS.lines().nth(1).unwrap();
    for (text, wanted) in [
        ("", "4097 INTEGRITY-KEY"),
        (first, "4098 INTEGRITY-KEY"),
        ("4097 00 11", ":1: hmac-sha-1-96 wants 20 octets"),
        ("\n4097", ":2: hmac-sha-1-96 wants 20 octets"),
        ("4097 0x00", "in hex"),
        ("4097 000", "in hex"),
        ("4097 00 11 22", "in hex"),
        ("key 00", "starts with its SPI"),
        ("99999999999 00", "starts with its SPI"),
    ] {
        let error = refused(text, 0o600).to_string();
        assert!(error.contains(wanted), "{text}: {error}");
    }
    let twice = refused(&format!("{KEYS}{first}"), 0o600).to_string();
    assert!(twice.contains("twice") && !twice.contains("0001"), "{twice}");
    let missing = ZbFile::load_all(&[section(&folder.path().join("missing"))]).unwrap_err();
    assert!(missing.to_string().contains("missing"), "{missing}");
}

#[test]
fn zb_sections_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let good = section(&key_file(folder.path(), KEYS, 0o600));
    let wrong = |change: &dyn Fn(&mut ZbFile)| {
        let mut file = good.clone();
        change(&mut file);
        ZbFile::load_all(&[file]).unwrap_err().to_string()
    };
    for (change, key) in [
        (&(|file: &mut ZbFile| file.peer = "fd00::2".parse().unwrap()) as &dyn Fn(&mut ZbFile), "zb.peer"),
        (&|file| file.peer = file.local, "zb.peer"),
        (&|file| file.peer = "0.0.0.0".parse().unwrap(), "zb.peer"),
        (&|file| file.local = "224.0.0.1".parse().unwrap(), "zb.local"),
        (&|file| file.spi_in = 255, "zb.spi_in"),
        (&|file| file.spi_out = file.spi_in, "zb.spi_out"),
        (&|file| file.port = Some(0), "zb.port"),
        (&|file| file.algorithm = "null/aes-gcm".into(), "IKE"),
        (&|file| file.algorithm = "aes-gmac/null".into(), "IKE"),
        (&|file| file.algorithm = "hmac-md5-96/aes-cbc".into(), "zb.algorithm"),
        (&|file| file.algorithm = "rot13".into(), "zb.algorithm"),
    ] {
        let error = wrong(change);
        assert!(error.contains(key), "{error}");
    }
    let swapped = ZbFile { local: good.peer, peer: good.local, ..good.clone() };
    for twice in [good.clone(), swapped] {
        let error = ZbFile::load_all(&[good.clone(), twice]).unwrap_err();
        assert!(matches!(error, ZbError::SamePair { .. }), "{error}");
    }
    let other = ZbFile { peer: "10.0.0.3".parse().unwrap(), ..good.clone() };
    let error = ZbFile::load_all(&[good, other]).unwrap_err();
    assert!(matches!(error, ZbError::SameSpi { spi: 4097, .. }), "{error}");
}

fn link(local: &str, peer: &str) -> ZbLink {
    ZbLink {
        local: local.parse().unwrap(),
        peer: peer.parse().unwrap(),
        spi_in: Spi::new(4097).unwrap(),
        spi_out: Spi::new(4098).unwrap(),
        algorithms: "hmac-sha-1-96/aes-cbc".parse().unwrap(),
        mode: ZbMode::Transport,
        protocol: None,
        port: None,
    }
}

/// Priority, protocol, ports and reqid of what a policy asks for; no reqid where it lets pass.
fn policies(link: &ZbLink) -> Vec<(u32, u8, u16, u16, Option<u32>)> {
    let told = link.policies().map(|policy| match policy.add().1 {
        XfrmMessage::UpdatePolicy(message) => {
            let (info, selector) = (&message.user_policy_info, &message.user_policy_info.selector);
            assert_eq!(selector.user, ZB_MARK);
            let reqid = message.nlas.iter().find_map(|attribute| match attribute {
                XfrmAttrs::Template(templates) => Some(templates[0].reqid),
                _ => None,
            });
            (info.priority, selector.proto, selector.sport, selector.dport, reqid)
        }
        other => panic!("no policy: {other:?}"),
    });
    told.collect()
}

#[test]
fn zb_policies_ask_for_the_association_of_their_direction() {
    let all = link("10.0.0.1", "10.0.0.2");
    assert_eq!(policies(&all), [(2048, 0, 0, 0, Some(4097)), (2048, 0, 0, 0, Some(4098))]);
    let diameter = ZbLink { protocol: Some(ZbProtocol::Tcp), port: Some(3868), ..all };
    assert_eq!(
        policies(&diameter),
        [
            (2048, 6, 3868, 0, Some(4097)),
            (2048, 6, 0, 3868, Some(4097)),
            (2048, 6, 3868, 0, Some(4098)),
            (2048, 6, 0, 3868, Some(4098)),
        ]
    );
    let v6 = policies(&link("fd00::1", "fd00::2"));
    assert_eq!(v6[..2], [(2047, 58, 135, 0, None), (2047, 58, 136, 0, None)], "neighbour discovery");
    assert_eq!(v6.len(), 6);
}
