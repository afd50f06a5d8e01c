use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use thiserror::Error;

use crate::XfrmError;

/// Why an interface between two nodes is not protected. The texts fit after "failed to …"; none carries key bytes.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ZbError {
    #[error("use zb.{key} = {value}: {wanted}")]
    BadValue { key: &'static str, value: Box<str>, wanted: &'static str },
    #[error("read {path}: {source}")]
    KeyFile { path: PathBuf, source: io::Error },
    #[error("use {path}: others may read or change these keys (mode {mode:o}); run chmod 600 {path}")]
    Exposed { path: PathBuf, mode: u32 },
    #[error("read {path}:{line}: {wanted}")]
    BadLine { path: PathBuf, line: usize, wanted: &'static str },
    #[error("find the keys of SPI {spi} in {path}: add a line \"{spi} INTEGRITY-KEY CIPHER-KEY\", in hex")]
    NoKey { path: PathBuf, spi: u32 },
    #[error("protect {local} - {peer} twice: leave one of the zb sections out")]
    SamePair { local: IpAddr, peer: IpAddr },
    #[error("use zb.spi_in = {spi} twice at {local}: give each peer an SPI of its own")]
    SameSpi { local: IpAddr, spi: u32 },
    #[error(
        "protect {local} - {peer}: another process does so already; stop it, or leave this zb section to it"
    )]
    Held { local: IpAddr, peer: IpAddr },
    #[error("reserve {local} - {peer}: {source}")]
    Reserve { local: IpAddr, peer: IpAddr, source: io::Error },
    #[error(
        "use SPI {spi} towards {destination}: the kernel has a state with it that is not ours; choose another one"
    )]
    SpiInUse { destination: IpAddr, spi: u32 },
    #[error(transparent)]
    Kernel(#[from] XfrmError),
}
