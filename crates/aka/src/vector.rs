//! The authentication vector.

use crate::{Autn, Ck, Ik, Rand, Res};

/// The quintet an AuC hands to an S-CSCF for one challenge. Used once: it cannot be cloned.
#[derive(Debug, PartialEq, Eq)]
pub struct AuthVector {
    pub rand: Rand,
    pub autn: Autn,
    pub xres: Res,
    pub ck: Ck,
    pub ik: Ik,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aka_13_debug_of_a_vector_shows_no_key() {
        let vector = AuthVector {
            rand: Rand::from_bytes([0xa1; 16]),
            autn: Autn::from_bytes([0xa2; 16]),
            xres: Res::new(&[0xa3; 8]).unwrap(),
            ck: Ck::from_bytes([0xa4; 16]),
            ik: Ik::from_bytes([0xa5; 16]),
        };
        let shown = format!("{vector:?}");
        assert_eq!(shown.matches("<secret>").count(), 3);
        for octet in ["a3", "a4", "a5", "163", "164", "165"] {
            assert!(!shown.contains(octet), "{shown}");
        }
    }
}
