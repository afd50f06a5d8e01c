use super::*;
use crate::border;
use proptest::prelude::*;
use sip::{Draft, Message, Name};

const INSIDE: &str = "10.30.0.2:5060";
const BORDER: &str = "192.0.2.1:5060";
const BORDER_TLS: &str = "192.0.2.1:5061";

fn domain(rule: &[&str]) -> TrustDomain {
    let interface =
        |address: &str, protection, role| Interface { address: address.parse().unwrap(), protection, role };
    let certificate = |name: &str, class| Certificate { name: name.into(), class };
    TrustDomain {
        incoming: Rule::parse(rule).unwrap(),
        outgoing: Rule::parse(rule).unwrap(),
        interfaces: vec![
            interface(INSIDE, Protection::Zb, Trust::Own),
            interface("10.40.0.1:0", Protection::Za, Trust::Other),
            interface("10.50.0.1:5060", Protection::None, Trust::Other),
            interface("10.50.0.2:5060", Protection::None, Trust::Own),
            interface("10.60.0.1:5060", Protection::Physical, Trust::Untrusted),
            interface(BORDER, Protection::None, Trust::Untrusted),
            interface(BORDER_TLS, Protection::Tls, Trust::Untrusted),
            interface("192.0.2.3:5061", Protection::Tls, Trust::Other),
        ],
        certificates: vec![
            certificate("icscf.partner.example", Trust::Other),
            certificate("scscf.home.example", Trust::Own),
        ],
        own_prefixes: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
        other_prefixes: vec!["10.99.0.0/16".parse().unwrap(), "198.51.100.0/24".parse().unwrap()],
        dedicated: None,
    }
}

fn over(interface: &str, remote: &str, transport: Transport) -> Peer<'static> {
    let interface = Some(interface.parse().unwrap());
    Peer { interface, remote: remote.parse().unwrap(), transport, names: &[], route: None }
}

fn both(domain: &TrustDomain, peer: &Peer<'_>) -> Trust {
    let (incoming, outgoing) =
        (domain.decide(Direction::Incoming, peer), domain.decide(Direction::Outgoing, peer));
    assert_eq!(incoming, outgoing, "{peer:?}");
    incoming
}

fn names(names: &[&str]) -> Vec<Box<str>> {
    names.iter().map(|name| (*name).into()).collect()
}

#[test]
fn prv_12_method_1_wants_tls_and_the_whole_name_of_a_partner() {
    let domain = domain(&["I"]);
    let with = |shown: &[&str], transport| {
        both(&domain, &Peer { names: &names(shown), ..over(BORDER_TLS, "203.0.113.9", transport) })
    };
    assert_eq!(with(&["x.example", "ICSCF.Partner.Example"], Transport::Tls), Trust::Other);
    assert_eq!(with(&["icscf.partner.example."], Transport::Tls), Trust::Other);
    assert_eq!(with(&["scscf.home.example"], Transport::Tls), Trust::Own);
    for stranger in [
        "partner.example",
        "evil.icscf.partner.example",
        "*.partner.example",
        "icscf.partner.example.evil.example",
        "",
        "*",
    ] {
        assert_eq!(with(&[stranger], Transport::Tls), Trust::Untrusted, "{stranger}");
    }
    assert_eq!(with(&[], Transport::Tls), Trust::Untrusted);
    // Names that came from anywhere but a TLS handshake prove nothing.
    for transport in [Transport::Udp, Transport::Tcp] {
        assert_eq!(with(&["icscf.partner.example"], transport), Trust::Untrusted);
    }
}

#[test]
fn prv_12_method_2_wants_an_interface_under_ipsec() {
    let domain = domain(&["II"]);
    let at = |interface| both(&domain, &over(interface, "203.0.113.9", Transport::Udp));
    assert_eq!(at(INSIDE), Trust::Own);
    assert_eq!(at("10.40.0.1:5060"), Trust::Other);
    for open in ["10.50.0.1:5060", "10.50.0.2:5060", "10.60.0.1:5060", BORDER, "10.70.0.1:5060"] {
        assert_eq!(at(open), Trust::Untrusted, "{open}");
    }
    let unknown = Peer { interface: None, ..over(INSIDE, "10.30.0.3", Transport::Udp) };
    assert_eq!(both(&domain, &unknown), Trust::Untrusted);
}

