use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::{Algorithms, Encapsulation, EspKeys, Mode, SecAgreeError, Setup, Spi};

/// One end of a set of security associations: the UE or the P-CSCF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct End {
    pub address: IpAddr,
    pub setup: Setup,
}

impl End {
    fn client(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.setup.port_c.get())
    }

    fn server(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.setup.port_s.get())
    }
}

/// Which of the four associations of a set; named after the ports it joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// From the UE's client port to the P-CSCF's server port: requests of the UE, and its answers over UDP.
    UcToPs,
    /// Back on the same pair of ports: answers on a TCP connection that the UE opened.
    PsToUc,
    /// From the P-CSCF's client port to the UE's server port: requests to the UE, and answers to it over UDP.
    PcToUs,
    /// Back on the same pair of ports: answers on a TCP connection that the P-CSCF opened.
    UsToPc,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::UcToPs, Self::PsToUc, Self::PcToUs, Self::UsToPc];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::UcToPs => "uc-to-ps",
            Self::PsToUc => "ps-to-uc",
            Self::PcToUs => "pc-to-us",
            Self::UsToPc => "us-to-pc",
        }
    }

    pub fn towards_ue(self) -> bool {
        matches!(self, Self::PsToUc | Self::PcToUs)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One unidirectional security association without its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Association {
    pub role: Role,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    /// Chosen by the owner of the destination.
    pub spi: Spi,
}

/// The four associations of one set, without keys.
//= TS 33.203 7.1: two pairs of unidirectional SAs, each SPI chosen by the end that receives with it
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Associations {
    pub uc_to_ps: Association,
    pub ps_to_uc: Association,
    pub pc_to_us: Association,
    pub us_to_pc: Association,
    pub algorithms: Algorithms,
    /// Around a NAT: the packets as above are inside a tunnel inside UDP.
    pub encapsulation: Option<Encapsulation>,
}

impl Associations {
    pub fn new(ue: &End, p_cscf: &End, algorithms: Algorithms) -> Result<Self, SecAgreeError> {
        // A set whose SPIs collide would let a packet of the UE be reflected back to it (TS 33.203 7.1).
        let spis = [ue.setup.spi_c, ue.setup.spi_s, p_cscf.setup.spi_c, p_cscf.setup.spi_s];
        if (0..4).any(|i| (i + 1..4).any(|j| spis[i] == spis[j])) {
            return Err(SecAgreeError::SpiCollision);
        }
        let (uc, us, pc, ps) = (ue.client(), ue.server(), p_cscf.client(), p_cscf.server());
        let association = |role, source, destination, spi| Association { role, source, destination, spi };
        Ok(Self {
            uc_to_ps: association(Role::UcToPs, uc, ps, p_cscf.setup.spi_s),
            ps_to_uc: association(Role::PsToUc, ps, uc, ue.setup.spi_c),
            pc_to_us: association(Role::PcToUs, pc, us, ue.setup.spi_s),
            us_to_pc: association(Role::UsToPc, us, pc, p_cscf.setup.spi_c),
            algorithms,
            encapsulation: None,
        })
    }

    /// The same set in a tunnel inside UDP, for a UE behind a NAT. The UE's address of the set is then the one that
    /// the P-CSCF sees.
    //= TS 33.203 Annex M
    pub fn encapsulated(self, encapsulation: Encapsulation) -> Result<Self, SecAgreeError> {
        let same_family = encapsulation.ue.is_ipv4() == self.ue_address().is_ipv4();
        if encapsulation.p_cscf.ip() != self.p_cscf_address() || !same_family {
            return Err(SecAgreeError::BadEncapsulation);
        }
        Ok(Self { encapsulation: Some(encapsulation), ..self })
    }

    pub fn mode(&self) -> Mode {
        if self.encapsulation.is_some() { Mode::UdpEncTun } else { Mode::Trans }
    }

    /// Source and destination of the UDP packets that carry an association of this set; `None` in transport mode.
    pub fn outer(&self, role: Role) -> Option<(SocketAddr, SocketAddr)> {
        let Encapsulation { ue, p_cscf, .. } = self.encapsulation?;
        Some(if role.towards_ue() { (p_cscf, ue) } else { (ue, p_cscf) })
    }

    /// The same set, encapsulated, with the UE's outer port as the P-CSCF has learned it.
    pub fn with_nat_port(mut self, port: u16) -> Self {
        if let Some(encapsulation) = &mut self.encapsulation {
            encapsulation.ue.set_port(port);
        }
        self
    }

    pub fn iter(&self) -> impl Iterator<Item = &Association> {
        [&self.uc_to_ps, &self.ps_to_uc, &self.pc_to_us, &self.us_to_pc].into_iter()
    }

    pub fn ue_address(&self) -> IpAddr {
        self.uc_to_ps.source.ip()
    }

    pub fn p_cscf_address(&self) -> IpAddr {
        self.uc_to_ps.destination.ip()
    }
}

/// A set of four associations with the keys they share: what the kernel is given.
#[derive(Debug)]
pub struct SaSet {
    pub associations: Associations,
    pub keys: EspKeys,
}

impl SaSet {
    pub fn new(associations: Associations, keys: EspKeys) -> Self {
        Self { associations, keys }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Port, Side};

    fn end(address: &str, port_c: u16, port_s: u16, spi_c: u32, spi_s: u32) -> End {
        End {
            address: address.parse().unwrap(),
            setup: Setup {
                port_c: Port::new(port_c).unwrap(),
                port_s: Port::new(port_s).unwrap(),
                spi_c: Spi::new(spi_c).unwrap(),
                spi_s: Spi::new(spi_s).unwrap(),
            },
        }
    }

    #[test]
    fn sa_1_four_associations_with_the_ports_and_spis_of_clause_7_1() {
        let ue = end("10.9.0.2", 7001, 7002, 1001, 1002);
        let p_cscf = end("10.9.0.1", 6000, 6100, 2001, 2002);
        let set = Associations::new(&ue, &p_cscf, Algorithms::ALL[1]).unwrap();
        let seen: Vec<String> =
            set.iter().map(|sa| format!("{} {} {} {}", sa.role, sa.source, sa.destination, sa.spi)).collect();
        assert_eq!(
            seen,
            [
                "uc-to-ps 10.9.0.2:7001 10.9.0.1:6100 2002",
                "ps-to-uc 10.9.0.1:6100 10.9.0.2:7001 1001",
                "pc-to-us 10.9.0.1:6000 10.9.0.2:7002 1002",
                "us-to-pc 10.9.0.2:7002 10.9.0.1:6000 2001",
            ]
        );
    }

    #[test]
    fn nat_an_encapsulated_set_has_outer_addresses_besides_its_own() {
        let ue = end("192.0.2.7", 7001, 7002, 1001, 1002);
        let p_cscf = end("10.9.0.1", 6000, 6100, 2001, 2002);
        let set = Associations::new(&ue, &p_cscf, Algorithms::ALL[1]).unwrap();
        assert_eq!((set.mode(), set.outer(Role::UcToPs)), (Mode::Trans, None));
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (private, gate) = (at("192.168.1.2:4500"), at("10.9.0.1:4500"));
        let between = |ue: SocketAddr, p_cscf: SocketAddr| Encapsulation::new(Side::Ue, ue.ip(), p_cscf.ip());
        let tunnel = set.encapsulated(between(private, gate)).unwrap();
        assert_eq!(tunnel.mode(), Mode::UdpEncTun);
        assert_eq!(tunnel.uc_to_ps, set.uc_to_ps, "inside, nothing changes");
        assert_eq!(tunnel.outer(Role::UcToPs), Some((private, gate)));
        assert_eq!(tunnel.outer(Role::UsToPc), Some((private, gate)));
        assert_eq!(tunnel.outer(Role::PcToUs), Some((gate, private)));
        let learned = tunnel.with_nat_port(31_000);
        assert_eq!(learned.outer(Role::PcToUs), Some((gate, at("192.168.1.2:31000"))));
        for elsewhere in [at("10.9.0.9:4500"), at("[fd00::1]:4500")] {
            let refused = set.encapsulated(between(private, elsewhere));
            assert_eq!(refused, Err(SecAgreeError::BadEncapsulation));
        }
        let mixed = set.encapsulated(between(at("[fd00::1]:4500"), gate));
        assert_eq!(mixed, Err(SecAgreeError::BadEncapsulation));
    }

    #[test]
    fn sec_12_equal_spis_within_a_set_are_refused() {
        let ue = end("10.9.0.2", 7001, 7002, 1001, 1002);
        let p_cscf = end("10.9.0.1", 6000, 6100, 2001, 1001);
        assert_eq!(Associations::new(&ue, &p_cscf, Algorithms::ALL[1]), Err(SecAgreeError::SpiCollision));
    }
}
