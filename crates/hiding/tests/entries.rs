//! Which entries are hidden, and in what form.

mod network;

use network::{hide, home, invite, message, now, restore, values};
use proptest::prelude::*;
use sip::framing::{Frame, Framer};
use sip::{Draft, Message, Name, NameAddr, Via};

const TOP: &str = "Via: SIP/2.0/UDP icscf.core.home1.example;branch=z9hG4bKi";

#[test]
fn thg_2_a_request_that_left_and_came_back_answers_in_tokens() {
    let home = home();
    let invite = invite();
    let mut draft = Draft::forward(&invite);
    draft.push_front(Name::Via, "SIP/2.0/UDP icscf.home2.example;branch=z9hG4bKf");
    // The tokens were restored on the way in; the answer leaves towards the other network.
    let answer =
        Message::parse(Draft::reply(&draft.finish(), 200, "OK", Some("b")).finish().bytes()).unwrap();
    let hidden = hide(&home, &answer);
    assert_eq!(home.leaks(&hidden.bytes()), []);
    assert_eq!(values(&hidden, Name::Via)[0], "SIP/2.0/UDP icscf.home2.example;branch=z9hG4bKf");
    assert_eq!(values(&restore(&home, &hidden), Name::Via), values(&answer, Name::Via));
}

#[test]
fn thg_7_a_run_is_one_token_and_others_part_it() {
    let (a, b) = ("<sip:10.1.0.1;lr>", "<sip:scscf.core.home1.example;lr>");
    let request = message(
        "BYE sip:x@home2.example SIP/2.0",
        &[
            TOP,
            &format!("Route: {a},{b}"),
            "Route: <sip:f.example;lr>",
            &format!("Route: {b}"),
            &format!("Route: {a}"),
        ],
    );
    let hidden = hide(&home(), &request);
    let routes = values(&hidden, Name::Route);
    assert_eq!(routes.len(), 3, "{routes:?}");
    assert_eq!(routes[1], "<sip:f.example;lr>");
    assert_eq!(values(&restore(&home(), &hidden), Name::Route), values(&request, Name::Route));
}

#[test]
fn thg_7_a_long_run_becomes_several_tokens() {
    let lines: Vec<String> = (0..12)
        .map(|n| format!("Record-Route: <sip:proxy-number-{n}@scscf{n}.core.home1.example:5060;lr>"))
        .collect();
    let lines: Vec<&str> = std::iter::once(TOP).chain(lines.iter().map(String::as_str)).collect();
    let request = message("INVITE sip:x@home2.example SIP/2.0", &lines);
    let hidden = hide(&home(), &request);
    let tokens = values(&hidden, Name::RecordRoute);
    assert!((2..12).contains(&tokens.len()), "{tokens:?}");
    for token in tokens {
        let uri = NameAddr::parse(token).unwrap().parse_uri().unwrap();
        assert!(uri.host.to_string().len() <= 253 && !uri.params.has("tokenized-rest"), "{token}");
    }
    assert_eq!(values(&restore(&home(), &hidden), Name::RecordRoute), values(&request, Name::RecordRoute));
}

#[test]
fn thg_2_an_entry_longer_than_a_host_name_is_one_token() {
    let long = "SIP/2.0/UDP [2001:db8:1:1111:2222:3333:4444:5555]:5060;branch=z9hG4bK0123456789abcdef0123456789abcdef\
                ;rport=5060;received=2001:db8:1:1111:2222:3333:4444:5556";
    let request = message("OPTIONS sip:x@home2.example SIP/2.0", &[TOP, &format!("Via: {long}")]);
    let hidden = hide(&home(), &request);
    let token = Via::parse(values(&hidden, Name::Via)[1]).unwrap();
    assert_eq!((token.host.to_string().len(), token.params.has("tokenized-rest")), (253, true));
    assert_eq!(values(&restore(&home(), &hidden), Name::Via)[1], long);
    // So are a URI in Route and one in Contact.
    let user = "u".repeat(300);
    let route = format!("<sip:{user}@10.1.0.1;lr>");
    let contact = format!("<sip:{user}@10.1.0.1>;isfocus");
    let lines = [TOP, &format!("Route: {route}"), &format!("Contact: {contact}")];
    let hidden = hide(&home(), &message("OPTIONS sip:x@home2.example SIP/2.0", &lines));
    let restored = restore(&home(), &hidden);
    assert_eq!(
        (values(&restored, Name::Route), values(&restored, Name::Contact)),
        (vec![route.as_str()], vec![contact.as_str()])
    );
}

