use thiserror::Error;

/// What is wrong with a security agreement. Each text fits after "failed to agree on security: ".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SecAgreeError {
    #[error("no ipsec-3gpp mechanism in the header")]
    NoIpsec3gpp,
    #[error("a mechanism is not of the form name;parameter=value")]
    MalformedMechanism,
    #[error("more than {limit} mechanisms")]
    TooManyMechanisms { limit: usize },
    #[error("mandatory parameter {name} is missing")]
    MissingParameter { name: &'static str },
    #[error("parameter {name} stands more than once in a mechanism")]
    RepeatedParameter { name: &'static str },
    #[error("q value is not between 0 and 1 with at most three decimals")]
    BadQ,
    #[error("SPI is not a number between 256 and 4294967295")]
    BadSpi,
    #[error("port is not a number between 1 and 65535 or is 5060 or 5061")]
    BadPort,
    #[error("spi-c and spi-s are equal")]
    EqualSpis,
    #[error("port-c and port-s are equal")]
    EqualPorts,
    #[error("the mechanisms name different SPIs or ports")]
    DifferentEnds,
    #[error("prot is not esp")]
    NotEsp,
    #[error("mod is neither trans nor UDP-enc-tun")]
    NotTransport,
    #[error("alg {alg} does not go with ealg {ealg}")]
    AlgorithmMismatch { alg: crate::Alg, ealg: crate::Ealg },
    #[error("no algorithm is known and usable on both sides")]
    UnknownAlgorithm,
    #[error("none of the offered algorithms is allowed here")]
    NoCommonAlgorithm,
    #[error("a NAT is on the way, and UDP-enc-tun is not offered")]
    NoUdpEncTun,
    #[error("a NAT is on the way, and UDP-enc-tun is not allowed here")]
    UdpEncTunNotAllowed,
    #[error("Security-Verify differs from the Security-Server that was sent")]
    SecurityVerifyMismatch,
    #[error("Security-Client differs from that of the first REGISTER")]
    SecurityClientMismatch,
    #[error("the outer addresses of UDP-enc-tun are not those of the ends")]
    BadEncapsulation,
    #[error("an SPI is used twice within one set of security associations")]
    SpiCollision,
    #[error("a key has not the length that {algorithms} wants")]
    KeyLength { algorithms: crate::Algorithms },
}
