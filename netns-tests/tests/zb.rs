//! ESP with manual keys between two hosts of the network (`[[zb]]`), on the real kernel.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use lab::{Namespace, links};
use netns_tests::Process;
use nix::sys::socket::{
    AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;
use sec_agree::{Algorithms, Associations, ClientPorts, End, EspKeys, Port, SaSet, Setup, Spi};
use xfrm::{
    Engine, Install, KernelState, Lifetime, Protection, Statistics, ZbError, ZbFile, ZbInterfaces, ZbMode,
    ZbProtocol,
};

const LONG: Duration = Duration::from_secs(10);
/// What does not arrive within this time on an idle link has been dropped; the counters say where.
const SHORT: Duration = Duration::from_millis(500);
const V4: (&str, &str) = ("10.33.0.1", "10.33.0.2");
const V6: (&str, &str) = ("fd33::1", "fd33::2");
const KEYS: &str = "\
4097 000102030405060708090a0b0c0d0e0f10111213 202122232425262728292a2b2c2d2e2f
4098 303132333435363738393a3b3c3d3e3f40414243 505152535455565758595a5b5c5d5e5f
";

/// Two hosts on one link.
struct Hosts {
    one: Namespace,
    other: Namespace,
    folder: tempfile::TempDir,
}

impl Hosts {
    fn new() -> Self {
        let (one, other) = (Namespace::new("one").unwrap(), Namespace::new("other").unwrap());
        links::join((&one, "zb-one"), (&other, "zb-other")).unwrap();
        let prefixes = |v4: &str, v6: &str| [(address(v4), 24), (address(v6), 64)];
        links::address(&one, "zb-one", &prefixes(V4.0, V6.0)).unwrap();
        links::address(&other, "zb-other", &prefixes(V4.1, V6.1)).unwrap();
        Self { one, other, folder: tempfile::tempdir().unwrap() }
    }

    fn key_file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// The sections of both ends.
    fn sections(&self, (one, other): (&str, &str), mode: ZbMode) -> (ZbFile, ZbFile) {
        let section = ZbFile {
            local: address(one),
            peer: address(other),
            spi_in: 4097,
            spi_out: 4098,
            algorithm: "hmac-sha-1-96/aes-cbc".into(),
            key_file: self.key_file("keys", KEYS),
            mode,
            protocol: None,
            port: None,
        };
        let far = ZbFile {
            local: section.peer,
            peer: section.local,
            spi_in: 4098,
            spi_out: 4097,
            ..section.clone()
        };
        (section, far)
    }

    fn states(&self) -> [Vec<KernelState>; 2] {
        [&self.one, &self.other].map(|host| host.run(|| Ok(Engine::open()?.zb_states()?)).unwrap())
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn secure(host: &Namespace, section: &ZbFile) -> Result<ZbInterfaces> {
    let pairs = ZbFile::load_all(std::slice::from_ref(section))?;
    host.run(|| Ok(ZbInterfaces::secure(pairs)?))
}

fn counters(host: &Namespace) -> Statistics {
    host.run(|| Ok(Statistics::read()?)).unwrap()
}

fn udp(host: &Namespace, ip: IpAddr, port: u16) -> UdpSocket {
    let bind = || UdpSocket::bind((ip, port)).context("bind");
    let socket = host.run(bind).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    socket
}

/// A datagram from one host to the other, and back.
fn udp_passes(from: &UdpSocket, to: &UdpSocket) {
    let mut buffer = [0; 2000];
    for (from, to) in [(from, to), (to, from)] {
        from.send_to(b"OPTIONS", to.local_addr().unwrap()).unwrap();
        let (length, source) = to.recv_from(&mut buffer).expect("it arrives");
        assert_eq!((&buffer[..length], source), (&b"OPTIONS"[..], from.local_addr().unwrap()));
    }
}

fn udp_is_lost(from: &UdpSocket, to: &UdpSocket) {
    // The kernel may say at once that it does not let it out.
    let _ = from.send_to(b"OPTIONS", to.local_addr().unwrap());
    to.set_read_timeout(Some(SHORT)).unwrap();
    let received = to.recv_from(&mut [0; 2000]);
    assert!(received.is_err(), "{received:?}");
    to.set_read_timeout(Some(LONG)).unwrap();
}

/// Many segments from the one end, and as many back.
fn tcp_passes(client: &Namespace, server: &Namespace, at: SocketAddr) {
    let listener = server.run(|| Ok(TcpListener::bind(at)?)).unwrap();
    let at = listener.local_addr().unwrap();
    let echo = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut octets = vec![0; 100_000];
        stream.read_exact(&mut octets).unwrap();
        stream.write_all(&octets).unwrap();
    });
    let mut stream = client.run(|| Ok(TcpStream::connect_timeout(&at, LONG)?)).expect("connect");
    stream.set_read_timeout(Some(LONG)).unwrap();
    let sent: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
    stream.write_all(&sent).unwrap();
    let mut back = vec![0; sent.len()];
    stream.read_exact(&mut back).expect("the echo");
    assert!(back == sent);
    echo.join().unwrap();
}

/// Every frame that crosses the link while it lives: what leaves either host. (What comes out of a tunnel is shown to
/// those who listen at the receiving host too, but never was on the wire.)
struct Tap([OwnedFd; 2]);

impl Tap {
    fn listen(hosts: &Hosts) -> Self {
        let open = || {
            let socket =
                socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)?;
            setsockopt(&socket, sockopt::RcvBuf, &(8 << 20))?;
            setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(0, 200_000))?;
            Ok(socket)
        };
        Self([&hosts.one, &hosts.other].map(|host| host.run(open).unwrap()))
    }

    /// How many IP packets of each protocol there were between the two addresses.
    fn protocols(&self, (one, other): (&str, &str)) -> BTreeMap<u8, u32> {
        const OUTGOING: u8 = 4;
        let octets = |text: &str| match address(text) {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        let (one, other) = (octets(one), octets(other));
        let (protocol, source) = if one.len() == 4 { (9, 12) } else { (6, 8) };
        let kind: [u8; 2] = if one.len() == 4 { [0x08, 0x00] } else { [0x86, 0xdd] };
        let (mut seen, mut frame) = (BTreeMap::new(), vec![0; 65_536]);
        for socket in &self.0 {
            while let Ok((length, from)) = recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut frame) {
                let Some((ethernet, packet)) = frame[..length].split_at_checked(14) else { continue };
                let ends = packet.get(source..source + one.len() * 2).map(|ends| ends.split_at(one.len()));
                let between = ends == Some((&one, &other)) || ends == Some((&other, &one));
                if from.is_some_and(|from| from.pkttype() == OUTGOING) && ethernet[12..] == kind && between {
                    *seen.entry(packet[protocol]).or_default() += 1;
                }
            }
        }
        seen
    }
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const ESP: u8 = 50;
const ICMPV6: u8 = 58;

