//! What can go wrong, without ever repeating the octets that were wrong.

/// Every error of this crate. The texts fit after "failed to …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AkaError {
    #[error("read {what}: {digits} hex digits wanted")]
    NotHex { what: &'static str, digits: usize },
    #[error("read {what}: {wanted} octets wanted, {found} found")]
    WrongLength { what: &'static str, wanted: usize, found: usize },
    #[error("read RES: 4 to 16 octets wanted, {found} found")]
    ResLength { found: usize },
    #[error("read K: 32 or 64 hex digits wanted")]
    TuakKNotHex,
    #[error("read the length of RES: 32, 64 or 128 bits wanted")]
    ResBits,
    #[error("read a sequence number: SEQ has 43 bits and IND 5")]
    SqnParts,
    #[error("read an IND range: first and last lie in 0 to 31, first not above last")]
    IndRange,
    #[error("generate a sequence number: SEQ has reached its 43-bit end, this K must be replaced")]
    SqnExhausted,
    #[error("resynchronise: MAC-S in AUTS does not match")]
    AutsMacInvalid,
    #[error("read AUTS: not the base64 form of 14 octets")]
    AutsEncoding,
    #[error("read a nonce: not base64")]
    NonceEncoding,
    #[error("read a nonce: RAND and AUTN need 32 octets, {found} found")]
    NonceTooShort { found: usize },
    #[error("read a nonce: longer than any server needs")]
    NonceTooLong,
    #[error("read a digest algorithm: none of AKAv1-MD5, AKAv2-MD5 and AKAv2-SHA-256")]
    UnknownDigestAlgorithm,
    #[error("read a private identity: user@realm wanted, no scheme, at most 255 ASCII characters")]
    ImpiInvalid,
    #[error("read a public identity: a sip, sips or tel URI of at most 255 ASCII characters wanted")]
    ImpuInvalid,
}
