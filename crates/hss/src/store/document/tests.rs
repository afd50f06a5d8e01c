use std::sync::Arc;

use aka::{Algorithm, Amf, K, Opc};
use proptest::prelude::*;

use super::*;

fn private(user: &str) -> PrivateIdentity {
    PrivateIdentity {
        impi: Impi::new(&format!("{user}@home.example")).unwrap(),
        algorithm: Arc::new(Algorithm::milenage(K::from_bytes([1; 16]), Opc::from_bytes([2; 16]))),
        amf: Amf::from_bytes([0x80, 0]),
    }
}

fn impu(user: &str) -> Impu {
    Impu::new(&format!("sip:{user}@home.example")).unwrap()
}

fn subscription() -> Subscription {
    let held = |user: &str, barred, kind, set, held_by: &[&str]| HeldIdentity {
        impu: impu(user),
        barred,
        kind,
        set,
        held_by: held_by.iter().map(|user| private(user).impi).collect(),
    };
    let criteria = "<InitialFilterCriteria><Priority>0</Priority><a>ä\"\\</a></InitialFilterCriteria>";
    let profile = Profile {
        public: vec![
            held("a", false, IdentityType::DistinctUser, 0, &["a", "b"]),
            held("b", true, IdentityType::WildcardService, 7, &["b"]),
            held("c", false, IdentityType::WildcardUser, 7, &["b"]),
        ],
        sets: vec![ImplicitSet {
            number: 7,
            filter_criteria: vec![FilterCriteria { xml: criteria.into() }],
            unregistered_services: true,
        }],
        capabilities: Some(ServerCapabilities {
            mandatory: vec![1, u32::MAX],
            optional: vec![],
            server_names: vec![ServerName::new("sip:scscf.home.example").unwrap()],
        }),
        visited_networks: Some(vec![VisitedNetwork::new("visited.example").unwrap()]),
        anonymity: Anonymity { id: true, user: true },
    };
    Subscription::new(vec![private("b"), private("a")], profile).unwrap()
}

fn state() -> State {
    let name = ServerName::new("sip:scscf.home.example").unwrap();
    let origin = Origin { host: "scscf.home.example".into(), realm: "home.example".into() };
    let subscription =
        RestoredSubscription { call_id: "x".into(), from: "<sip:a>".into(), ..Default::default() };
    let contact = RestoredContact {
        path: "<sip:p>".into(),
        contact: "<sip:\"ä>".into(),
        initial_cseq: Some(7),
        call_id: Some("call".into()),
        subscription: Some(subscription),
        p_cscf_subscription: None,
    };
    let registration = Registration {
        server: Some(name.clone()),
        holder: Some(Holder { name: name.clone(), origin }),
        registered: vec![private("a").impi],
        unregistered: false,
        pending: vec![(private("b").impi, UnixTime(u64::MAX))],
    };
    let unregistered =
        Registration { server: Some(name.clone()), unregistered: true, ..Registration::default() };
    State {
        registrations: vec![(impu("a"), registration), (impu("b"), unregistered)],
        reassignment: true,
        restoration: vec![(name, RestorationInfo { impi: private("a").impi, contacts: vec![contact] })],
    }
}

fn keys() -> Vec<PrivateIdentity> {
    vec![private("a"), private("b")]
}

#[test]
fn what_is_written_reads_the_same() {
    let text = write_profile(&subscription());
    let read = read_profile("a", &text, keys()).unwrap();
    assert_eq!(read.profile(), subscription().profile());
    assert_eq!(read.private()[0].impi, private("b").impi, "the order is the document's");
    assert!(!text.contains("0101") && !text.contains("0202"), "no key: {text}");
    for state in [state(), State::default()] {
        assert_eq!(read_state("a", &write_state(&state)).unwrap(), state);
    }
    assert_eq!(write_state(&State::default()), r#"{"version":1}"#, "most subscribers are not registered");
}

#[test]
fn the_keys_must_be_those_of_the_document() {
    let text = write_profile(&subscription());
    for keys in [vec![], vec![private("a")], vec![private("a"), private("b"), private("c")]] {
        assert!(read_profile("a", &text, keys).is_err());
    }
}

#[test]
fn what_is_damaged_is_refused_without_its_content() {
    let profile = write_profile(&subscription());
    let changes = [
        ("\"version\":1", "\"version\":2"),
        ("\"version\":1", "\"version\":1,\"more\":1"),
        ("sip:a@home.example", "sip:a@HOME.example"),
        ("sip:a@home.example", "sip:b@home.example"),
        ("\"held_by\":[\"b@home.example\"]", "\"held_by\":[\"x@home.example\"]"),
        ("sip:scscf", "scscf"),
        ("visited.example", "visited example"),
    ];
    for (from, to) in changes {
        assert!(profile.contains(from), "{from}");
        let error = read_profile("whose", &profile.replace(from, to), keys()).unwrap_err().to_string();
        assert!(error.contains("whose") && !error.contains("home.example"), "{error}");
    }
    let state = write_state(&state());
    let changes = [
        ("\"version\":1", "\"version\":0"),
        ("sip:b@home.example", "sip:a@home.example"),
        ("\"a@home.example\"", "\"a\""),
        ("scscf.home.example\",\"realm\"", "\",\"realm\""),
        ("18446744073709551615", "-1"),
    ];
    for (from, to) in changes {
        assert!(state.contains(from), "{from} in {state}");
        assert!(read_state("whose", &state.replace(from, to)).is_err(), "{to}");
    }
    let many = format!("{{\"version\":1{}}}", " ".repeat(LARGEST));
    assert!(read_state("whose", &many).is_err());
    let deep = "[".repeat(100_000);
    assert!(read_state("whose", &deep).is_err(), "and no stack is exhausted");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}", at in 0usize..2000, octet in 0u8..128) {
        let _ = read_state("x", &text);
        let _ = read_profile("x", &text, keys());
        for good in [write_profile(&subscription()), write_state(&state())] {
            let mut octets = good.into_bytes();
            let at = at % octets.len();
            octets[at] = octet;
            if let Ok(text) = std::str::from_utf8(&octets) {
                if let Ok(read) = read_state("x", text) {
                    prop_assert_eq!(read_state("x", &write_state(&read)).unwrap(), read);
                }
                if let Ok(read) = read_profile("x", text, keys()) {
                    let again = read_profile("x", &write_profile(&read), keys()).unwrap();
                    prop_assert_eq!(again.profile(), read.profile());
                }
            }
        }
    }
}
