//! The checklist of topology hiding, as far as it shows without sockets.

mod network;

use hiding::{Hiding, Inside, Key, Keys, TokenRefused};
use network::{fresh, hide, home, invite, keys, message, now, other, restore, values};
use sip::{Draft, Host, Message, Name, NameAddr, Uri, Via, routing};

fn icscf1(uri: &Uri<'_>) -> bool {
    uri.host.is(Host::Name("icscf.core.home1.example"))
}

/// What the far end answers.
fn answer(request: &Message) -> Message {
    let mut draft = Draft::reply(request, 200, "OK", Some("b"));
    for line in request.lines(Name::RecordRoute) {
        draft.push(Name::RecordRoute, line.to_owned());
    }
    Message::parse(draft.finish().bytes()).unwrap()
}

#[test]
fn thg_1_a_request_shows_the_border_and_tokens_only() {
    let (home, invite) = (home(), invite());
    assert_eq!(home.leaks(&invite.bytes()).len(), 6, "{:?}", home.leaks(&invite.bytes()));
    let hidden = hide(&home, &invite);
    assert_eq!(home.leaks(&hidden.bytes()), []);
    let vias = values(&hidden, Name::Via);
    assert_eq!(vias.len(), 4, "two long ones do not share a host name: {vias:?}");
    assert_eq!(vias[0], "SIP/2.0/UDP icscf.core.home1.example:5060;branch=z9hG4bKborder");
    assert_eq!(vias[3], "SIP/2.0/UDP 192.0.2.7:7100;branch=z9hG4bKue;rport=7100");
    for via in &vias[1..3] {
        let via = Via::parse(via).unwrap();
        assert_eq!(via.params.value("tokenized-by"), Some("home1.example"));
        assert!(via.branch().unwrap().starts_with("z9hG4bK"));
    }
    let routes = values(&hidden, Name::RecordRoute);
    assert_eq!((routes.len(), routes[0]), (2, "<sip:icscf.core.home1.example:5060;lr>"));
    let token = NameAddr::parse(routes[1]).unwrap().parse_uri().unwrap();
    assert!(token.lr() && token.user.is_none() && token.port.is_none());
    assert_eq!(token.params.value("tokenized-by"), Some("home1.example"));
    // All else is as it was.
    for name in [Name::From, Name::To, Name::CallId, Name::CSeq, Name::Contact, Name::MaxForwards] {
        assert_eq!(values(&hidden, name), values(&invite, name));
    }
    assert_eq!(hidden.request_uri(), invite.request_uri());
}

#[test]
fn thg_2_4_an_answer_comes_back_through_another_icscf() {
    let (invite, elsewhere) = (invite(), home());
    let answer = answer(&hide(&home(), &invite));
    let restored = restore(&elsewhere, &answer);
    let (before, after) = (values(&invite, Name::Via), values(&restored, Name::Via));
    assert_eq!(before, after);
    let s_cscf = Via::parse(after[1]).unwrap();
    assert_eq!((s_cscf.rport(), s_cscf.received()), (Some(Some(5061)), "10.1.0.3".parse().ok()));
    assert_eq!(values(&restored, Name::RecordRoute), values(&invite, Name::RecordRoute));
}

#[test]
fn thg_5_the_service_route_leads_back_to_the_s_cscf() {
    let home = home();
    let ok = message(
        "SIP/2.0 200 OK",
        &[
            "Via: SIP/2.0/UDP pcscf.visited.example;branch=z9hG4bKp",
            "Path: <sip:icscf.core.home1.example;lr>",
            "Path: <sip:term@pcscf.visited.example;lr>",
            "Service-Route: <sip:icscf.core.home1.example;lr>, <sip:orig@scscf1.core.home1.example:5060;lr>",
        ],
    );
    let hidden = hide(&home, &ok);
    assert_eq!(home.leaks(&hidden.bytes()), []);
    assert_eq!(values(&hidden, Name::Path), values(&ok, Name::Path), "none of them is inside");
    // The P-CSCF's Route for a later request is the Service-Route.
    let route = values(&hidden, Name::ServiceRoute).join(", ");
    let later = message(
        "INVITE sip:bob@home2.example SIP/2.0",
        &["Via: SIP/2.0/UDP pcscf.visited.example;branch=z9hG4bKq", &format!("Route: {route}")],
    );
    let later = restore(&home, &later);
    let mut draft = Draft::forward(&later);
    assert_eq!(routing::consume_routes(&later, &mut draft, icscf1).unwrap().len(), 1);
    let forwarded = draft.finish();
    let hop = routing::next_hop(&forwarded).unwrap();
    assert_eq!((hop.host, hop.port), (Host::Name("scscf1.core.home1.example"), Some(5060)));
    assert_eq!(values(&forwarded, Name::Route), ["<sip:orig@scscf1.core.home1.example:5060;lr>"]);
}

