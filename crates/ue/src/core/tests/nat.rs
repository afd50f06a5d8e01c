//! Behind a NAT (TS 33.203 Annex M).

use sec_agree::{Encapsulation, Mode, SecAgreeError, Side};

use super::*;

const PUBLIC: &str = "192.0.2.7";

fn behind_nat() -> Config {
    Config { nat_traversal: true, ..config() }
}

/// What the P-CSCF saw: this answer with the stamp of a server in its Via.
fn seen_from(address: &str, response: Message) -> Message {
    let text = String::from_utf8(response.bytes().to_vec()).unwrap();
    let stamped = text.replacen(";rport", &format!(";rport=40000;received={address}"), 1);
    assert_ne!(stamped, text);
    Message::parse(stamped.into_bytes()).unwrap()
}

fn challenge_of(policy: Policy, request: &Message, number: u8) -> Message {
    let setup = Setup {
        spi_c: Spi::new(0x1000 + 2 * u32::from(number)).unwrap(),
        spi_s: Spi::new(0x1001 + 2 * u32::from(number)).unwrap(),
        port_c: Port::new(6000 + u16::from(number)).unwrap(),
        port_s: Port::new(6100).unwrap(),
    };
    let server = SecurityServer::answer(&policy, setup).unwrap().to_string();
    challenge(request, digest(&nonce_number(number), DigestAlgorithm::AkaV1Md5.as_str()), Some(server))
}

fn tunnelling(request: &Message, number: u8) -> Message {
    challenge_of(Policy::default().with_nat_traversal(), request, number)
}

fn sent_by(message: &Message) -> String {
    let via = message.top_via().unwrap();
    format!("{}:{}", via.host, via.port.unwrap())
}

#[test]
fn nat_a_ue_behind_a_nat_registers_and_re_registers_in_a_tunnel_with_its_public_address() {
    let mut bench = Bench::new(behind_nat());
    let (flow, sm1) = bench.register();
    let offer = SecurityClient::parse(sm1.values(Name::SecurityClient)).unwrap();
    assert_eq!(offer.algorithms_in(Mode::UdpEncTun), config().algorithms);
    assert_eq!(offer.algorithms(), config().algorithms, "transport mode as well: a NAT is not known yet");
    assert_eq!(sent_by(&sm1), "10.9.0.2:5060");

    let outcome = bench.receive(flow, seen_from(PUBLIC, tunnelling(&sm1, 0)));
    let (set, sas) = &outcome.installs[0];
    let first = sas.associations;
    let own = config().address;
    let outer = Encapsulation::new(Side::Ue, own, config().p_cscf.ip());
    assert_eq!((first.ue_address().to_string(), first.encapsulation), (PUBLIC.to_owned(), Some(outer)));
    let outcome = bench.give(Input::SasInstalled { set: *set });
    let (flow, sm7) = outcome.only();
    assert_eq!(flow, towards_p_cscf(&first));
    assert_eq!(sent_by(sm7), "192.0.2.7:7100");
    assert!(sm7.first(Name::Contact).unwrap().contains("@192.0.2.7:7100"));
    let outcome = bench.receive(towards_ue(&first), ok(sm7));
    assert!(matches!(outcome.steps.as_slice(), [Step::Registered(_)]), "{:?}", outcome.steps);

    // Inside the tunnel no NAT is seen; the next set goes around it all the same.
    let (flow, sm1) = bench.register();
    assert_eq!((flow, sent_by(&sm1)), (towards_p_cscf(&first), "192.0.2.7:7100".to_owned()));
    let outcome = bench.receive(towards_ue(&first), tunnelling(&sm1, 1));
    let second = outcome.installs[0].1.associations;
    assert_eq!((second.ue_address(), second.encapsulation), (first.ue_address(), Some(outer)));
}

#[test]
fn nat_without_a_nat_the_same_ue_takes_transport_mode() {
    for seen in [Some("10.9.0.2"), None] {
        let outcome = Bench::answered(behind_nat(), |request| {
            let response = tunnelling(request, 0);
            seen.map_or(response.clone(), |seen| seen_from(seen, response))
        });
        let set = outcome.installs[0].1.associations;
        assert_eq!((set.mode(), set.ue_address()), (Mode::Trans, config().address));
    }
}

#[test]
fn nat_a_ue_gives_up_where_either_side_does_not_offer_udp_enc_tun() {
    let seen = PUBLIC.parse().unwrap();
    let fails = |config: Config, policy: Policy, seen: &str| {
        let outcome =
            Bench::answered(config, |request| seen_from(seen, challenge_of(policy.clone(), request, 0)));
        assert!(outcome.installs.is_empty() && outcome.sent.is_empty(), "{:?}", outcome.sent);
        outcome.failure().clone()
    };
    let both = || Policy::default().with_nat_traversal();
    let cause = SecAgreeError::NoUdpEncTun;
    let failure = fails(behind_nat(), Policy::default(), PUBLIC);
    assert_eq!(failure, Failure::BehindNat { seen, cause });
    assert_eq!(
        failure.to_string(),
        "the P-CSCF sees us as 192.0.2.7: a NAT is on the way, and UDP-enc-tun is not offered"
    );
    let cause = SecAgreeError::UdpEncTunNotAllowed;
    assert_eq!(fails(config(), both(), PUBLIC), Failure::BehindNat { seen, cause });
    // The parameter is not signed: what cannot be a NAT's address does not become this host's.
    for nonsense in ["127.0.0.1", "224.0.0.1", "0.0.0.0", "255.255.255.255", "10.9.0.1", "2001:db8::1"] {
        let seen: IpAddr = nonsense.parse().unwrap();
        let failure = fails(behind_nat(), both(), nonsense);
        let refused = matches!(failure, Failure::BehindNat { seen: found, .. } if found == seen);
        assert!(refused, "{nonsense}: {failure}");
    }
}
