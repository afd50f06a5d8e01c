//! MAR: vectors, and a card that is out of step.

use std::sync::Arc;

use aka::{Algorithm, Amf, Rand, Sqn};
use cx::{
    AuthScheme, BaseCode, CxFailure, ExperimentalCode, IdentityType, MultimediaAuth, MultimediaAuthRequest,
};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng;

use super::request::View;
use crate::store::SqnTake;

/// What makes vectors, as soon as there are sequence numbers for them.
pub(super) struct Vectors {
    algorithm: Arc<Algorithm>,
    amf: Amf,
}

impl Vectors {
    //= TS 33.102 6.3.2
    pub(super) fn make(&self, sqns: &[Sqn], random: &mut ChaCha20Rng) -> MultimediaAuth {
        let vectors = sqns.iter().map(|sqn| {
            let mut rand = [0; 16];
            random.fill_bytes(&mut rand);
            self.algorithm.vector(Rand::from_bytes(rand), *sqn, self.amf)
        });
        MultimediaAuth { vectors: vectors.collect() }
    }
}

impl View<'_> {
    //= TS 29.228 6.3.1
    pub(super) fn authenticate(
        &mut self,
        mar: &MultimediaAuthRequest,
    ) -> Result<(Vectors, SqnTake), CxFailure> {
        let held = self.subscription.held(&mar.impu).filter(|held| held.kind == IdentityType::DistinctUser);
        let private = self.subscription.private_identity(&mar.impi);
        let (Some(private), Some(_)) = (private, held) else {
            return Err(ExperimentalCode::UserUnknown.into());
        };
        if mar.scheme != AuthScheme::DigestAka {
            return Err(ExperimentalCode::AuthSchemeNotSupported.into());
        }
        let mut resynchronise = None;
        if let Some((rand, auts)) = &mar.resync {
            // Only the S-CSCF that sent the challenge can know what the card said to it.
            if self.state.server(&mar.impu) != Some(&mar.server_name) {
                return Err(BaseCode::UnableToComply.into());
            }
            let sqn_ms = private.algorithm.resynchronise(rand, auts).map_err(|error| {
                tracing::warn!(impi = %mar.impi, %error, "no vectors for a subscriber");
                BaseCode::UnableToComply
            })?;
            resynchronise = Some(sqn_ms);
        }
        let set = self.subscription.set_of(&mar.impu, &mar.impi).map(|held| &held.impu);
        self.state.challenged(set, &mar.impu, &mar.impi, &mar.server_name, self.given.now);
        let take = SqnTake {
            impi: mar.impi.clone(),
            count: mar.items.clamp(1, self.given.policy.most_vectors.max(1)),
            range: self.given.policy.ind,
            resynchronise,
        };
        Ok((Vectors { algorithm: Arc::clone(&private.algorithm), amf: private.amf }, take))
    }
}
