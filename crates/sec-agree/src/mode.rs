use std::fmt;

/// How ESP wraps a packet, the `mod` parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// Transport mode: what a UE without a NAT uses.
    Trans,
    /// Tunnel mode inside UDP (RFC 3948): what survives a NAT between UE and P-CSCF.
    UdpEncTun,
}

impl Mode {
    pub const ALL: [Self; 2] = [Self::Trans, Self::UdpEncTun];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trans => "trans",
            Self::UdpEncTun => "UDP-enc-tun",
        }
    }

    /// `tun` is a mode of the grammar too, but not one that IMS uses.
    //= TS 33.203 6.3 and Annex M
    pub(crate) fn of_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