#[test]
#[ignore = "needs a kernel with ESP"]
fn zb_udp_and_tcp_pass_inside_esp_and_nothing_else_crosses() {
    for (family, mode) in
        [(V4, ZbMode::Transport), (V4, ZbMode::Tunnel), (V6, ZbMode::Transport), (V6, ZbMode::Tunnel)]
    {
        let hosts = Hosts::new();
        let (near, far) = hosts.sections(family, mode);
        let (sockets_one, sockets_other) =
            (udp(&hosts.one, near.local, 5060), udp(&hosts.other, far.local, 5060));
        let tap = Tap::listen(&hosts);
        let ends = [secure(&hosts.one, &near).unwrap(), secure(&hosts.other, &far).unwrap()];
        udp_passes(&sockets_one, &sockets_other);
        tcp_passes(&hosts.one, &hosts.other, SocketAddr::new(far.local, 5060));
        tcp_passes(&hosts.other, &hosts.one, SocketAddr::new(near.local, 0));
        let mut crossed = tap.protocols(family);
        // Neighbour discovery must be in clear.
        crossed.remove(&ICMPV6);
        assert_eq!(crossed.keys().collect::<Vec<_>>(), [&ESP], "{mode:?} {family:?}");
        for states in hosts.states() {
            assert_eq!(states.len(), 2);
            for state in states {
                assert!(state.packets > 50 && state.bytes > 200_000, "{state:?}");
                assert_eq!((state.hard_expires, state.replay_window), (0, 0), "no end, no replay window");
            }
        }
        for host in [&hosts.one, &hosts.other] {
            let statistics = counters(host);
            assert_eq!(statistics.errors().collect::<Vec<_>>(), [], "{mode:?} {family:?}");
        }
        drop(ends);
        assert!(hosts.states().iter().all(Vec::is_empty), "the end leaves nothing behind");
        let tap = Tap::listen(&hosts);
        udp_passes(&sockets_one, &sockets_other);
        let crossed = tap.protocols(family);
        assert_eq!((crossed.get(&UDP), crossed.get(&ESP)), (Some(&2), None), "policies are gone too");
    }
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn zb_clear_text_is_refused_and_none_leaves() {
    for family in [V4, V6] {
        let hosts = Hosts::new();
        let (near, far) = hosts.sections(family, ZbMode::Transport);
        let (one, other) = (udp(&hosts.one, near.local, 5060), udp(&hosts.other, far.local, 5060));
        udp_passes(&one, &other);
        let listener = hosts.one.run(|| Ok(TcpListener::bind((near.local, 5060))?)).unwrap();
        let _secured = secure(&hosts.one, &near).unwrap();
        let before = counters(&hosts.one);
        udp_is_lost(&other, &one);
        let refused = counters(&hosts.one).since(&before).counter("XfrmInTmplMismatch");
        assert_eq!(refused, 1);
        let at = listener.local_addr().unwrap();
        let connected = hosts.other.run(|| Ok(TcpStream::connect_timeout(&at, SHORT)?));
        assert!(connected.is_err());
        assert!(counters(&hosts.one).since(&before).counter("XfrmInTmplMismatch") > refused);
        // The peer knows no such association: what we send is lost there, and was not in clear on the way.
        let (tap, before) = (Tap::listen(&hosts), counters(&hosts.other));
        udp_is_lost(&one, &other);
        assert_eq!(counters(&hosts.other).since(&before).counter("XfrmInNoStates"), 1);
        assert_eq!(tap.protocols(family).get(&UDP), None);
    }
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn zb_packets_under_a_wrong_key_are_dropped() {
    let hosts = Hosts::new();
    let (near, far) = hosts.sections(V4, ZbMode::Transport);
    let wrong = ZbFile { key_file: hosts.key_file("wrong", &KEYS.replace("0001", "ffff")), ..far.clone() };
    let (one, other) = (udp(&hosts.one, near.local, 5060), udp(&hosts.other, far.local, 5060));
    let _near = secure(&hosts.one, &near).unwrap();
    let far_end = secure(&hosts.other, &wrong).unwrap();
    udp_is_lost(&other, &one);
    assert_eq!(counters(&hosts.one).counter("XfrmInStateProtoError"), 1);
    let failed = |states: &[KernelState]| states.iter().map(|state| state.integrity_failed).sum::<u32>();
    assert_eq!(failed(&hosts.states()[0]), 1);
    // With the right key the same pair works, also after its counters have started again.
    drop(far_end);
    for _ in 0..2 {
        let _far = secure(&hosts.other, &far).unwrap();
        udp_passes(&other, &one);
    }
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn zb_a_port_alone_can_be_protected() {
    let hosts = Hosts::new();
    let (near, far) = hosts.sections(V4, ZbMode::Transport);
    let only = |section: ZbFile| ZbFile { protocol: Some(ZbProtocol::Udp), port: Some(5060), ..section };
    let (near, far) = (only(near), only(far));
    let other_port = (udp(&hosts.one, near.local, 5070), udp(&hosts.other, far.local, 5071));
    let port = (udp(&hosts.one, near.local, 5060), udp(&hosts.other, far.local, 5072));
    let near_end = secure(&hosts.one, &near).unwrap();
    udp_is_lost(&port.1, &port.0);
    udp_passes(&other_port.0, &other_port.1);
    let _far = secure(&hosts.other, &far).unwrap();
    let tap = Tap::listen(&hosts);
    udp_passes(&port.1, &port.0);
    udp_passes(&other_port.0, &other_port.1);
    tcp_passes(&hosts.one, &hosts.other, SocketAddr::new(far.local, 5060));
    let crossed = tap.protocols(V4);
    assert_eq!((crossed.get(&ESP), crossed.get(&UDP)), (Some(&2), Some(&2)));
    assert!(crossed.contains_key(&TCP));
    drop(near_end);
    udp_is_lost(&port.0, &port.1);
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn zb_nobody_takes_a_pair_or_an_spi_that_is_taken() {
    let hosts = Hosts::new();
    let (near, far) = hosts.sections(V4, ZbMode::Transport);
    let first = secure(&hosts.one, &near).unwrap();
    let error = secure(&hosts.one, &near).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(ZbError::Held { .. })), "{error}");
    assert_eq!(hosts.states()[0].len(), 2, "the first has lost nothing");
    drop(first);

    // A UE's state has the SPI.
    let end = |address: &str, base: u16, spi: u32| {
        let (port, spi) = (|at| Port::new(base + at).unwrap(), |at| Spi::new(spi + at).unwrap());
        let setup = Setup { spi_c: spi(0), spi_s: spi(1), port_c: port(0), port_s: port(1) };
        End { address: address.parse().unwrap(), setup }
    };
    let algorithms = Algorithms::ALL[1];
    let set = Associations::new(&end("10.33.0.9", 7000, 1000), &end(V4.0, 6000, 4097), algorithms).unwrap();
    let install = Install {
        set: SaSet::new(set, EspKeys::placeholder(algorithms)),
        lifetime: Lifetime::new(Duration::from_secs(60)),
    };
    let of_ues = || Ok(Engine::open()?.states()?.len());
    hosts.one.run(|| Ok(Engine::open()?.install(&[install]).remove(0)?)).unwrap();
    let error = secure(&hosts.one, &near).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(ZbError::SpiInUse { spi: 4097, .. })), "{error}");
    assert!(hosts.states()[0].is_empty(), "nothing stays");
    assert_eq!(hosts.one.run(of_ues).unwrap(), 4, "nothing of the UE's goes");
    udp_passes(&udp(&hosts.one, near.local, 5080), &udp(&hosts.other, far.local, 5080));
}

