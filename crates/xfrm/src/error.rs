use std::fmt;
use std::net::IpAddr;

use nix::errno::Errno;
use sec_agree::Algorithms;
use thiserror::Error;

/// What the kernel was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    AddState,
    UpdateState,
    DeleteState,
    AddPolicy,
    DeletePolicy,
    DumpStates,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AddState => "add state",
            Self::UpdateState => "update state",
            Self::DeleteState => "delete state",
            Self::AddPolicy => "add policy",
            Self::DeletePolicy => "delete policy",
            Self::DumpStates => "dump states",
        })
    }
}

/// Why the kernel does not hold what it was to hold. No variant carries key bytes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum XfrmError {
    #[error(
        "{operation}: the kernel refused spi {spi:#x} {source_address} -> {destination}: {errno}{}",
        Explanation(.explanation)
    )]
    StateRefused {
        operation: Operation,
        spi: u32,
        source_address: IpAddr,
        destination: IpAddr,
        errno: Errno,
        /// The kernel's own words (extended ACK), where it gave any.
        explanation: Option<Box<str>>,
    },
    #[error("{operation} for {address} port {port}: the kernel refused: {errno}{}", Explanation(.explanation))]
    PolicyRefused {
        operation: Operation,
        address: IpAddr,
        port: u16,
        errno: Errno,
        explanation: Option<Box<str>>,
    },
    #[error("open an XFRM netlink socket: {0}")]
    Socket(Errno),
    #[error("talk to the kernel over XFRM netlink: {0}")]
    Netlink(Errno),
    #[error("{operation}: the kernel gave no answer")]
    NoAnswer { operation: Operation },
    #[error("read the kernel's answer: it is malformed")]
    MalformedAnswer,
    #[error("{operation}: {errno}")]
    Refused { operation: Operation, errno: Errno },
    #[error(
        "use kernel IPsec: this kernel has no ESP (CONFIG_INET_ESP, CONFIG_INET6_ESP); \
         load esp4 and esp6, or run in the guest kernel of `cargo xtask demo`"
    )]
    NoEsp,
    #[error(
        "use kernel IPsec: CAP_NET_ADMIN is missing in this network namespace; \
         run as root, give the service AmbientCapabilities=CAP_NET_ADMIN, or start it in a user namespace"
    )]
    NoCapNetAdmin,
    #[error("use kernel IPsec: this kernel cannot do {algorithms}; load its modules or leave the pair out")]
    AlgorithmMissing { algorithms: Algorithms },
    #[error("read {path}: {errno}")]
    ProcFile { path: &'static str, errno: Errno },
}

struct Explanation<'a>(&'a Option<Box<str>>);

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(text) => write!(f, " ({text})"),
            None => Ok(()),
        }
    }
}
