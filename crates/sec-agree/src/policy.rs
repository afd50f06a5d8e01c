use crate::{Algorithms, Mode, SecAgreeError, SecurityClient};

/// What a P-CSCF (or a UE) allows, best first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    algorithms: Vec<Algorithms>,
    nat_traversal: bool,
}

/// Whether associations encrypt besides protecting integrity.
//= TS 33.203 5.1.3
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encryption {
    /// Where the UE can: a UE that offers none is served without.
    #[default]
    Optional,
    /// A UE that offers none is refused.
    Required,
    /// As in the first release of the standard: the list names no cipher.
    Never,
}

impl Policy {
    /// Repeated pairs are taken once; a policy that allows nothing cannot exist.
    pub fn new(algorithms: &[Algorithms]) -> Result<Self, SecAgreeError> {
        let mut unique = Vec::with_capacity(algorithms.len());
        for pair in algorithms {
            if !unique.contains(pair) {
                unique.push(*pair);
            }
        }
        if unique.is_empty() {
            Err(SecAgreeError::NoCommonAlgorithm)
        } else {
            Ok(Self { algorithms: unique, nat_traversal: false })
        }
    }

    pub fn algorithms(&self) -> &[Algorithms] {
        &self.algorithms
    }

    /// The same list without the pairs that this rules out; one must be left.
    pub fn with_encryption(mut self, encryption: Encryption) -> Result<Self, SecAgreeError> {
        self.algorithms.retain(|pair| match encryption {
            Encryption::Optional => true,
            Encryption::Required => pair.encrypts(),
            Encryption::Never => !pair.encrypts(),
        });
        if self.algorithms.is_empty() { Err(SecAgreeError::NoCommonAlgorithm) } else { Ok(self) }
    }

    /// The same, and UEs behind a NAT are served too.
    pub fn with_nat_traversal(mut self) -> Self {
        self.nat_traversal = true;
        self
    }

    pub fn nat_traversal(&self) -> bool {
        self.nat_traversal
    }

    /// The list, best first, each with a q value that no other has.
    //= RFC 3329 2.3.1: q values are distinct and fall in the order of the list
    pub(crate) fn entries(&self) -> impl Iterator<Item = (String, Algorithms, Mode)> {
        let modes = if self.nat_traversal { Mode::ALL.as_slice() } else { &[Mode::Trans] };
        let count = self.algorithms.len() * modes.len();
        // At most eight pairs in two modes exist: one decimal where it tells them apart, else two.
        let width = if count < 10 { 1 } else { 2 };
        let pairs = self.algorithms.iter().flat_map(|pair| modes.iter().map(move |mode| (*pair, *mode)));
        pairs.enumerate().map(move |(at, (pair, mode))| (format!("0.{:0width$}", count - at), pair, mode))
    }

    /// The list as a Security-Server value before any SPI is drawn: for answers that ask for an agreement.
    pub fn advertised(&self) -> String {
        let entries = self.entries().map(|(q, pair, mode)| {
            format!("ipsec-3gpp;q={q};alg={};ealg={};prot=esp;mod={mode}", pair.alg(), pair.ealg())
        });
        entries.collect::<Vec<_>>().join(", ")
    }

    /// The P-CSCF's choice for a UE that no NAT hides: the first pair of its own list that the UE offered too.
    pub fn choose(&self, offer: &SecurityClient) -> Result<Algorithms, SecAgreeError> {
        self.choose_in(Mode::Trans, offer)
    }

    /// The P-CSCF's choice in a mode.
    //= TS 33.203 7.2: the P-CSCF selects the first algorithm combination on its own list which is also supported by the UE
    pub fn choose_in(&self, mode: Mode, offer: &SecurityClient) -> Result<Algorithms, SecAgreeError> {
        let offered = offer.algorithms_in(mode);
        //= TS 33.203 Annex M: a UE behind a NAT needs UDP-enc-tun at both ends
        if mode == Mode::UdpEncTun {
            if offered.is_empty() {
                return Err(SecAgreeError::NoUdpEncTun);
            }
            if !self.nat_traversal {
                return Err(SecAgreeError::UdpEncTunNotAllowed);
            }
        }
        let common = self.algorithms.iter().copied().find(|pair| offered.contains(pair));
        common.ok_or(SecAgreeError::NoCommonAlgorithm)
    }
}

/// sha-1 before nothing else: aes-cbc where the UE can, else null. md5 and 3DES only by name; GCM and GMAC only by
/// name too, since all four associations of a set share key and salt (see `spec/03` section 7).
impl Default for Policy {
    fn default() -> Self {
        use crate::{Alg::HmacSha1_96, Ealg};
        let pairs = [Ealg::AesCbc, Ealg::Null].map(|ealg| Algorithms::new(HmacSha1_96, ealg));
        Self { algorithms: pairs.into_iter().flatten().collect(), nat_traversal: false }
    }
}
