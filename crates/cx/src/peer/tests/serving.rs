//! The other end: who may come in, copies of requests, and requests of the server's own.

use super::*;
use crate::diameter::{Application, Ids, Writer, decode, dictionary as d};
use crate::peer::connection::Proof;

fn message(command: Command, ids: Ids, fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let application = if CX.contains(&command) { Application::Cx } else { Application::Base };
    let header = Header {
        request: true,
        proxiable: false,
        error: false,
        retransmitted: false,
        command,
        application,
        ids,
    };
    let mut writer = Writer::new(header, 512);
    fill(&mut writer);
    writer.finish().unwrap().as_bytes().to_vec()
}

const IDS: Ids = Ids { hop_by_hop: 1, end_to_end: 2 };

fn cer(host: &str, application: u32, security: &[u32]) -> Vec<u8> {
    message(Command::CapabilitiesExchange, IDS, |writer| {
        writer.text(d::ORIGIN_HOST, host);
        writer.text(d::ORIGIN_REALM, "home.example");
        writer.number(d::AUTH_APPLICATION_ID, application);
        for kind in security {
            writer.number(d::INBAND_SECURITY_ID, *kind);
        }
    })
}

/// The Result-Code of the CEA, and how the connection stands then.
fn introduce(node: &mut Node<u32>, cer: &[u8], proof: Option<Proof>) -> (Option<BaseCode>, Option<End>) {
    let id = node.opened(Now::ZERO, Side::Accepted, LOCAL, proof);
    node.received(Now::ZERO, id, cer);
    let ended = node.connections[&id].ended;
    let answer = node.take(id).0.pop();
    let code = answer.map(|wire| {
        let (header, avps) = Header::parse(wire.as_bytes()).unwrap();
        let code = decode::result_code(avps).unwrap();
        assert_eq!(header.error, code.is_protocol_error());
        code
    });
    (code, ended)
}

#[test]
fn cx_1_who_may_come_in() {
    const CX_ID: u32 = 16_777_216;
    let mut settings = settings("hss", 0);
    settings.allowed = Some(vec!["scscf.home.example".into(), "relay.home.example".into()]);
    settings.max_peers = 2;
    let mut node: Node<u32> = Node::new(settings, 1);
    let named = |name: &'static str| -> Option<Proof> { Some(Box::new(move |host| host == name)) };
    let mut check = |cer: Vec<u8>, proof: Option<Proof>| introduce(&mut node, &cer, proof);

    let unknown = Some(BaseCode::UnknownPeer);
    assert_eq!(check(cer("x.home.example", CX_ID, &[]), None), (unknown, Some(End::UnknownPeer)));
    assert_eq!(check(cer("HSS.home.example", CX_ID, &[]), None), (unknown, Some(End::OurName)));
    let certificate = named("other.home.example");
    let wrong = (unknown, Some(End::WrongCertificate));
    assert_eq!(check(cer("scscf.home.example", CX_ID, &[]), certificate), wrong);
    let no_application = (Some(BaseCode::NoCommonApplication), Some(End::NoCommonApplication));
    assert_eq!(check(cer("scscf.home.example", 5, &[]), None), no_application);
    let no_security = (Some(BaseCode::NoCommonSecurity), Some(End::NoCommonSecurity));
    assert_eq!(check(cer("scscf.home.example", CX_ID, &[1]), None), no_security);
    for text in ["", "a b", "a\nb", "ä.example", &"a".repeat(256)] {
        let (code, ended) = check(cer(text, CX_ID, &[]), None);
        assert_eq!((code, ended), (None, Some(End::Unreadable(BaseCode::InvalidAvpValue))), "{text:?}");
    }
    let welcome = (Some(BaseCode::Success), None);
    assert_eq!(check(cer("scscf.home.example", CX_ID, &[0, 1]), named("scscf.home.example")), welcome);
    assert_eq!(check(cer("Relay.home.example", 0xffff_ffff, &[]), None), welcome);
    let full = (Some(BaseCode::TooBusy), Some(End::TooManyPeers));
    assert_eq!(check(cer("scscf.home.example", CX_ID, &[]), None), full);
}

#[test]
fn a_peer_that_says_nothing_goes_after_ten_seconds() {
    let mut node: Node<u32> = Node::new(settings("hss", 0), 1);
    let id = node.opened(Now::ZERO, Side::Accepted, LOCAL, None);
    node.expire(Now::from_millis(9_999));
    assert_eq!(node.connections[&id].ended, None);
    node.expire(Now::from_secs(10));
    assert_eq!(node.connections[&id].ended, Some(End::Silent));
}

/// A client that dials a name gets that name or nothing.
#[test]
fn cx_1_the_peer_must_have_the_name_it_was_dialled_by() {
    let mut client = settings("scscf", 1);
    client.dial = vec![Some("other.home.example".into())];
    let mut world = World::of(vec![client, settings("hss1", 0)]);
    world.settle();
    assert_eq!(world.states(), [State::Initial]);
    world.nodes[0].settings.dial = vec![Some("HSS1.home.example".into())];
    world.pass(Duration::from_secs(2));
    assert_eq!(world.states(), [State::Okay]);
}

