//! What a UE does when others ask it.

use std::str::FromStr;
use std::time::Duration;

/// How a UE answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answering {
    /// It rings (180) this long after the INVITE.
    pub ring_after: Duration,
    /// The final answer leaves this long after the INVITE.
    pub answer_after: Duration,
    pub with: CallAnswer,
    /// It rings reliably (100rel) where the caller can take it; where the caller insists, it does so anyway.
    pub reliable: bool,
    /// Privacy of its answers, as it stands here.
    pub privacy: Option<Box<str>>,
    /// P-Preferred-Identity of its answers, as it stands here.
    pub preferred: Option<Box<str>>,
    /// P-Asserted-Identity of its answers, which no UE may write.
    pub asserted: Option<Box<str>>,
    /// Event packages that it lets others subscribe to; it says nothing but that they are subscribed.
    pub packages: Vec<Box<str>>,
}

/// What becomes of a call that comes in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CallAnswer {
    #[default]
    Answer,
    Busy,
    Decline,
    /// It rings until the caller gives up.
    Silence,
    /// 302 with this Contact.
    Redirect(Box<str>),
    /// Another refusal (300 to 699).
    Refuse {
        status: u16,
        reason: Box<str>,
    },
}

impl Default for Answering {
    fn default() -> Self {
        Self {
            ring_after: Duration::ZERO,
            answer_after: Duration::from_secs(1),
            with: CallAnswer::Answer,
            reliable: true,
            privacy: None,
            preferred: None,
            asserted: None,
            packages: Vec::new(),
        }
    }
}

impl CallAnswer {
    /// Status, reason phrase and Contact of the refusal.
    pub(super) fn refusal(&self) -> Option<(u16, &str, Option<&str>)> {
        match self {
            Self::Answer | Self::Silence => None,
            Self::Busy => Some((486, "Busy Here", None)),
            Self::Decline => Some((603, "Decline", None)),
            Self::Redirect(contact) => Some((302, "Moved Temporarily", Some(contact))),
            Self::Refuse { status, reason } => Some(((*status).clamp(300, 699), reason, None)),
        }
    }
}

impl CallAnswer {
    /// Those that have a name.
    pub const NAMES: [&str; 4] = ["answer", "busy", "decline", "silence"];
}

impl FromStr for CallAnswer {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "answer" => Ok(Self::Answer),
            "busy" => Ok(Self::Busy),
            "decline" => Ok(Self::Decline),
            "silence" => Ok(Self::Silence),
            _ => Err(()),
        }
    }
}