/// The addresses are the same, and so may a UE's server port be: each keeps its own associations.
#[test]
#[ignore = "needs a kernel with ESP"]
fn zb_and_the_protected_ports_of_ues_do_not_mix() {
    let hosts = Hosts::new();
    let (near, far) = hosts.sections(V4, ZbMode::Transport);
    let (server, clients) = (Port::new(6100).unwrap(), ClientPorts::new(6000, 4).unwrap());
    let protection = Protection::of_address(near.local, server, clients);
    let engine = hosts.one.run(|| {
        let mut engine = Engine::open()?;
        engine.protect(&protection)?;
        Ok(engine)
    });
    let mut engine = engine.unwrap();
    let ends = [secure(&hosts.one, &near).unwrap(), secure(&hosts.other, &far).unwrap()];
    udp_passes(&udp(&hosts.one, near.local, 5060), &udp(&hosts.other, far.local, 5060));
    assert!(engine.states().unwrap().is_empty(), "none of them is a UE's");
    drop(ends);
    udp_is_lost(&udp(&hosts.other, far.local, 5061), &udp(&hosts.one, near.local, 6100));
    engine.unprotect(&protection).unwrap();
}

fn icscf_file(folder: &Path, section: &ZbFile) -> String {
    let name = "icscf-zb.toml";
    let text = format!(
        "address = \"10.33.0.1:5060\"\nhome_domain = \"home.example\"\ntrusted_peers = [\"10.33.0.2\"]\n\
         [cx]\npeer = \"10.33.0.2:3868\"\norigin_host = \"icscf.home.example\"\norigin_realm = \"home.example\"\n\
         destination_realm = \"home.example\"\n\
         [[s_cscf]]\nname = \"sip:scscf.home.example:5060\"\naddress = \"10.33.0.2:5060\"\n\
         [[zb]]\nlocal = \"{}\"\npeer = \"{}\"\nspi_in = {}\nspi_out = {}\nkey_file = {:?}\n{}",
        section.local,
        section.peer,
        section.spi_in,
        section.spi_out,
        section.key_file,
        section.port.map(|port| format!("port = {port}\n")).unwrap_or_default()
    );
    std::fs::write(folder.join(name), text).unwrap();
    name.to_owned()
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn zb_a_daemon_protects_its_interface_fails_closed_when_killed_and_is_followed_by_the_next() {
    let hosts = Hosts::new();
    let (near, far) = hosts.sections(V4, ZbMode::Transport);
    let file = icscf_file(hosts.folder.path(), &near);
    let start = || {
        let mut daemon =
            Process::start(&hosts.one, "icscf", &["--config", &file], hosts.folder.path()).unwrap();
        daemon.wait_for_log("I-CSCF is ready").unwrap();
        daemon
    };
    let (one, other) = (udp(&hosts.one, near.local, 5070), udp(&hosts.other, far.local, 5070));
    let daemon = start();
    assert!(!daemon.stderr().contains("2021222324"), "no key in the log");
    udp_is_lost(&other, &one);
    daemon.kill().unwrap();
    udp_is_lost(&other, &one);
    let left: Vec<u32> = hosts.states()[0].iter().map(|state| state.spi).collect();
    assert_eq!(left.len(), 2);
    // A start that does not get to its end leaves the pair shut too.
    drop(secure(&hosts.one, &near).unwrap());
    udp_is_lost(&other, &one);
    // With new numbers, and for one port only.
    let near = ZbFile { spi_in: 4098, spi_out: 4097, port: Some(5070), ..near };
    let far = ZbFile { spi_in: 4097, spi_out: 4098, port: Some(5070), ..far };
    icscf_file(hosts.folder.path(), &near);
    let mut daemon = start();
    let far_end = secure(&hosts.other, &far).unwrap();
    udp_passes(&other, &one);
    assert_eq!(hosts.states()[0].len(), 2, "those of the killed run are replaced");
    let tap = Tap::listen(&hosts);
    udp_passes(&udp(&hosts.one, near.local, 5080), &udp(&hosts.other, far.local, 5080));
    assert_eq!(tap.protocols(V4).get(&UDP), Some(&2), "and so are its policies");
    drop(far_end);
    assert!(daemon.terminate().unwrap().success());
    assert!(hosts.states()[0].is_empty());
    udp_passes(&other, &one);
}