#[test]
fn cx_12_the_server_does_a_request_once_however_often_it_comes() {
    // While it is in progress, over a new connection.
    let mut world = World::new(1);
    world.settle();
    world.holds[1] = true;
    let call = world.call(0, Target::Configured);
    let before = world.nodes[1].connections.keys().copied().collect::<Vec<_>>();
    world.kill(1);
    world.listens[1] = true;
    world.pass(Duration::from_secs(2));
    assert_ne!(before, world.nodes[1].connections.keys().copied().collect::<Vec<_>>());
    assert_eq!((world.served[1], world.requests.len()), (1, 2));
    world.answer_held(1);
    assert_eq!(world.reply(), Some((call, Ok(maa()))));

    // And when the answer was lost.
    world.holds[1] = false;
    world.freeze(1, true);
    let call = world.call(0, Target::Configured);
    let id = *world.nodes[1].connections.first_key_value().unwrap().0;
    let request = as_first_sent(&world.nodes[0], call);
    let now = world.now;
    world.nodes[1].received(now, id, &request);
    let Some(Output::Serve(asked)) = world.nodes[1].outputs.pop_back() else { panic!("must be served") };
    world.nodes[1].answered(asked.ticket, Some(Answer::Maa(Err(BaseCode::UnableToComply.into()))));
    world.nodes[1].take(id);
    world.kill(1);
    world.listens[1] = true;
    world.pass(Duration::from_secs(20));
    assert_eq!(world.served[1], 1, "from memory");
    let (to, result) = world.replies.pop().unwrap();
    assert_eq!((to, result), (call, Ok(Answer::Maa(Err(BaseCode::UnableToComply.into())))));
}

/// The wire of a call that was lost.
fn as_first_sent(node: &Node<u32>, call: u32) -> Vec<u8> {
    let (ids, session_id) = node.calls.ids_of_last();
    let context = crate::diameter::encode::RequestContext {
        ids,
        session_id: &session_id,
        origin: &node.settings.origin,
        destination_realm: "home.example",
        destination_host: None,
        retransmitted: false,
    };
    crate::diameter::encode::request(&mar(call), &context).unwrap().as_bytes().to_vec()
}

#[test]
fn cx_1_the_server_asks_the_newest_connection_of_a_host_or_a_relay() {
    let mut node: Node<u32> = Node::new(settings("hss", 0), 1);
    let open = |node: &mut Node<u32>, host: &str, application| {
        let id = node.opened(Now::ZERO, Side::Accepted, LOCAL, None);
        node.received(Now::ZERO, id, &cer(host, application, &[]));
        node.take(id);
        id
    };
    let asked = |node: &mut Node<u32>, host: &str| {
        node.call(Now::ZERO, Target::Host(origin(host)), mar(1), 1);
        let ids: Vec<u64> = node.connections.keys().copied().collect();
        let to: Vec<u64> = ids.into_iter().filter(|id| !node.take(*id).0.is_empty()).collect();
        (to, node.outputs.iter().any(|one| matches!(one, Output::Reply { .. })))
    };
    let old = open(&mut node, "s1.home.example", 16_777_216);
    let new = open(&mut node, "S1.home.example", 16_777_216);
    assert_eq!(asked(&mut node, "s1"), (vec![new], false));
    node.closed(Now::ZERO, new, End::Closed);
    let again: Vec<u64> = [old].into_iter().filter(|id| !node.take(*id).0.is_empty()).collect();
    assert_eq!(again, [old], "what the newer connection lost goes over the older one");
    assert_eq!(asked(&mut node, "s2").0, [] as [u64; 0]);
    node.outputs.clear();
    let relay = open(&mut node, "relay.home.example", 0xffff_ffff);
    node.outputs.clear();
    assert_eq!(asked(&mut node, "s2"), (vec![relay], false));
    assert_eq!(asked(&mut node, "s1"), (vec![old], false), "its own connection first");
}

#[test]
fn requests_for_others_and_with_wrong_bits_are_refused() {
    let mut node: Node<u32> = Node::new(settings("hss", 0), 1);
    let id = node.opened(Now::ZERO, Side::Accepted, LOCAL, None);
    node.received(Now::ZERO, id, &cer("s.home.example", 16_777_216, &[]));
    node.take(id);
    let proxy_info = |writer: &mut Writer| {
        writer.text(d::SESSION_ID, "s;1;2");
        writer.group(d::PROXY_INFO, |group| group.text(d::PROXY_HOST, "relay.home.example"));
    };
    let elsewhere = message(Command::MultimediaAuth, IDS, |writer| {
        proxy_info(writer);
        writer.text(d::DESTINATION_HOST, "other.home.example");
    });
    let mut wrong_bits = message(Command::MultimediaAuth, IDS, proxy_info);
    wrong_bits[4] |= 0x20;
    let unknown = message(Command::Other(999), IDS, proxy_info);
    let cases = [
        (elsewhere, BaseCode::UnableToDeliver),
        (wrong_bits, BaseCode::InvalidHeaderBits),
        (unknown, BaseCode::CommandUnsupported),
    ];
    for (request, expected) in cases {
        node.received(Now::ZERO, id, &request);
        let wire = node.take(id).0.pop().unwrap();
        let (header, avps) = Header::parse(wire.as_bytes()).unwrap();
        assert!(header.error && !header.request);
        assert_eq!((header.ids, decode::result_code(avps)), (IDS, Ok(expected)));
        assert_eq!(
            decode::remains(avps),
            decode::remains(&request[20..]),
            "Session-Id and Proxy-Info go back"
        );
    }
    assert!(node.connections[&id].is_open());
}
