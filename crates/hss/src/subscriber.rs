//! One subscriber as the HSS knows it.

use aka::{Algorithm, Amf, Impi, Impu};
use cx::{IdentityType, PublicIdentity, ServiceProfile, UserData};

/// A private identity, its keys, and its public identities, which form one implicit registration set.
#[derive(Debug)]
pub struct Subscriber {
    pub impi: Impi,
    pub algorithm: Algorithm,
    pub amf: Amf,
    /// In order: the first that is not barred is the default.
    pub impus: Vec<SubscriberImpu>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriberImpu {
    pub impu: Impu,
    pub barred: bool,
}

impl Subscriber {
    pub fn holds(&self, impu: &Impu) -> bool {
        self.impus.iter().any(|held| held.impu == *impu)
    }

    /// Whether nothing of this subscriber may register: registering one identity registers the set.
    pub fn is_barred_altogether(&self) -> bool {
        self.impus.iter().all(|held| held.barred)
    }

    /// The profile an S-CSCF downloads.
    pub fn user_data(&self) -> UserData {
        let identities = self.impus.iter().map(|held| PublicIdentity {
            identity: held.impu.clone(),
            barred: held.barred,
            kind: IdentityType::DistinctUser,
        });
        UserData {
            private_id: self.impi.clone(),
            profiles: vec![ServiceProfile { identities: identities.collect(), filter_criteria: Vec::new() }],
        }
    }
}
