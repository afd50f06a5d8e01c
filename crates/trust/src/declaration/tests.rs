use super::*;
use crate::{Certificate, Interface};

fn interface(address: &str, protection: Protection, role: Trust) -> Interface {
    Interface { address: address.parse().unwrap(), protection, role }
}

fn domain() -> TrustDomain {
    TrustDomain {
        interfaces: vec![
            interface("10.30.0.2:5060", Protection::Zb, Trust::Own),
            interface("10.40.0.1:0", Protection::Za, Trust::Other),
            interface("192.0.2.1:5060", Protection::None, Trust::Untrusted),
        ],
        certificates: vec![Certificate { name: "icscf.partner.example".into(), class: Trust::Other }],
        ..TrustDomain::default()
    }
}

fn declared(domain: &TrustDomain, partners: &[(Box<str>, Trust)]) -> SpecT {
    SpecT::of(&Facts {
        operator: "home.example",
        domain,
        border: BorderPolicy::default(),
        partners,
        digest_algorithm: None,
        access: None,
    })
}

fn texts(spec: &SpecT, severity: Severity) -> Vec<&str> {
    spec.findings.iter().filter(|one| one.severity == severity).map(|one| one.text.as_str()).collect()
}

#[test]
fn prv_18_eight_points_each_with_its_method() {
    let domain = domain();
    let algorithms = ["hmac-sha-1-96/aes-cbc".to_owned()];
    let spec = SpecT::of(&Facts {
        operator: "home.example",
        domain: &domain,
        border: BorderPolicy { without_privacy: WithoutPrivacy::Send },
        partners: &[("partner.example".into(), Trust::Other)],
        digest_algorithm: Some("AKAv2-SHA-256"),
        access: Some(Access { algorithms: &algorithms, encryption: "required" }),
    });
    assert!(spec.stands() && spec.findings.is_empty());
    let text = spec.to_string();
    for line in [
        "SPEC(T) of home.example",
        "1. how users are authenticated: IMS AKA at the S-CSCF, digest AKAv2-SHA-256",
        "2. security between nodes: Zb, Za, none",
        "   - 10.30.0.2:5060: Zb towards nodes of this operator",
        "   - 10.40.0.1, all ports: Za towards other operators of the trust domain",
        "   - 192.0.2.1:5060: none towards networks outside the trust domain",
        "3. security between user agent and node: IPsec ESP between UE and P-CSCF, keys from IMS AKA, integrity always",
        "   - algorithms: hmac-sha-1-96/aes-cbc",
        "   - encryption: required",
        "4. how membership is known: incoming: IV (interfaces), or I (tls); outgoing: IV (interfaces), or I (tls)",
        "   - certificate icscf.partner.example: other",
        "   - network partner.example: other",
        "5. what holds without a Privacy header: no privacy is wanted; towards untrusted networks: send",
        "6. compliance with SIP: RFC 3261",
        "7. compliance with RFC 3325: P-Asserted-Identity by the P-CSCF, P-Preferred-Identity ends there",
        "8. how Privacy is handled: none, id, user, history and critical, by the last-hop P-CSCF and at the border",
    ] {
        assert!(text.lines().any(|written| written == line), "{line}\n---\n{text}");
    }
    let json = serde_json::to_value(&spec).unwrap();
    let points = json["points"].as_array().unwrap();
    assert_eq!(points.len(), 8);
    for (at, point) in points.iter().enumerate() {
        assert_eq!(point["number"], at + 1);
        assert!(
            !point["method"].as_str().unwrap().is_empty() && !point["details"].as_array().unwrap().is_empty()
        );
    }
}

#[test]
fn prv_18_the_declaration_follows_the_configuration() {
    let mut domain = domain();
    domain.incoming = Rule::parse(&["II+V"]).unwrap();
    domain.own_prefixes = vec!["10.0.0.0/8".parse().unwrap()];
    let spec = declared(&domain, &[]);
    let point = &spec.points[3];
    assert_eq!(
        point.method,
        "incoming: II (ipsec) with V (addresses); outgoing: IV (interfaces), or I (tls)"
    );
    assert!(point.details.contains(&"addresses 10.0.0.0/8: own".to_owned()));
    assert!(spec.points[4].method.ends_with("remove"), "the default");
    domain.dedicated = Some(Trust::Untrusted);
    let spec = declared(&domain, &[]);
    assert!(spec.points[3].method.starts_with("III (dedicated)") && spec.stands());
    assert_eq!(texts(&spec, Severity::Warning).len(), 1);
}

#[test]
fn prv_18_without_a_method_that_can_work_there_is_no_trust_domain() {
    let empty = TrustDomain::default();
    let spec = declared(&empty, &[]);
    assert!(!spec.stands());
    let faults = texts(&spec, Severity::Fault);
    assert_eq!(faults.len(), 2);
    assert!(faults[0].starts_with("incoming:") && faults[1].starts_with("outgoing:"));
    assert!(faults[0].contains("IV wants a [[trust.interface]] with role own or other"));
    // III has the routing table to go by, in one direction.
    let routed = TrustDomain { outgoing: Rule::parse(&["III"]).unwrap(), ..domain() };
    assert!(declared(&routed, &[("p.example".into(), Trust::Other)]).stands());
    assert!(!declared(&routed, &[("p.example".into(), Trust::Untrusted)]).stands());
    let reversed = TrustDomain { incoming: Rule::parse(&["III"]).unwrap(), ..domain() };
    assert!(!declared(&reversed, &[("p.example".into(), Trust::Other)]).stands());
}

#[test]
fn prv_18_what_cannot_do_what_it_says_is_found() {
    let mut domain = domain();
    domain.interfaces.push(interface("10.50.0.1:5060", Protection::None, Trust::Other));
    let spec = declared(&domain, &[]);
    assert!(
        texts(&spec, Severity::Fault)[0]
            .contains("10.50.0.1:5060 leads to other operators without protection")
    );
    domain.interfaces[3] = interface("10.50.0.1:5060", Protection::None, Trust::Own);
    let spec = declared(&domain, &[]);
    assert!(spec.stands() && texts(&spec, Severity::Warning)[0].contains("whoever reaches it is trusted"));
    domain.interfaces[3] = domain.interfaces[0];
    assert!(texts(&declared(&domain, &[]), Severity::Fault)[0].contains("is there twice"));
    domain.interfaces.pop();
    domain.certificates[0].name = "*.partner.example".into();
    assert!(texts(&declared(&domain, &[]), Severity::Fault)[0].contains("only whole names"));
    domain.certificates.clear();
    let spec = declared(&domain, &[]);
    assert_eq!(
        texts(&spec, Severity::Warning),
        ["incoming: I (tls) can vouch for nobody", "outgoing: I (tls) can vouch for nobody"]
    );
    domain.incoming = Rule::parse(&["VI"]).unwrap();
    assert!(texts(&declared(&domain, &[]), Severity::Fault)[0].contains("192.0.2.1:5060 leads outside"));
    domain.incoming = Rule::parse(&["IV"]).unwrap();
    domain.outgoing = Rule::parse(&["IV"]).unwrap();
    domain.other_prefixes = vec!["198.51.100.0/24".parse().unwrap()];
    assert_eq!(
        texts(&declared(&domain, &[]), Severity::Warning),
        ["ranges of addresses are named and no rule has V (addresses)"]
    );
}