/// The longest tokens through our own parser, over a stream and alone.
#[test]
fn thg_12_hosts_of_253_octets_pass_our_parser() {
    let route = format!("<sip:{}@10.1.0.1;lr>", "u".repeat(300));
    let lines = [TOP, "Via: SIP/2.0/UDP 10.1.0.1;branch=z9hG4bKp", &format!("Route: {route}")];
    let hidden = hide(&home(), &message("OPTIONS sip:x@home2.example SIP/2.0", &lines));
    let host =
        NameAddr::parse(values(&hidden, Name::Route)[0]).unwrap().parse_uri().unwrap().host.to_string();
    assert_eq!(host.len(), 253);
    let mut framer = Framer::new(1000);
    framer.push(&hidden.bytes());
    let Ok(Some(Frame::Message(framed))) = framer.next() else { panic!("no message") };
    assert_eq!(framed.bytes(), hidden.bytes());
    assert_eq!(values(&restore(&home(), &framed), Name::Route), [route]);
}

#[test]
fn thg_15_the_contact_of_the_inside_comes_back_as_request_uri() {
    let home = home();
    for (contact, uri, outside) in [
        ("<sip:scscf1.core.home1.example:5060>", "sip:scscf1.core.home1.example:5060", ""),
        (
            "\"S\" <sip:n@10.1.0.3;transport=tcp>;isfocus;x=\"a;b\"",
            "sip:n@10.1.0.3;transport=tcp",
            ";isfocus;x=\"a;b\"",
        ),
        ("<sips:10.1.0.3>", "sips:10.1.0.3", ""),
    ] {
        let notify =
            message("NOTIFY sip:pcscf.visited.example SIP/2.0", &[TOP, &format!("Contact: {contact}")]);
        let hidden = hide(&home, &notify);
        assert_eq!(home.leaks(&hidden.bytes()), []);
        let hidden_contact = values(&hidden, Name::Contact)[0];
        assert!(hidden_contact.ends_with(&format!(">{outside}")), "{hidden_contact}");
        assert_eq!(values(&restore(&home, &hidden), Name::Contact), [contact]);
        let target = NameAddr::parse(hidden_contact).unwrap().uri;
        assert_eq!(target.starts_with("sips:"), uri.starts_with("sips:"));
        let via = "Via: SIP/2.0/UDP pcscf.visited.example;branch=z9hG4bKp";
        let subscribe = message(&format!("SUBSCRIBE {target} SIP/2.0"), &[via]);
        assert_eq!(restore(&home, &subscribe).request_uri(), Some(uri));
    }
    // Without brackets parameters are the header's, before and after.
    let moved = message("SIP/2.0 302 Moved", &[TOP, "Contact: sip:a@10.1.0.9;q=0.5, <sip:b@home2.example>"]);
    let hidden = hide(&home, &moved);
    assert_eq!(home.leaks(&hidden.bytes()), []);
    assert_eq!(
        values(&restore(&home, &hidden), Name::Contact),
        ["<sip:a@10.1.0.9>;q=0.5", "<sip:b@home2.example>"]
    );
    let unbracketed = values(&hidden, Name::Contact)[0].replace(['<', '>'], "");
    let back = message("SIP/2.0 302 Moved", &[TOP, &format!("Contact: {unbracketed}")]);
    assert_eq!(values(&restore(&home, &back), Name::Contact), ["<sip:a@10.1.0.9>;q=0.5"]);
}

#[test]
fn thg_1_phones_and_others_are_not_hidden() {
    let request = message(
        "REGISTER sip:home2.example SIP/2.0",
        &[
            TOP,
            "Via: SIP/2.0/UDP pcscf.visited.example;branch=z9hG4bKp",
            "Via: SIP/2.0/UDP phone.home1.example;branch=z9hG4bKx",
            "Via: SIP/2.0/UDP [2001:db8:77::1]:7100;branch=z9hG4bKu",
            "Path: <sip:pcscf.visited.example;lr>",
            "Route: <sip:home1.example;lr>, <sip:icscf.core.home1.example:5070;lr>",
            "Contact: <sip:alice@192.0.2.7>, <tel:+1>",
        ],
    );
    assert!(home().hide(&request, network::fresh()).is_none());
}

