//! Sets in UDP-enc-tun through the engine alone: what the kernel makes of a tunnel inside UDP whose outer port is not
//! the one it was told.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use lab::plan::{self, Family};
use lab::{Namespace, Network};
use sec_agree::{Algorithms, Associations, Encapsulation, End, EspKeys, Role, SaSet, Setup, Side, Spi};
use xfrm::{EncapSocket, Engine, Extend, Install, KernelEvent, Lifetime, Monitor, Protection, Statistics};

/// One end: its engine, its socket for ESP inside UDP, its SIP sockets.
struct Party {
    namespace: Namespace,
    engine: Engine,
    set: Associations,
    client: UdpSocket,
    server: UdpSocket,
    _encap: EncapSocket,
}

const LIFE: Duration = Duration::from_secs(240);

impl Party {
    fn new(namespace: &Namespace, protection: Protection, set: Associations, side: Side) -> Self {
        let keys = EspKeys::placeholder(set.algorithms);
        let (client, server, encap) = match side {
            Side::Ue => (set.uc_to_ps.source, set.pc_to_us.destination, set.outer(Role::UcToPs).unwrap().0),
            Side::PCscf => {
                (set.pc_to_us.source, set.uc_to_ps.destination, set.outer(Role::PcToUs).unwrap().0)
            }
        };
        let open = || {
            let mut engine = Engine::open()?;
            engine.protect(&protection)?;
            let install = Install { set: SaSet::new(set, keys), lifetime: Lifetime::new(LIFE) };
            engine.install(&[install]).remove(0)?;
            let bind = |local| -> anyhow::Result<UdpSocket> {
                let socket = UdpSocket::bind(local)?;
                socket.set_read_timeout(Some(Duration::from_secs(2)))?;
                Ok(socket)
            };
            Ok((engine, bind(client)?, bind(server)?, EncapSocket::bind(encap)?))
        };
        let (engine, client, server, encap) = namespace.run(open).expect("one end");
        Self { namespace: namespace.clone(), engine, set, client, server, _encap: encap }
    }

    fn errors(&self) -> Vec<String> {
        let statistics = self.namespace.run(|| Ok(Statistics::read()?)).expect("the counters");
        statistics.errors().map(|(name, count)| format!("{name}={count}")).collect()
    }
}

fn received(socket: &UdpSocket) -> Option<(Vec<u8>, SocketAddr)> {
    let mut buffer = [0; 2048];
    let (length, from) = socket.recv_from(&mut buffer).ok()?;
    Some((buffer[..length].to_vec(), from))
}

