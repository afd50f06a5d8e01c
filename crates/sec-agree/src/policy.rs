use crate::{Algorithms, SecAgreeError, SecurityClient};

/// What a P-CSCF (or a UE) allows, best first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    algorithms: Vec<Algorithms>,
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
            Ok(Self { algorithms: unique })
        }
    }

    pub fn algorithms(&self) -> &[Algorithms] {
        &self.algorithms
    }

    /// The list as a Security-Server value before any SPI is drawn: for answers that ask for an agreement.
    pub fn advertised(&self) -> String {
        let entries = self.algorithms.iter().enumerate().map(|(at, pair)| {
            let q = self.algorithms.len() - at;
            format!("ipsec-3gpp;q=0.{q};alg={};ealg={};prot=esp;mod=trans", pair.alg(), pair.ealg())
        });
        entries.collect::<Vec<_>>().join(", ")
    }

    /// The P-CSCF's choice: the first pair of its own list that the UE offered too.
    //= TS 33.203 7.2: the P-CSCF selects the first algorithm combination on its own list which is also supported by the UE
    pub fn choose(&self, offer: &SecurityClient) -> Result<Algorithms, SecAgreeError> {
        self.algorithms
            .iter()
            .copied()
            .find(|pair| offer.algorithms().contains(pair))
            .ok_or(SecAgreeError::NoCommonAlgorithm)
    }
}

/// sha-1 before nothing else: aes-cbc where the UE can, else null. md5 and 3DES only by name; GCM and GMAC only by
/// name too, since all four associations of a set share key and salt (see `spec/03` section 7).
impl Default for Policy {
    fn default() -> Self {
        use crate::{Alg::HmacSha1_96, Ealg};
        let pairs = [Ealg::AesCbc, Ealg::Null].map(|ealg| Algorithms::new(HmacSha1_96, ealg));
        Self { algorithms: pairs.into_iter().flatten().collect() }
    }
}