/// Entries that nobody can read do not tell of us either.
#[test]
fn thg_1_what_cannot_be_read_is_hidden_whole() {
    let lines = [
        TOP,
        "Via: SIP/2.0/UDP scscf1.core.home1.example:port;branch=z9hG4bKs",
        "Via: SIP/2.0/UDP;received=\"10.1.0.3",
        "Via: SIP/2.0/UDP 10.1.0.1;branch=z9hG4bKp",
        "Route: 10.1.0.3, <sip:10.1.0.4",
        "Contact: scscf1.core.home1.example, <sip:a b@10.1.0.4>;q=1",
    ];
    let request = message("OPTIONS sip:x@home2.example SIP/2.0", &lines);
    let hidden = hide(&home(), &request);
    assert_eq!(home().leaks(&hidden.bytes()), []);
    let restored = restore(&home(), &hidden);
    for name in [Name::Via, Name::Route, Name::Contact] {
        assert_eq!(values(&restored, name), values(&request, name));
    }
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,9}\\.core\\.home1\\.example",
        "10\\.1\\.[1-9][0-9]\\.[1-9]",
        "\\[2001:db8:1::[1-9a-f]{1,4}\\]",
        "[a-z]{1,9}\\.foreign\\.example",
        "192\\.0\\.2\\.[1-9]",
        Just("icscf.core.home1.example".to_owned()),
    ]
}

fn via() -> impl Strategy<Value = String> {
    (
        host(),
        "(UDP|TCP|TLS)",
        "(:[1-9][0-9]{3})?",
        "[a-z0-9]{1,40}",
        "(;rport=[1-9][0-9]{2}|;ttl=1|;x=\"a,b\")?",
    )
        .prop_map(|(host, transport, port, branch, more)| {
            format!("SIP/2.0/{transport} {host}{port};branch=z9hG4bK{branch}{more}")
        })
}

fn route() -> impl Strategy<Value = String> {
    (
        host(),
        "([a-z0-9,;=+]{1,20}@)?",
        "(:[1-9][0-9]{3})?",
        "(;lr|;lr;ob|;transport=tcp;lr)?",
        "(;a=\"b, c\")?",
    )
        .prop_map(|(host, user, port, params, more)| format!("<sip:{user}{host}{port}{params}>{more}"))
}

fn lines(name: &'static str, entry: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<String>> {
    let line =
        prop::collection::vec(entry, 1..4).prop_map(move |entries| format!("{name}: {}", entries.join(", ")));
    prop::collection::vec(line, 0..4)
}

proptest! {
    /// Whatever the entries are, nothing of the inside is left, and all comes back as it was.
    #[test]
    fn thg_13_hidden_and_restored_is_as_before(
        vias in lines("Via", via()),
        record_routes in lines("Record-Route", route()),
        routes in lines("Route", route()),
        paths in lines("Path", route()),
        service_routes in lines("Service-Route", route()),
        contacts in lines("Contact", route()),
        response: bool,
        first: [u8; 16],
    ) {
        let home = home();
        let lines: Vec<String> = [vias, record_routes, routes, paths, service_routes, contacts].concat();
        let lines: Vec<&str> = std::iter::once(TOP).chain(lines.iter().map(String::as_str)).collect();
        let start = if response { "SIP/2.0 200 OK" } else { "INVITE sip:bob@home2.example SIP/2.0" };
        let before = message(start, &lines);
        let mut iv = u128::from_be_bytes(first);
        let hidden = home.hide(&before, || {
            iv = iv.wrapping_add(1);
            iv.to_be_bytes()
        });
        let Some(hidden) = hidden else {
            prop_assert_eq!(home.leaks(&before.bytes()), vec![]);
            return Ok(());
        };
        let hidden = Message::parse(hidden.bytes()).unwrap();
        prop_assert_eq!(home.leaks(&hidden.bytes()), vec![]);
        let after = restore(&home, &hidden);
        for (name, ..) in before.fields() {
            prop_assert_eq!(values(&before, name), values(&after, name));
        }
        prop_assert!(home.restore(now(), &after).unwrap().is_none());
    }
}
