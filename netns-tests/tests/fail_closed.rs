//! What must never reach SIP, and the kernel counter that says why it did not (`spec/04` sections 6 and 7).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lab::{Lab, Options, plan};
use netns_tests::{Log, capture_esp, inject, register, send_udp, watch};
use sec_agree::{Associations, EspKeys, SaSet};
use ue::core::TransportChoice;
use xfrm::{Engine, Install, Lifetime, Protection, Statistics};

const MESSAGE: &[u8] = b"OPTIONS sip:pcscf SIP/2.0\r\nVia: SIP/2.0/UDP 10.20.0.1:7100;branch=z9hG4bKx\r\n\
    Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=x\r\nTo: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n\
    Content-Length: 0\r\n\r\n";

struct Attack {
    lab: Lab,
    log: Log,
    set: Associations,
    rand: aka::Rand,
    before: Statistics,
}

impl Attack {
    /// A registered UE, and the counters as they stand.
    fn prepare() -> Self {
        let log = watch();
        let options = Options { transport: TransportChoice::Udp, ..Options::default() };
        let mut lab = Lab::start(options).expect("a lab");
        let (registration, rand) = register(&mut lab, 0);
        let (_, before) = lab.kernel_errors().expect("the counters");
        Self { lab, log, set: registration.associations, rand, before }
    }

    fn keys(&self) -> EspKeys {
        let vector = self.lab.vector(0, self.rand);
        EspKeys::expand(self.set.algorithms, &vector.ck, &vector.ik)
    }

    fn send(&self, from: SocketAddr, to: SocketAddr) {
        send_udp(&self.lab.network().ue, from, to, MESSAGE).expect("send");
        std::thread::sleep(Duration::from_millis(100));
    }

    /// Sends from the UE's client port to the P-CSCF's server port over whatever state fits.
    fn send_protected(&self) {
        self.send(self.set.uc_to_ps.source, self.set.uc_to_ps.destination);
    }

    /// The UE ends, and the attacker has these states and the UE's policies in its place. Its sequence numbers start
    /// over: the first packets repeat numbers that the P-CSCF has seen, the later ones are fresh.
    fn take_the_ues_place(&mut self, forged: Associations, keys: EspKeys) {
        self.lab.stop_ues().expect("the UE ends");
        let (server, clients) = plan::ue_ports();
        let protection =
            Protection { local: "10.20.0.0".parse().expect("a prefix"), prefix: 16, server, clients };
        let install =
            Install { set: SaSet::new(forged, keys), lifetime: Lifetime::new(Duration::from_secs(60)) };
        let forge = move || {
            let mut engine = Engine::open()?;
            engine.protect(&protection)?;
            Ok(engine.install(&[install]).remove(0)?)
        };
        self.lab.network().ue.run(forge).expect("forge the states");
        self.set = forged;
    }

    /// Nothing has reached SIP, and this counter of the P-CSCF's kernel has risen.
    fn assert_dropped(self, counter: &str) {
        let (_, after) = self.lab.kernel_errors().expect("the counters");
        let grown = after.since(&self.before);
        let shown: Vec<_> = grown.errors().collect();
        assert!(grown.counter(counter) > 0, "{counter} has not risen: {shown:?}");
        let options: Vec<_> =
            self.log.received_by_p_cscf().into_iter().filter(|(label, _)| label == "OPTIONS").collect();
        assert!(options.is_empty(), "it reached SIP");
    }
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn sa_12_the_same_packets_do_reach_sip_when_nothing_is_wrong_with_them() {
    // Without this one, the tests below could pass because nothing ever arrives.
    let mut attack = Attack::prepare();
    attack.take_the_ues_place(attack.set, attack.keys());
    (0..4).for_each(|_| attack.send_protected());
    let received = attack.log.received_by_p_cscf();
    assert!(received.contains(&("OPTIONS".to_owned(), true)), "{received:?}");
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn sa_11_clear_text_to_a_protected_port() {
    let attack = Attack::prepare();
    // From a port that the UE's own policies let out in clear.
    let from = SocketAddr::new(attack.set.ue_address(), 9999);
    attack.send(from, attack.set.uc_to_ps.destination);
    attack.send(from, attack.set.us_to_pc.destination);
    attack.assert_dropped("XfrmInTmplMismatch");
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn sa_12_the_right_association_with_another_source_port() {
    let mut attack = Attack::prepare();
    let mut forged = attack.set;
    let port = if forged.uc_to_ps.source.port() == 7000 { 7001 } else { 7000 };
    forged.uc_to_ps.source.set_port(port);
    attack.take_the_ues_place(forged, attack.keys());
    (0..4).for_each(|_| attack.send_protected());
    attack.assert_dropped("XfrmInStateMismatch");
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn sa_12_the_right_association_with_another_source_address() {
    let mut attack = Attack::prepare();
    let mut forged = attack.set;
    let other: IpAddr = "10.20.0.77".parse().expect("an address of the UE prefix");
    forged.uc_to_ps.source.set_ip(other);
    attack.take_the_ues_place(forged, attack.keys());
    (0..4).for_each(|_| attack.send_protected());
    attack.assert_dropped("XfrmInStateMismatch");
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn sa_12_a_wrong_key() {
    let mut attack = Attack::prepare();
    let keys = EspKeys::placeholder(attack.set.algorithms);
    attack.take_the_ues_place(attack.set, keys);
    (0..4).for_each(|_| attack.send_protected());
    attack.assert_dropped("XfrmInStateProtoError");
}

/// A good packet as it crossed the wire. The P-CSCF has taken it; the log and the counters start over behind it.
fn captured() -> (Attack, Vec<u8>) {
    let mut attack = Attack::prepare();
    attack.take_the_ues_place(attack.set, attack.keys());
    (0..4).for_each(|_| attack.send_protected());
    let IpAddr::V4(p_cscf) = attack.set.p_cscf_address() else { panic!("this lab speaks IPv4") };
    let packet =
        capture_esp(&attack.lab.network().access, p_cscf, || attack.send_protected()).expect("capture");
    attack.log = watch();
    attack.before = attack.lab.kernel_errors().expect("the counters").1;
    (attack, packet)
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn sa_12_a_replayed_packet() {
    let (attack, packet) = captured();
    inject(&attack.lab.network().ue, &packet).expect("inject");
    attack.assert_dropped("XfrmInStateSeqError");
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn sa_12_an_unknown_spi() {
    let (attack, mut packet) = captured();
    // The SPI stands behind the IPv4 header.
    packet[20] ^= 0x40;
    inject(&attack.lab.network().ue, &packet).expect("inject");
    attack.assert_dropped("XfrmInNoStates");
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn sa_20_a_datagram_from_a_protected_port_never_leaves_in_clear() {
    let mut attack = Attack::prepare();
    attack.take_the_ues_place(attack.set, attack.keys());
    // Neighbour discovery may cross at any time; what counts is what this UE sends.
    let of_ue = |attack: &Attack| attack.lab.wire().remove(&attack.set.ue_address());
    let before = of_ue(&attack);
    // From the UE's server port to the P-CSCF's server port: no association fits.
    attack.send(attack.set.pc_to_us.destination, attack.set.uc_to_ps.destination);
    let (at_ue, _) = attack.lab.kernel_errors().expect("the counters");
    assert!(at_ue.counter("XfrmOutNoStates") > 0);
    assert_eq!(of_ue(&attack), before, "nothing has crossed");
}