#[test]
fn thg_6_a_hidden_path_leads_to_the_p_cscf() {
    let visited = home();
    let register = message(
        "REGISTER sip:home2.example SIP/2.0",
        &[
            "Via: SIP/2.0/UDP icscf.core.home1.example;branch=z9hG4bKi",
            "Via: SIP/2.0/UDP 10.1.0.1:5060;branch=z9hG4bKp",
            "Via: SIP/2.0/UDP 192.0.2.7:7100;branch=z9hG4bKue",
            "Path: <sip:icscf.core.home1.example;lr>",
            "Path: <sip:term-77@10.1.0.1:5060;lr;ob>",
            "Contact: <sip:192.0.2.7:7100>;expires=600000",
        ],
    );
    let hidden = hide(&visited, &register);
    assert_eq!(visited.leaks(&hidden.bytes()), []);
    let path = values(&hidden, Name::Path);
    let token = NameAddr::parse(path[1]).unwrap().parse_uri().unwrap();
    assert!(token.lr() && token.params.has("ob"), "{}", path[1]);
    // The registrar uses the Path as Route, and gives it back in its answer.
    let path = path.join(",");
    let via = "Via: SIP/2.0/UDP scscf.core.home2.example;branch=z9hG4bKs";
    let invite = message("INVITE sip:192.0.2.7:7100 SIP/2.0", &[via, &format!("Route: {path}")]);
    let mut expected = values(&register, Name::Path);
    assert_eq!(values(&restore(&visited, &invite), Name::Route), expected);
    let ok = message("SIP/2.0 200 OK", &[via, &format!("Path: {path}")]);
    assert_eq!(values(&restore(&visited, &ok), Name::Path), expected);
    // Without ob there is none outside.
    expected = vec!["<sip:term@10.1.0.1;lr>"];
    let plain = message("REGISTER sip:home2.example SIP/2.0", &[via, &format!("Path: {}", expected[0])]);
    assert!(!values(&hide(&visited, &plain), Name::Path)[0].contains(";ob"));
}

#[test]
fn thg_7_requests_inside_a_dialog_pass_the_inside_in_order() {
    let (home, invite) = (home(), invite());
    let hidden = hide(&home, &invite);
    // bob's route set is the Record-Route as it came, alice's the one of the answer, turned round.
    let route = values(&hidden, Name::RecordRoute).join(",");
    let bye = message(
        "BYE sip:alice@192.0.2.7:7100 SIP/2.0",
        &["Via: SIP/2.0/UDP bob.example;branch=z9hG4bKb", &format!("Route: {route}")],
    );
    let bye = restore(&home, &bye);
    assert_eq!(values(&bye, Name::Route), values(&invite, Name::RecordRoute));
    let mut draft = Draft::forward(&bye);
    routing::consume_routes(&bye, &mut draft, icscf1).unwrap();
    let forwarded = draft.finish();
    assert_eq!(
        values(&forwarded, Name::Route),
        ["<sip:scscf1.core.home1.example:5060;lr>", "<sip:mo@10.1.0.1:5060;lr>"]
    );
    assert_eq!(bye.request_uri(), Some("sip:alice@192.0.2.7:7100"));
}

#[test]
fn thg_7_a_strict_router_put_the_token_into_the_request_uri() {
    let (home, invite) = (home(), invite());
    let hidden = hide(&home, &invite);
    let token = NameAddr::parse(values(&hidden, Name::RecordRoute)[1]).unwrap();
    let bye = message(
        &format!("BYE {} SIP/2.0", token.uri),
        &["Via: SIP/2.0/UDP bob.example;branch=z9hG4bKb", "Route: <sip:alice@192.0.2.7:7100>"],
    );
    let bye = restore(&home, &bye);
    assert_eq!(bye.request_uri(), Some("sip:scscf1.core.home1.example:5060;lr"));
    assert_eq!(values(&bye, Name::Route), ["<sip:mo@10.1.0.1:5060;lr>", "<sip:alice@192.0.2.7:7100>"]);
}