#[test]
fn prv_12_method_3_is_the_role_of_the_node_and_of_the_route() {
    let mut domain = domain(&["III", "IV", "VI"]);
    let peer = over(INSIDE, "10.30.0.3", Transport::Udp);
    // A node for the Internet trusts nobody, whatever else it is told.
    domain.dedicated = Some(Trust::Untrusted);
    assert_eq!(both(&domain, &Peer { route: Some(Trust::Own), ..peer }), Trust::Untrusted);
    domain.dedicated = Some(Trust::Own);
    domain.incoming = Rule::parse(&["III"]).unwrap();
    domain.outgoing = Rule::parse(&["III"]).unwrap();
    assert_eq!(both(&domain, &over(BORDER, "203.0.113.9", Transport::Udp)), Trust::Own);
    // The routing table speaks of where a message goes, never of where it came from.
    domain.dedicated = None;
    let routed = Peer { route: Some(Trust::Own), ..peer };
    assert_eq!(domain.decide(Direction::Outgoing, &routed), Trust::Own);
    assert_eq!(domain.decide(Direction::Incoming, &routed), Trust::Untrusted);
    let refused = Peer { route: Some(Trust::Untrusted), ..peer };
    assert_eq!(domain.decide(Direction::Outgoing, &refused), Trust::Untrusted);
    let partner = Peer { route: Some(Trust::Other), ..over("10.40.0.1:5060", "10.40.0.2", Transport::Tcp) };
    assert_eq!(domain.decide(Direction::Outgoing, &partner), Trust::Other);
}

#[test]
fn prv_12_method_4_is_the_role_of_the_interface() {
    let domain = domain(&["IV"]);
    let at = |interface, transport| both(&domain, &over(interface, "203.0.113.9", transport));
    assert_eq!(at(INSIDE, Transport::Tcp), Trust::Own);
    assert_eq!(at("[::ffff:10.30.0.2]:5060", Transport::Tcp), Trust::Own);
    // Another port of a trusted address is another interface, unless all of them were named.
    assert_eq!(at("10.30.0.2:5070", Transport::Tcp), Trust::Untrusted);
    assert_eq!(at("10.40.0.1:40001", Transport::Tcp), Trust::Other);
    assert_eq!(at("10.60.0.1:5060", Transport::Udp), Trust::Untrusted);
    assert_eq!(at(BORDER, Transport::Udp), Trust::Untrusted);
}

#[test]
fn prv_12_method_5_is_the_longest_range_of_addresses() {
    let domain = domain(&["V"]);
    let from = |remote| both(&domain, &over("10.40.0.1:5060", remote, Transport::Udp));
    assert_eq!(from("10.1.2.3"), Trust::Own);
    assert_eq!(from("2001:db8::9"), Trust::Own);
    assert_eq!(from("::ffff:10.1.2.3"), Trust::Own);
    assert_eq!(from("10.99.1.1"), Trust::Other);
    assert_eq!(from("198.51.100.7"), Trust::Other);
    assert_eq!(from("203.0.113.9"), Trust::Untrusted);
}

#[test]
fn prv_12_method_6_trusts_all() {
    assert_eq!(both(&domain(&["VI"]), &over(BORDER, "203.0.113.9", Transport::Udp)), Trust::Own);
    // With a method that knows classes, the class is that method's.
    let partner = over("10.40.0.1:5060", "198.51.100.7", Transport::Udp);
    assert_eq!(both(&domain(&["VI+V"]), &partner), Trust::Other);
}

#[test]
fn prv_12_unknown_is_untrusted_and_so_is_everybody_by_default() {
    let everybody = TrustDomain::default();
    assert_eq!(everybody.incoming.to_string(), "IV (interfaces), or I (tls)");
    let shown = names(&["icscf.partner.example"]);
    let peer = Peer { names: &shown, ..over(INSIDE, "10.30.0.3", Transport::Tls) };
    assert_eq!(both(&everybody, &peer), Trust::Untrusted);
    for method in ["I", "II", "III", "IV", "V"] {
        let unknown = Peer { interface: None, ..over(INSIDE, "203.0.113.9", Transport::Tcp) };
        assert_eq!(both(&domain(&[method]), &unknown), Trust::Untrusted, "{method}");
    }
}

