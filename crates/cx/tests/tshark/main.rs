//! Every message as another implementation reads it: Wireshark's dissector, and the octets we have committed.

mod pcap;
mod recorded;
mod samples;

use std::path::{Path, PathBuf};
use std::process::Command;

use cx::diameter::Header;

use pcap::From;
use samples::Sample;

/// AVPs that the dictionary of Debian 12's Wireshark does not have.
const NOT_IN_ITS_DICTIONARY: [&str; 3] = ["(660)", "AVP 660 ", "Code: 660 "];

fn dumps() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dumps")
}

fn hex(octets: &[u8]) -> String {
    let line =
        |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(" ");
    octets.chunks(16).map(|octets| line(octets) + "\n").collect()
}

/// CX-2: what we write today is, octet by octet, what tshark has been asked about. `AKASEC_DUMPS=write` writes anew.
#[test]
fn cx_2_messages_are_those_of_the_dumps() {
    let samples = samples::all();
    for Sample { name, wire, .. } in &samples {
        let path = dumps().join(format!("{name}.hex"));
        if std::env::var_os("AKASEC_DUMPS").is_some_and(|what| what == "write") {
            std::fs::write(&path, hex(wire.as_bytes())).unwrap();
        }
        let committed =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(hex(wire.as_bytes()), committed, "{name}");
    }
    let files = std::fs::read_dir(dumps()).unwrap().count();
    assert_eq!(files, samples.len(), "each dump belongs to a sample");
}

/// What tshark says about the Diameter of each packet.
fn dissected(file: &Path) -> Vec<String> {
    let output = Command::new("tshark").args(["-n", "-V", "-r"]).arg(file).output().expect("start tshark");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let diameter = |packet: &str| match packet.split_once("\nDiameter Protocol\n") {
        Some((_, diameter)) => diameter.to_owned(),
        None => panic!("no Diameter:\n{packet}"),
    };
    text.split("\nFrame ").map(diameter).collect()
}

/// What the dissector does not like about a packet, but for AVPs it cannot know and what is meant to be wrong.
fn complaints<'a>(packet: &'a str, expected: &[&str]) -> Vec<&'a str> {
    let is_complaint = |line: &&str| {
        ["Malformed", "Expert Info", "Unknown", "unknown", "Exception"].iter().any(|word| line.contains(word))
    };
    let is_excused =
        |line: &&str| NOT_IN_ITS_DICTIONARY.iter().chain(expected).any(|part| line.contains(part));
    packet.lines().filter(is_complaint).filter(|line| !is_excused(line)).collect()
}

#[test]
#[ignore = "needs tshark; cargo xtask test runs it"]
fn cx_2_tshark_reads_every_command() {
    let samples = samples::all();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("commands.pcap");
    pcap::write(&file, samples.iter().map(|sample| (sample.from, sample.wire.as_bytes()))).unwrap();
    let packets = dissected(&file);
    assert_eq!(packets.len(), samples.len());
    let mut faults = Vec::new();
    for (sample, packet) in samples.iter().zip(&packets) {
        let name = sample.name;
        let (header, _) = Header::parse(sample.wire.as_bytes()).unwrap();
        let flag = |name: &str, set: bool| format!("{name}: {}", if set { "Set" } else { "Not set" });
        let expected = [
            format!("({})\n    ApplicationId: 3GPP Cx (16777216)\n", sample.command.code()),
            format!("Length: {}", sample.wire.as_bytes().len()),
            flag("Request", header.request),
            flag("Proxyable", true),
            flag("Error", header.error),
            "Session-Id: scscf.home.example;1;2".to_owned(),
        ];
        for text in expected.iter().map(String::as_str).chain(sample.shown.iter().copied()) {
            if !packet.contains(text) {
                faults.push(format!("{name} does not show {text}:\n{packet}"));
            }
        }
        faults.extend(complaints(packet, sample.shown).into_iter().map(|line| format!("{name}: {line}")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The messages of the base protocol as our two ends really send them.
#[tokio::test]
#[ignore = "needs tshark; cargo xtask test runs it"]
async fn cx_1_tshark_reads_a_recorded_connection() {
    let messages = recorded::connection().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("connection.pcap");
    pcap::write(&file, messages.iter().map(|(from, message)| (*from, &message[..]))).unwrap();
    let packets = dissected(&file);
    assert_eq!(packets.len(), messages.len());
    let mut seen = Vec::new();
    for ((from, message), packet) in messages.iter().zip(&packets) {
        let (header, _) = Header::parse(message).unwrap();
        let code = header.command.code();
        assert!(
            packet.contains(&format!("({code})")) || packet.contains(&format!("Code: {code}")),
            "{packet}"
        );
        assert_eq!(complaints(packet, &[]), Vec::<&str>::new(), "{packet}");
        seen.push((*from, code, header.request));
    }
    let exchanges = [(From::Client, 257), (From::Client, 300), (From::Client, 303), (From::Client, 282)];
    for (asks, code) in exchanges {
        let answers = if asks == From::Client { From::Server } else { From::Client };
        assert!(seen.contains(&(asks, code, true)), "no request {code}: {seen:?}");
        assert!(seen.contains(&(answers, code, false)), "no answer {code}: {seen:?}");
    }
    let watchdogs = seen.iter().filter(|(_, code, _)| *code == 280).count();
    assert!(watchdogs >= 2, "DWR and DWA: {seen:?}");
    assert!(packets[0].contains("Product-Name: akasec"), "{}", packets[0]);
    assert!(packets[0].contains("Supported-Vendor-Id: 10415"), "{}", packets[0]);
}
