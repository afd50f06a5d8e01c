//! What phones in the field send, by the public threads of `spec/09` section 9: one message a thread.

use std::net::IpAddr;

use super::*;

const UE: &str = "10.9.0.2";

impl Bench {
    /// SM1 with this in the place of that.
    fn odd_sm1(&mut self, changes: &[(&str, &str)]) -> Message {
        let mut text = String::from_utf8(self.sm1(1).bytes().to_vec()).unwrap();
        for (from, to) in changes {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        Message::parse(text.into_bytes()).unwrap()
    }

    /// Up to the set that the challenge to this makes.
    fn set_of(&mut self, flow: Flow, sm1: Message) -> SaSet {
        let sent = self.receive(flow, sm1);
        let mut outcome = self.receive(from_core(), answer(sent.only().1, 401, KEYS, ""));
        assert_eq!(outcome.installs.len(), 1);
        outcome.installs.remove(0).1
    }
}

fn forwarded(outcome: &Outcome) -> &Message {
    let (flow, message) = outcome.only();
    assert_eq!(flow.local, "10.8.0.1:5060".parse().unwrap());
    message
}

/// herlesupreeth/kamailio 8: a line break within Authorization took nc away.
#[test]
fn sip_15_a_folded_authorization_keeps_its_parameters() {
    let mut bench = Bench::new();
    let sm1 =
        bench.odd_sm1(&[(r#"nonce="", response="""#, "nonce=\"\",\r\n nc=00000001,\r\n\tresponse=\"\"")]);
    let outcome = bench.receive(clear(), sm1);
    let credentials = forwarded(&outcome).authorization().unwrap().unwrap();
    assert_eq!((&*credentials.nonce, &*credentials.realm), ("", "ims.example"));
    assert!(forwarded(&outcome).first(Name::Authorization).unwrap().contains("nc=00000001"));
}

/// docker_open5gs 213, phhusson/ims: qop with nc and cnonce, and qop alone, go on as they are.
#[test]
fn sip_15_qop_with_and_without_a_count_is_the_s_cscfs_affair() {
    for extra in [r#", qop=auth, nc=00000001, cnonce="x""#, ", qop=auth"] {
        let mut bench = Bench::new();
        let sm1 = bench.odd_sm1(&[(r#"response="""#, &format!(r#"response=""{extra}"#))]);
        let outcome = bench.receive(clear(), sm1);
        assert!(
            forwarded(&outcome).first(Name::Authorization).unwrap().contains(extra.trim_start_matches(", "))
        );
    }
}

/// open5gs 491: a phone that finds ck or ik in the 401 does not answer.
#[test]
fn sip_15_the_challenge_is_without_keys() {
    let mut bench = Bench::new();
    let sm1 = bench.sm1(1);
    let sent = bench.receive(clear(), sm1);
    let outcome = bench.receive(from_core(), answer(sent.only().1, 401, KEYS, ""));
    let challenge = bench.give(Input::SasInstalled { set: outcome.installs[0].0 });
    let line = challenge.only().1.first(Name::WwwAuthenticate).unwrap();
    assert!(line.contains("nonce=") && !line.contains("ik=") && !line.contains("ck="), "{line}");
}

/// docker_open5gs pull request 458, open5gs 564: what Samsung and others offer.
#[test]
fn sip_15_known_offers_are_agreed_on() {
    let offer = offer(1);
    let line = |alg: &str, ealg: &str, ports: &str| {
        format!("ipsec-3gpp;prot=esp;mod=trans;spi-c=12345;spi-s=67890;{ports};alg={alg};ealg={ealg}")
    };
    for (algorithms, ports, server) in [
        (vec!["hmac-md5-96", "hmac-sha-1-96"], "port-c=8001;port-s=8000", 8000),
        (vec!["hmac-sha-1-96", "hmac-md5-96"], "port-c=5100;port-s=6101", 6101),
    ] {
        let lines = algorithms
            .iter()
            .flat_map(|alg| ["des-ede3-cbc", "aes-cbc", "null"].map(|ealg| line(alg, ealg, ports)));
        let offered = lines.collect::<Vec<_>>().join(", ");
        let mut bench = Bench::new();
        let sm1 = bench.odd_sm1(&[(offer.as_str(), offered.as_str())]);
        let set = bench.set_of(clear(), sm1);
        assert_eq!(set.associations.pc_to_us.destination.port(), server);
        let challenge = bench.pcscf.sets();
        assert_eq!(challenge, 1);
    }
}

/// osmo-ttcn3-hacks (Asterisk): no ealg at all, one algorithm, feature tags in Contact, no P-Access-Network-Info.
#[test]
fn sip_15_a_bare_offer_and_feature_tags_pass() {
    let offer = offer(1);
    let bare = "ipsec-3gpp;alg=hmac-sha-1-96;spi-c=4142;spi-s=4143;port-c=7001;port-s=7100";
    let tags = "<sip:alice@10.9.0.2:7100>;+g.3gpp.smsip;+sip.instance=\"<urn:gsma:imei:35-2099001-7>\"";
    let mut bench = Bench::new();
    let sm1 = bench.odd_sm1(&[
        (offer.as_str(), bare),
        ("Contact: <sip:alice@10.9.0.2:7100>", &format!("Contact: {tags}")),
    ]);
    let outcome = bench.receive(clear(), sm1);
    assert_eq!(forwarded(&outcome).first(Name::Contact), Some(tags));
}

/// Kamailio_IMS_Config 35: associations were made of an empty Contact.
#[test]
fn sip_15_associations_are_made_for_the_address_that_sends() {
    for contact in ["<sip:alice@0.0.0.0:7100>", "<sip:alice@192.0.2.99:7100>"] {
        let mut bench = Bench::new();
        let sm1 = bench.odd_sm1(&[("<sip:alice@10.9.0.2:7100>", contact)]);
        let set = bench.set_of(clear(), sm1);
        assert_eq!(set.associations.pc_to_us.destination.ip(), UE.parse::<IpAddr>().unwrap());
    }
}

/// docker_open5gs 172: without an offer there is nothing to agree on, and the phone learns what is missing.
#[test]
fn sip_15_a_missing_security_client_is_told() {
    let offer = format!("Security-Client: {}\r\n", offer(1));
    let mut bench = Bench::new();
    let sm1 = bench.odd_sm1(&[(offer.as_str(), "")]);
    let outcome = bench.receive(clear(), sm1);
    let (flow, refused) = outcome.only();
    assert_eq!(flow.remote, clear().remote);
    assert!(refused.status().is_some_and(|status| (400..500).contains(&status)), "{refused:?}");
}

/// kamailio pull request 4932: an initial REGISTER need not come from 5060.
#[test]
fn sip_15_an_initial_register_may_come_from_any_port() {
    let mut bench = Bench::new();
    let flow = Flow { remote: "10.9.0.2:50312".parse().unwrap(), ..clear() };
    let sm1 = bench.odd_sm1(&[("10.9.0.2:5060;branch", "10.9.0.2:50312;rport;branch")]);
    bench.set_of(flow, sm1);
}

/// siphon pull request 46: a REGISTER with a preloaded Route to the P-CSCF looped.
#[test]
fn sip_15_a_preloaded_route_is_consumed() {
    let mut bench = Bench::new();
    let sm1 = bench.odd_sm1(&[("Max-Forwards: 70", "Max-Forwards: 70\r\nRoute: <sip:10.9.0.1:5060;lr>")]);
    let outcome = bench.receive(clear(), sm1);
    assert_eq!(forwarded(&outcome).first(Name::Route), None);
}

/// boghe 227: the phone itself says integrity-protected, and its realm is no domain.
#[test]
fn sip_15_what_a_phone_says_of_its_protection_does_not_count() {
    let mut bench = Bench::new();
    let sm1 = bench.odd_sm1(&[(r#"response="""#, r#"response="", integrity-protected="yes""#)]);
    let outcome = bench.receive(clear(), sm1);
    let line = forwarded(&outcome).first(Name::Authorization).unwrap();
    assert!(!line.contains("\"yes\"") && !line.contains("=yes"), "{line}");
}