#[test]
fn prv_12_all_methods_of_an_alternative_agree_on_one_class() {
    let domain = domain(&["II+V", "I"]);
    assert_eq!(both(&domain, &over(INSIDE, "10.1.2.3", Transport::Udp)), Trust::Own);
    // The interface says own, the address says other: nobody vouches.
    assert_eq!(both(&domain, &over(INSIDE, "10.99.1.1", Transport::Udp)), Trust::Untrusted);
    assert_eq!(both(&domain, &over(BORDER, "10.1.2.3", Transport::Udp)), Trust::Untrusted);
    let shown = names(&["icscf.partner.example"]);
    let tls = Peer { names: &shown, ..over(BORDER_TLS, "10.1.2.3", Transport::Tls) };
    assert_eq!(both(&domain, &tls), Trust::Other);
}

#[test]
fn prv_12_each_direction_has_its_own_rule() {
    let mut domain = domain(&["IV"]);
    domain.outgoing = Rule::parse(&["I"]).unwrap();
    let peer = over(INSIDE, "10.30.0.3", Transport::Udp);
    assert_eq!(domain.decide(Direction::Incoming, &peer), Trust::Own);
    assert_eq!(domain.decide(Direction::Outgoing, &peer), Trust::Untrusted);
}

#[test]
fn prv_12_another_operator_over_an_open_wire_is_never_trusted() {
    let open = |transport| over("10.50.0.1:5060", "198.51.100.7", transport);
    for rule in ["IV", "V", "IV+V", "IV+VI"] {
        assert_eq!(both(&domain(&[rule]), &open(Transport::Udp)), Trust::Untrusted, "{rule}");
    }
    // Our own nodes may be behind one: that is the operator's business.
    assert_eq!(both(&domain(&["IV"]), &over("10.50.0.2:5060", "10.50.0.3", Transport::Udp)), Trust::Own);
    // TLS with a partner's certificate is protection of its own.
    let shown = names(&["icscf.partner.example"]);
    let proved = Peer { names: &shown, ..open(Transport::Tls) };
    assert_eq!(both(&domain(&["IV"]), &proved), Trust::Other);
    // An interface for TLS protects what comes over TLS.
    let tls_interface = |transport| over("192.0.2.3:5061", "198.51.100.7", transport);
    assert_eq!(both(&domain(&["IV"]), &tls_interface(Transport::Tls)), Trust::Other);
    assert_eq!(both(&domain(&["IV"]), &tls_interface(Transport::Tcp)), Trust::Untrusted);
}

#[test]
fn prv_12_reverse_dns_is_refused_by_name() {
    for word in ["reverse-dns", "Reverse DNS", "dns", "rDNS", "PTR"] {
        assert_eq!(Rule::parse(&[word]), Err(RuleError::ReverseDns), "{word}");
        assert_eq!(Rule::parse(&[format!("IV+{word}")]), Err(RuleError::ReverseDns), "{word}");
    }
    assert!(RuleError::ReverseDns.to_string().contains("use I (tls), II (ipsec) or IV (interfaces)"));
}

