use clap::Parser;

use super::*;

const KEYS: (&str, &str) = ("465b5ce8b199b49faa5f0a2ee238a6bc", "cd63cb71954a9f4e48a5994e37a02baf");

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

fn options(line: &str) -> Result<Options, clap::Error> {
    Line::try_parse_from(["sub"].into_iter().chain(line.split(' '))).map(|line| line.options)
}

fn request(line: &str) -> Request {
    options(line).unwrap().command.request().unwrap()
}

#[test]
fn lines_become_requests() {
    let user = || "a@b".to_owned();
    assert_eq!(request("list --most 5 --after 7"), Request::List { after: Some(7), most: 5 });
    assert_eq!(request("show a@b --socket /x --json"), Request::Show { user: user() });
    assert_eq!(
        request("change a@b --bar sip:x@b --bar sip:y@b --add tel:+1"),
        Request::Change {
            user: user(),
            change: Change {
                bar: vec!["sip:x@b".into(), "sip:y@b".into()],
                add: vec!["tel:+1".into()],
                ..Change::default()
            }
        }
    );
    assert_eq!(
        request("deregister a@b --reason server-change --info moved"),
        Request::Deregister { user: user(), reason: Reason::ServerChange, info: Some("moved".into()) }
    );
    assert_eq!(
        request("set-sqn a@b 000000000420"),
        Request::SetSqn { user: user(), sqn: "000000000420".into() }
    );
    for bad in [
        "add --card x",
        "add --imsi 1 --impi a@b --card x",
        "add --imsi 1",
        "import",
        "remove",
        "list --most x",
    ] {
        assert!(options(bad).is_err(), "{bad}");
    }
}

#[test]
fn aka_13_a_cards_keys_become_a_row_and_show_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let card = folder.path().join("card.toml");
    std::fs::write(&card, format!("k = \"{}\"\nopc = \"{}\"\n", KEYS.0, KEYS.1)).unwrap();
    let line = format!("add --imsi 001010000000001 --impu sip:a@b --impu tel:+1 --card {}", card.display());
    let request = request(&line);
    assert!(!format!("{request:?}").contains(KEYS.0));
    let Request::Add { header, rows, existing: Existing::Refuse } = request else { panic!("an add") };
    let csv = format!("{header}\n{}\n", rows[0].text.as_str());
    let imported = hss::csv::parse(csv.as_bytes()).unwrap();
    assert_eq!(imported.len(), 1, "the importer takes it");

    std::fs::write(&card, format!("k = \"{}\n", KEYS.0)).unwrap();
    let error = options(&line).unwrap().command.request().unwrap_err();
    let told = format!("{error:#}");
    assert!(told.contains("line 1") && !told.contains(KEYS.0), "{told}");
}

#[test]
fn a_dead_socket_has_its_own_status() {
    let options = options("list --socket /nonexistent/hss.sock").unwrap();
    assert_eq!(run(&options).unwrap(), ExitCode::from(crate::operate::NO_ANSWER));
}
