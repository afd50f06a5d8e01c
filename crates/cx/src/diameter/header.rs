//! The 20 octets in front of every message.

use crate::CxError;

/// The bound on a message, ours: the length field would allow 16 MiB.
pub const LONGEST_MESSAGE: usize = 64 * 1024;

/// Command codes in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    CapabilitiesExchange,
    DeviceWatchdog,
    DisconnectPeer,
    UserAuthorization,
    ServerAssignment,
    LocationInfo,
    MultimediaAuth,
    RegistrationTermination,
    PushProfile,
    Other(u32),
}

impl Command {
    pub const fn from_code(code: u32) -> Self {
        match code {
            257 => Self::CapabilitiesExchange,
            280 => Self::DeviceWatchdog,
            282 => Self::DisconnectPeer,
            300 => Self::UserAuthorization,
            301 => Self::ServerAssignment,
            302 => Self::LocationInfo,
            303 => Self::MultimediaAuth,
            304 => Self::RegistrationTermination,
            305 => Self::PushProfile,
            other => Self::Other(other),
        }
    }

    pub const fn code(self) -> u32 {
        match self {
            Self::CapabilitiesExchange => 257,
            Self::DeviceWatchdog => 280,
            Self::DisconnectPeer => 282,
            Self::UserAuthorization => 300,
            Self::ServerAssignment => 301,
            Self::LocationInfo => 302,
            Self::MultimediaAuth => 303,
            Self::RegistrationTermination => 304,
            Self::PushProfile => 305,
            Self::Other(code) => code,
        }
    }
}

/// Application-Id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Application {
    Base,
    Cx,
    Other(u32),
}

impl Application {
    pub const fn from_code(code: u32) -> Self {
        match code {
            0 => Self::Base,
            16_777_216 => Self::Cx,
            other => Self::Other(other),
        }
    }

    pub const fn code(self) -> u32 {
        match self {
            Self::Base => 0,
            Self::Cx => 16_777_216,
            Self::Other(code) => code,
        }
    }
}

/// The two identifiers an answer repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ids {
    pub hop_by_hop: u32,
    pub end_to_end: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub request: bool,
    pub proxiable: bool,
    pub error: bool,
    /// The T flag: a request that may have been answered before, over a connection that broke.
    pub retransmitted: bool,
    pub command: Command,
    pub application: Application,
    pub ids: Ids,
}

impl Header {
    pub const LEN: usize = 20;

    /// The length of the message that starts with `bytes`, once its first four octets are there.
    pub fn message_length(bytes: &[u8]) -> Result<Option<usize>, CxError> {
        let Some([version, a, b, c]) = bytes.first_chunk() else { return Ok(None) };
        if *version != 1 {
            return Err(CxError::Version(*version));
        }
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        if !(Self::LEN..=LONGEST_MESSAGE).contains(&length) || !length.is_multiple_of(4) {
            return Err(CxError::MessageLength);
        }
        Ok(Some(length))
    }

    /// Splits one whole message into its header and its AVPs.
    pub fn parse(message: &[u8]) -> Result<(Self, &[u8]), CxError> {
        if Self::message_length(message)? != Some(message.len()) {
            return Err(CxError::MessageLength);
        }
        let (header, avps) = message.split_first_chunk::<{ Self::LEN }>().ok_or(CxError::MessageLength)?;
        let [_, _, _, _, flags, c0, c1, c2, a0, a1, a2, a3, h0, h1, h2, h3, e0, e1, e2, e3] = *header;
        let header = Self {
            request: flags & 0x80 != 0,
            proxiable: flags & 0x40 != 0,
            error: flags & 0x20 != 0,
            retransmitted: flags & 0x10 != 0,
            command: Command::from_code(u32::from_be_bytes([0, c0, c1, c2])),
            application: Application::from_code(u32::from_be_bytes([a0, a1, a2, a3])),
            ids: Ids {
                hop_by_hop: u32::from_be_bytes([h0, h1, h2, h3]),
                end_to_end: u32::from_be_bytes([e0, e1, e2, e3]),
            },
        };
        Ok((header, avps))
    }

    /// With a length of zero, which [`super::Writer::finish`] fills in.
    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = flag(self.request, 0x80)
            | flag(self.proxiable, 0x40)
            | flag(self.error, 0x20)
            | flag(self.retransmitted, 0x10);
        let [_, c0, c1, c2] = self.command.code().to_be_bytes();
        let [a0, a1, a2, a3] = self.application.code().to_be_bytes();
        let [h0, h1, h2, h3] = self.ids.hop_by_hop.to_be_bytes();
        let [e0, e1, e2, e3] = self.ids.end_to_end.to_be_bytes();
        [1, 0, 0, 0, flags, c0, c1, c2, a0, a1, a2, a3, h0, h1, h2, h3, e0, e1, e2, e3]
    }
}