/// Each place a token can come back in, with a token that is none of ours in one way or other.
#[test]
fn thg_8_a_bad_token_goes_no_further() {
    let home = home();
    let hidden = hide(&home, &invite());
    let via = values(&hidden, Name::Via)[1].to_owned();
    let route = values(&hidden, Name::RecordRoute)[1].to_owned();
    let swap = |text: &str| {
        // Another letter in the middle of the first label.
        let at = text.find(';').unwrap() - 20;
        let letter = if &text[at..=at] == "a" { "b" } else { "a" };
        format!("{}{letter}{}", &text[..at], &text[at + 1..])
    };
    let bare = |route: &str| NameAddr::parse(route).unwrap().uri.to_owned();
    let top = "Via: SIP/2.0/UDP bob.example;branch=z9hG4bKb";
    let ours = |line: &str| home.restore(now(), &message("BYE sip:a@b SIP/2.0", &[top, line]));
    let at_uri = |uri: &str| home.restore(now(), &message(&format!("BYE {uri} SIP/2.0"), &[top]));
    assert!(ours(&format!("Route: {route}")).is_ok() && ours(&format!("Via: {via}")).is_ok());
    assert!(at_uri(&bare(&route)).is_ok());

    let via_as_route = format!("<sip:{};tokenized-by=home1.example;lr>", Via::parse(&via).unwrap().host);
    let uri = NameAddr::parse(&route).unwrap().parse_uri().unwrap();
    let route_as_via = format!("SIP/2.0/UDP {};tokenized-by=HOME1.example;branch=z9hG4bKx", uri.host);
    for line in [
        format!("Route: {}", swap(&route)),
        format!("Record-Route: {}", swap(&route)),
        format!("Service-Route: <sip:x;lr>, {}", swap(&route)),
        format!("Path: {}", swap(&route)),
        format!("Contact: {}", swap(&route)),
        format!("Via: {}", swap(&via)),
        // Sound, and in the wrong place.
        format!("Route: {via_as_route}"),
        format!("Path: {route}"),
        format!("Contact: {route}"),
        format!("Via: {route_as_via}"),
        // No token at all.
        "Route: <sip:scscf1.core.home1.example;tokenized-by=home1.example;lr>".to_owned(),
        "Route: <sip:10.1.0.1;tokenized-by=Home1.Example;lr>".to_owned(),
        "Route: sip:x;tokenized-by=home1.example".to_owned(),
    ] {
        assert_eq!(ours(&line).err(), Some(TokenRefused), "{line}");
    }
    for uri in [bare(&swap(&route)), bare(&via_as_route), "sip:x;tokenized-by=home1.example".to_owned()] {
        assert_eq!(at_uri(&uri).err(), Some(TokenRefused), "{uri}");
    }
    for wrong in [network::network(1, keys(9)), network::network(1, Keys::one(1, Key::new(&[9; 16])))] {
        assert_eq!(wrong.restore(now(), &hidden).err(), Some(TokenRefused));
    }
    assert_eq!(TokenRefused.status().0, 400);
}

#[test]
fn thg_8_tokens_of_others_are_let_alone() {
    let (home, other) = (home(), other());
    let hidden = hide(&home, &invite());
    assert!(other.restore(now(), &hidden).unwrap().is_none());
    assert!(other.hide(&hidden, fresh()).is_none());
    assert!(home.hide(&hidden, fresh()).is_none(), "what is hidden is not hidden again");
    // To say that one is a token does not make it one.
    let via = "Via: SIP/2.0/UDP 10.1.0.1;tokenized-by=home2.example;branch=z9hG4bKp";
    let lines = [via, "Route: <sip:scscf1.core.home1.example;tokenized-by=home1.example;lr>"];
    let claims = hide(&home, &message("BYE sip:a@b SIP/2.0", &lines));
    assert_eq!(home.leaks(&claims.bytes()), []);
    // Its name has changed on the way: no token of ours any more.
    let text = String::from_utf8(hidden.bytes().to_vec()).unwrap();
    let renamed = Message::parse(text.replace("tokenized-by=home1.example", "tokenized-by=home3.example"));
    assert!(home.restore(now(), &renamed.unwrap()).unwrap().is_none());
}

