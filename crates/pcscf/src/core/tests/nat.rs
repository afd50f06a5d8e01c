//! UEs behind a NAT (TS 33.203 Annex M).

use sec_agree::{Encapsulation, Mode, SecAgreeError, SecurityServer, Side};

use super::*;

const PUBLIC: &str = "192.0.2.7";
const NO_ANSWER: &str = r#"nonce="", response="""#;

fn allowing() -> Bench {
    let now = Instant::from_epoch(Duration::from_secs(1));
    let config = Config { policy: Policy::default().with_nat_traversal(), ..config() };
    Bench { pcscf: PCscf::new(config, [7; 32]), now, cseq: 0, events: Vec::new() }
}

/// Both modes for each pair.
fn both_modes(n: u32) -> String {
    let tunnel = offer(n).replace(";spi-c", ";mod=UDP-enc-tun;spi-c");
    format!("{}, {tunnel}", offer(n))
}

/// As SM1 arrives through a NAT: from an address and port that it does not know.
fn through_nat() -> Flow {
    Flow::udp("10.9.0.1:5060".parse().unwrap(), format!("{PUBLIC}:40000").parse().unwrap())
}

impl Bench {
    fn sm1_through_nat(&mut self, offer: &str) -> Outcome {
        let request = self.register("10.9.0.2:5060;rport", NO_ANSWER, &[("Security-Client", offer)]);
        self.receive(through_nat(), request)
    }

    fn refused(&mut self, offer: &str) -> (u16, String) {
        let outcome = self.sm1_through_nat(offer);
        let (flow, response) = outcome.only();
        assert_eq!(flow.remote, through_nat().remote, "back to where the request came from");
        (response.status().unwrap(), response.reason().unwrap().to_owned())
    }

    /// SM1 to SM6 through the NAT.
    fn challenged_through_nat(&mut self, offer: &str) -> (Associations, SecurityServer) {
        let forwarded = self.sm1_through_nat(offer);
        let outcome = self.receive(from_core(), answer(forwarded.only().1, 401, KEYS, ""));
        let [(set, sas, _)] = outcome.installs.as_slice() else { panic!("one set") };
        let outcome = self.give(Input::SasInstalled { set: *set });
        let (flow, challenge) = outcome.only();
        assert_eq!(flow.remote, through_nat().remote);
        assert_eq!(challenge.top_via().unwrap().received(), Some(PUBLIC.parse().unwrap()));
        let server = SecurityServer::parse(challenge.values(Name::SecurityServer)).unwrap();
        (sas.associations, server)
    }
}