fn setup((server, clients): (sec_agree::Port, sec_agree::ClientPorts), spi: u32) -> Setup {
    let port_c = clients.iter().next().unwrap();
    Setup { spi_c: Spi::new(spi).unwrap(), spi_s: Spi::new(spi + 1).unwrap(), port_c, port_s: server }
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn nat_a_tunnel_inside_udp_follows_the_port_the_nat_gave_it() {
    let network = Network::new().expect("namespaces");
    let (ue_address, p_cscf_address) = (plan::ue_address(Family::V4, 0), plan::p_cscf(Family::V4).ip());
    let ue = End { address: ue_address, setup: setup(plan::ue_ports(), 0x1000) };
    let p_cscf = End { address: p_cscf_address, setup: setup(plan::p_cscf_ports(), 0x2000) };
    let set = Associations::new(&ue, &p_cscf, Algorithms::ALL[1]).unwrap();
    // The UE's host sends from a port that the P-CSCF does not expect, as behind a NAT.
    let outer = "10.10.0.2".parse().unwrap();
    let seen = |side| set.encapsulated(Encapsulation::new(side, outer, p_cscf_address)).unwrap();
    let (server, clients) = plan::ue_ports();
    let protection = Protection::of_address(ue_address, server, clients);
    let mut ue = Party::new(&network.ue, protection, seen(Side::Ue).with_nat_port(31_000), Side::Ue);
    let (server, clients) = plan::p_cscf_ports();
    let protection = Protection::of_address(p_cscf_address, server, clients);
    let mut p_cscf = Party::new(&network.access, protection, seen(Side::PCscf), Side::PCscf);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let monitor = || {
        let _inside = runtime.enter();
        Ok(Monitor::open()?)
    };
    let mut monitor = network.access.run(monitor).expect("a monitor");

    ue.client.send_to(b"request", set.uc_to_ps.destination).expect("send");
    assert_eq!(received(&p_cscf.server), Some((b"request".to_vec(), set.uc_to_ps.source)));
    // Until it is told the NAT's port the P-CSCF's kernel sends to 4500, where nobody is.
    p_cscf.client.send_to(b"lost", set.pc_to_us.destination).expect("send");
    assert_eq!(received(&ue.server), None);
    let destination = p_cscf_address;
    let outer = |port| SocketAddr::new(outer, port);
    let (before, now) = (outer(4500), outer(31_000));
    let told = KernelEvent::Mapped { spi: set.uc_to_ps.spi.get(), destination, before, now };
    assert_eq!(monitor.try_next(), Ok(Some(told)));
    let learned = p_cscf.set.with_nat_port(now.port());
    let extend = Extend { associations: learned, age: Duration::ZERO, lifetime: LIFE };
    p_cscf.engine.extend(&[extend]).remove(0).expect("the port is taken");
    p_cscf.client.send_to(b"answer", set.pc_to_us.destination).expect("send");
    assert_eq!(received(&ue.server), Some((b"answer".to_vec(), set.pc_to_us.source)));
    // Larger than a packet: the tunnel cuts it, the other side joins it.
    let large = vec![b'x'; 1900];
    p_cscf.client.send_to(&large, set.pc_to_us.destination).expect("send");
    assert_eq!(received(&ue.server), Some((large.clone(), set.pc_to_us.source)));
    ue.client.send_to(&large, set.uc_to_ps.destination).expect("send");
    assert_eq!(received(&p_cscf.server), Some((large, set.uc_to_ps.source)));
    assert_eq!(monitor.try_next(), Ok(None), "what the kernel knows it does not tell again");

    p_cscf.set = learned;
    for party in [&mut ue, &mut p_cscf] {
        let states = party.engine.states().expect("the states");
        assert_eq!(states.len(), 4);
        let expected = party.set;
        for sa in expected.iter() {
            let state = states.iter().find(|state| state.spi == sa.spi.get()).expect("a state with that SPI");
            assert_eq!((state.source, state.destination), (sa.source, sa.destination));
            assert_eq!(state.outer, expected.outer(sa.role), "{}", sa.role);
        }
        assert_eq!(party.errors(), Vec::<String>::new());
    }

    // Gone is gone, and then nothing passes in clear.
    ue.engine.remove(&[ue.set]).remove(0).expect("removed");
    assert!(ue.engine.states().expect("the states").is_empty());
    assert_eq!(ue.engine.remove(&[ue.set]).remove(0), Ok(()), "what is gone is gone");
    let _ = ue.client.send_to(b"clear", set.uc_to_ps.destination);
    assert_eq!(received(&p_cscf.server), None);
    assert_eq!(ue.errors(), ["XfrmOutNoStates=1"]);

    // As the next run finds them, after a kill: with the states go the policies, which would stand in the way of the
    // same UE without its NAT.
    let states = p_cscf.engine.states().expect("the states");
    p_cscf.engine.remove_states(&states.iter().collect::<Vec<_>>()).expect("removed");
    for party in [&mut ue, &mut p_cscf] {
        assert!(party.engine.states().expect("the states").is_empty());
        let plain = SaSet::new(set, EspKeys::placeholder(set.algorithms));
        let install = Install { set: plain, lifetime: Lifetime::new(LIFE) };
        party.engine.install(&[install]).remove(0).expect("a set in transport mode");
    }
    ue.client.send_to(b"plain", set.uc_to_ps.destination).expect("send");
    assert_eq!(received(&p_cscf.server), Some((b"plain".to_vec(), set.uc_to_ps.source)));
    p_cscf.client.send_to(b"answer", set.pc_to_us.destination).expect("send");
    assert_eq!(received(&ue.server), Some((b"answer".to_vec(), set.pc_to_us.source)));
    assert_eq!(p_cscf.errors(), Vec::<String>::new());
}