#[test]
fn prv_12_rules_are_read_and_printed() {
    let rule = Rule::parse(&["iv", " II + addresses", "TLS"]).unwrap();
    assert_eq!(rule.to_string(), "IV (interfaces), or II (ipsec) with V (addresses), or I (tls)");
    let written = serde_json::to_string(&rule).unwrap();
    assert_eq!(written, r#"["IV","II+V","I"]"#);
    assert_eq!(Rule::parse(&serde_json::from_str::<Vec<String>>(&written).unwrap()), Ok(rule));
    assert_eq!(Rule::parse::<&str>(&[]), Err(RuleError::Empty));
    for bad in ["", "VII", "I+", "I,II", "trust me"] {
        assert_eq!(Rule::parse(&[bad]), Err(RuleError::UnknownMethod), "{bad}");
    }
    assert_eq!(Rule::parse(&["I"; 33]), Err(RuleError::TooMany));
    for number in ["I", "II", "III", "IV", "V", "VI"] {
        let method: Method = number.parse().unwrap();
        assert_eq!((method.number(), method.word().parse()), (number, Ok(method)));
    }
    let mut written = serde_json::from_str::<Rule>(r#"["reverse-dns"]"#).unwrap_err().to_string();
    assert!(written.contains("whoever owns an address"), "{written}");
    for class in [Trust::Own, Trust::Other, Trust::Untrusted] {
        written = serde_json::to_string(&class).unwrap();
        assert_eq!(written, format!("\"{class}\""));
        assert_eq!(serde_json::from_str::<Trust>(&written).unwrap(), class);
    }
    for class in [Protection::Za, Protection::Zb, Protection::Tls, Protection::Physical, Protection::None] {
        written = serde_json::to_string(&class).unwrap();
        assert_eq!(written, format!("\"{class}\""));
        assert_eq!(serde_json::from_str::<Protection>(&written).unwrap(), class);
    }
}

const FORGED: &str = "INVITE sip:bob@home.example SIP/2.0\r\n\
    Via: SIP/2.0/TLS icscf.partner.example;branch=z9hG4bK1\r\n\
    From: <sip:alice@partner.example>;tag=1\r\nTo: <sip:bob@home.example>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\
    P-Asserted-Identity: <sip:alice@partner.example>\r\n\r\n";

#[test]
fn prv_13_a_name_in_via_or_from_gains_nothing() {
    let message = Message::parse(FORGED).unwrap();
    let domain = domain(&["IV", "I", "II+V"]);
    // All that is asked is the way it came, which has no place for what the message says.
    let peer = over(BORDER, "203.0.113.9", Transport::Udp);
    assert_eq!(domain.decide(Direction::Incoming, &peer), Trust::Untrusted);
    let mut draft = Draft::forward(&message);
    border::strip_incoming(&mut draft);
    let passed = draft.finish();
    assert_eq!(passed.first(Name::PAssertedIdentity), None);
    assert_eq!(passed.first(Name::From), message.first(Name::From));
}

#[test]
fn prv_14_a_response_is_judged_by_its_own_transport() {
    let domain = domain(&["I"]);
    let shown = names(&["icscf.partner.example"]);
    let request = Peer { names: &shown, ..over(BORDER_TLS, "203.0.113.9", Transport::Tls) };
    assert_eq!(domain.decide(Direction::Outgoing, &request), Trust::Other);
    // The answer comes, or would have to go, over UDP.
    let response = over(BORDER, "203.0.113.9", Transport::Udp);
    assert_eq!(both(&domain, &response), Trust::Untrusted);
    let with_name = Peer { names: &shown, ..response };
    assert_eq!(both(&domain, &with_name), Trust::Untrusted);
}

#[test]
fn prv_15_a_response_on_a_partners_own_connection_is_trusted() {
    let domain = domain(&["I"]);
    let shown = names(&["icscf.partner.example"]);
    // The partner opened it with a client certificate; requests come in and answers go out on it.
    let connection = Peer { names: &shown, ..over(BORDER_TLS, "203.0.113.9", Transport::Tls) };
    assert_eq!(domain.decide(Direction::Incoming, &connection), Trust::Other);
    assert_eq!(domain.decide(Direction::Outgoing, &connection), Trust::Other);
    // A client without certificate has a connection too.
    let stranger = Peer { names: &[], ..connection };
    assert_eq!(both(&domain, &stranger), Trust::Untrusted);
}

proptest! {
    #[test]
    fn prv_12_a_stranger_gains_nothing_from_any_transport_or_name(
        rule in proptest::sample::select(vec!["I", "II", "III", "IV", "V", "II+V", "I+IV"]),
        remote in any::<u32>(),
        transport in proptest::sample::select(vec![Transport::Udp, Transport::Tcp, Transport::Tls]),
        shown in proptest::collection::vec("[a-z*.]{0,24}", 0..4),
    ) {
        let domain = domain(&[rule]);
        let remote = std::net::Ipv4Addr::from_bits(remote);
        prop_assume!(remote.octets()[0] != 10 && remote.octets()[0] != 198);
        let shown: Vec<Box<str>> = shown.into_iter().map(Into::into).collect();
        let peer = Peer { names: &shown, remote: remote.into(), ..over(BORDER_TLS, "203.0.113.9", transport) };
        prop_assert_eq!(domain.decide(Direction::Incoming, &peer), Trust::Untrusted);
    }
}