#[test]
fn nat_a_set_through_a_nat_is_a_tunnel_to_the_address_seen() {
    let mut bench = allowing();
    let (set, server) = bench.challenged_through_nat(&both_modes(0));
    let public = PUBLIC.parse().unwrap();
    let outer = Encapsulation::new(Side::PCscf, public, "10.9.0.1".parse().unwrap());
    assert_eq!((set.ue_address(), set.encapsulation), (public, Some(outer)));
    // The UE takes the same pair of the list.
    assert_eq!(server.choose_in(Mode::UdpEncTun, Policy::default().algorithms()), Ok(set.algorithms));

    // SM7 comes over it with the public address, and SM12 leaves over it.
    let (list, offer) = (server.to_string(), both_modes(0));
    let headers = [("Security-Client", offer.as_str()), ("Security-Verify", list.as_str())];
    let sm7 = bench.register("192.0.2.7:7100", r#"nonce="n", response="0123""#, &headers);
    let forwarded = bench.receive(over(&set), sm7);
    let ok = answer(forwarded.only().1, 200, "", "Contact: <sip:alice@10.9.0.2:7100>;expires=600000\r\n");
    let outcome = bench.receive(from_core(), ok);
    let sa = set.pc_to_us;
    assert_eq!(outcome.to("192.0.2.7:7100")[0].status(), Some(200));
    assert!(outcome.sent.iter().any(|(flow, _)| *flow == Flow::udp(sa.source, sa.destination)));

    // Inside the tunnel no NAT is seen; the next set is a tunnel all the same.
    let offer = both_modes(1);
    let headers = [("Security-Client", offer.as_str()), ("Security-Verify", list.as_str())];
    let again = bench.register("192.0.2.7:7100", r#"nonce="n", response="0123""#, &headers);
    let forwarded = bench.receive(over(&set), again);
    let outcome = bench.receive(from_core(), answer(forwarded.only().1, 401, KEYS, ""));
    let [(_, sas, _)] = outcome.installs.as_slice() else { panic!("one set, not {:?}", outcome.sent) };
    assert_eq!(sas.associations.encapsulation, Some(outer));
    assert_ne!(sas.associations.uc_to_ps.spi, set.uc_to_ps.spi);
}

#[test]
fn nat_without_a_nat_both_sides_keep_to_transport_mode() {
    let mut bench = allowing();
    let offer = both_modes(0);
    let request = bench.register("10.9.0.2:5060", NO_ANSWER, &[("Security-Client", &offer)]);
    let forwarded = bench.receive(clear(), request);
    let outcome = bench.receive(from_core(), answer(forwarded.only().1, 401, KEYS, ""));
    assert_eq!(outcome.installs[0].1.associations.encapsulation, None);
}

#[test]
fn nat_a_ue_that_cannot_be_served_behind_its_nat_is_told_so() {
    let plain = offer(0);
    let told = |mut bench: Bench, offer: &str, cause| {
        let told = bench.refused(offer);
        let [Event::Refused { refusal, .. }] = bench.events.as_slice() else { panic!("{:?}", bench.events) };
        assert_eq!(*refusal, Refusal::BehindNat(cause));
        assert_eq!(bench.pcscf.sets(), 0);
        told
    };
    let not_offered = (403, "UE Behind NAT Offers No UDP-enc-tun".to_owned());
    assert_eq!(told(Bench::new(), &plain, SecAgreeError::NoUdpEncTun), not_offered);
    assert_eq!(told(allowing(), &plain, SecAgreeError::NoUdpEncTun), not_offered);
    let not_allowed = (403, "NAT Traversal Not Allowed".to_owned());
    assert_eq!(told(Bench::new(), &both_modes(0), SecAgreeError::UdpEncTunNotAllowed), not_allowed);
}

/// Two phones at home: one address, and each its own ports, or the second is refused.
#[test]
fn nat_two_ues_behind_one_nat_do_not_share_a_port() {
    let mut bench = allowing();
    bench.challenged_through_nat(&both_modes(0));
    let mut other = |offer: String| {
        let request = bench.register("10.9.0.3:5060;rport", NO_ANSWER, &[("Security-Client", &offer)]);
        let text = String::from_utf8(request.bytes().to_vec()).unwrap().replace(IMPI, "2@ims.example");
        let outcome = bench.receive(through_nat(), Message::parse(text.into_bytes()).unwrap());
        outcome.only().1.status()
    };
    assert_eq!(other(both_modes(0)), Some(403), "the same client port");
    assert_eq!(other(both_modes(1)), Some(403), "the same server port");
    assert_eq!(other(both_modes(2).replace("port-s=7100", "port-s=7200")), None, "forwarded");
}

#[test]
fn nat_its_port_is_learned_followed_and_passed_on_to_the_next_set() {
    let mut bench = allowing();
    let (set, server) = bench.challenged_through_nat(&both_modes(0));
    let told = |spi: Spi, outer: &str| {
        let destination = "10.9.0.1".parse().unwrap();
        Input::Kernel(KernelTold::Mapped { destination, spi: spi.get(), outer: outer.parse().unwrap() })
    };
    let learned = bench.give(told(set.uc_to_ps.spi, "192.0.2.7:31000"));
    let [(moved, lifetime)] = learned.extended.as_slice() else { panic!("one set") };
    assert_eq!(*moved, set.with_nat_port(31_000));
    assert_eq!(*lifetime, Duration::from_secs(300), "the end of the set does not move");
    // What the kernel told before it was told the port itself.
    assert!(bench.give(told(set.us_to_pc.spi, "192.0.2.7:31000")).extended.is_empty());

    let (list, first) = (server.to_string(), both_modes(0));
    let headers = [("Security-Client", first.as_str()), ("Security-Verify", list.as_str())];
    let sm7 = bench.register("192.0.2.7:7100", r#"nonce="n", response="0123""#, &headers);
    let forwarded = bench.receive(over(&set), sm7);
    let ok = answer(forwarded.only().1, 200, "", "Contact: <sip:alice@10.9.0.2:7100>;expires=600000\r\n");
    let registered = bench.receive(from_core(), ok);
    assert_eq!(registered.extended[0].0, set.with_nat_port(31_000));

    let second = both_modes(1);
    let headers = [("Security-Client", second.as_str()), ("Security-Verify", list.as_str())];
    let again = bench.register("192.0.2.7:7100", r#"nonce="old", response="0123""#, &headers);
    let forwarded = bench.receive(over(&set), again);
    let outcome = bench.receive(from_core(), answer(forwarded.only().1, 401, KEYS, ""));
    let next = outcome.installs[0].1.associations;
    assert_eq!(next.encapsulation, moved.encapsulation, "the best guess is the port of the set before");
    // The NAT forgets: all sets of the UE go through the new mapping.
    let moved = bench.give(told(set.uc_to_ps.spi, "192.0.2.7:32000")).extended;
    let mut ports: Vec<_> = moved.iter().map(|(set, _)| set.encapsulation.unwrap().ue.port()).collect();
    ports.dedup();
    assert_eq!((moved.len(), ports), (2, vec![32_000]));

    // Another address is another path: the kernel's states cannot follow, and an operator hears of it.
    bench.events.clear();
    let outer: SocketAddr = "192.0.2.8:32000".parse().unwrap();
    assert!(bench.give(told(set.uc_to_ps.spi, "192.0.2.8:32000")).extended.is_empty());
    let [Event::SetFate { fate, .. }] = bench.events.as_slice() else { panic!("{:?}", bench.events) };
    assert_eq!(*fate, Fate::Elsewhere { outer });
    // And what no set of ours has is none of our business.
    assert!(bench.give(told(set.ps_to_uc.spi, "192.0.2.7:1")).extended.is_empty());
}