#[test]
fn thg_8_both_networks_hide() {
    let (home, other) = (home(), other());
    let first = hide(&home, &invite());
    let mut draft = Draft::forward(&first);
    for host in ["icscf", "scscf"] {
        draft.push_front(Name::Via, format!("SIP/2.0/UDP {host}.core.home2.example;branch=z9hG4bK{host}"));
        draft.push_front(Name::RecordRoute, format!("<sip:{host}.core.home2.example;lr>"));
    }
    let inside_two = Message::parse(draft.finish().bytes()).unwrap();
    let second = hide(&other, &inside_two);
    assert_eq!((home.leaks(&second.bytes()), other.leaks(&second.bytes())), (vec![], vec![]));
    assert_eq!(values(&restore(&other, &second), Name::Via), values(&inside_two, Name::Via));
    assert_eq!(values(&restore(&other, &second), Name::RecordRoute), values(&inside_two, Name::RecordRoute));
    // In the order of the way back, and in the other.
    let one = restore(&home, &restore(&other, &second));
    let two = restore(&other, &restore(&home, &second));
    assert_eq!(values(&one, Name::Via), values(&two, Name::Via));
    assert_eq!(values(&one, Name::Via)[2..], values(&invite(), Name::Via));
}

#[test]
fn thg_9_dialogs_outlive_a_change_of_keys() {
    let second = |seconds| sip::Instant::from_epoch(std::time::Duration::from_secs(seconds));
    let read = |text: &str| network::network(1, Keys::parse(text, second).unwrap());
    let (first_key, second_key) = ("00112233445566778899aabbccddeeff", "0f0e0d0c0b0a09080706050403020100");
    let before = read(&format!("1 = {first_key}"));
    let after = read(&format!("2 = {second_key}\n1 = {first_key} until 2000"));
    let hidden = hide(&before, &invite());
    let restored = after.restore(second(1999), &hidden).unwrap().unwrap();
    assert_eq!(values(&restored, Name::Via), values(&invite(), Name::Via));
    assert_eq!(after.restore(second(2000), &hidden).err(), Some(TokenRefused));
    // New tokens are the new key's.
    let hidden = hide(&after, &invite());
    assert_eq!(before.restore(second(1), &hidden).err(), Some(TokenRefused));
    let alone = read(&format!("2 = {second_key}"));
    assert!(alone.restore(second(3000), &hidden).unwrap().is_some());
    // An I-CSCF that has the new key at the end only reads it: both can be changed one after the other.
    let prepared = read(&format!("1 = {first_key}\n2 = {second_key}"));
    assert!(prepared.restore(second(1), &hidden).unwrap().is_some());
    assert!(before.restore(second(1), &hide(&prepared, &invite())).unwrap().is_some());
}

#[test]
fn thg_10_without_an_inside_nothing_changes() {
    let off = Hiding::new("home1.example", Inside::default(), keys(1)).unwrap();
    assert!(off.hide(&invite(), fresh()).is_none());
    assert!(off.restore(now(), &invite()).unwrap().is_none());
    assert!(home().restore(now(), &invite()).unwrap().is_none());
}

#[test]
fn thg_12_a_p_cscf_without_a_key_passes_tokens_on() {
    let hidden = hide(&home(), &invite());
    let route = values(&hidden, Name::RecordRoute)[1].to_owned();
    let request = message(
        "INVITE sip:bob@home2.example SIP/2.0",
        &[
            "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKu",
            &format!("Route: <sip:pcscf.visited.example;lr>, {route}"),
        ],
    );
    let mut draft = Draft::forward(&request);
    let own = |uri: &Uri<'_>| uri.host.is(Host::Name("pcscf.visited.example"));
    routing::consume_routes(&request, &mut draft, own).unwrap();
    let forwarded = draft.finish();
    assert_eq!(values(&forwarded, Name::Route), [route.as_str()]);
    assert_eq!(routing::strict_next_hop(&forwarded).unwrap().map(drop), None, "it is a loose router");
}
