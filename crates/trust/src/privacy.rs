//! The Privacy header (RFC 3323 4.2, RFC 3325 9.3, RFC 7044) and what a privacy service does for it.

mod execute;
#[cfg(test)]
mod tests;

use std::fmt;

use sip::{Draft, Message, Name, text};

pub use execute::{Service, answer_as_asked};

/// More values in one header serve nobody.
const MOST_VALUES: usize = 16;

/// What the sender of a message wants. One that exists obeys the grammar: `none` stands alone, `critical` never does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Privacy {
    /// Each once, in their order; empty: `none`.
    values: Vec<Value>,
    critical: bool,
}

/// One kind of privacy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// The asserted identity stays within the trust domain.
    Id,
    /// What the user agent wrote about its user is made anonymous.
    User,
    /// Via, Contact and Record-Route tell nothing: needs a B2BUA, not built.
    Header,
    /// The media tell nothing: not built.
    Session,
    /// History-Info stays within the trust domain.
    History,
    /// A word that we do not know.
    Unknown(Box<str>),
}

/// Why a Privacy header is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrivacyError {
    #[error("accept more than one Privacy header")]
    Repeated,
    #[error("read the Privacy header: values are words with ; between them")]
    Malformed,
    #[error("accept a value twice in the Privacy header")]
    Twice,
    #[error("accept that many values in the Privacy header")]
    TooMany,
    #[error("accept none together with another value in the Privacy header")]
    NoneNotAlone,
    #[error("accept critical without a value that is critical in the Privacy header")]
    CriticalAlone,
    #[error("provide the critical privacy: {0}")]
    Unmet(Unmet),
}

/// The values that cannot be provided, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet(Vec<Value>);

impl Privacy {
    /// `None`: the header is absent, no privacy is wanted.
    pub fn of(message: &Message) -> Result<Option<Self>, PrivacyError> {
        let mut lines = message.lines(Name::Privacy);
        let Some(line) = lines.next() else { return Ok(None) };
        //= RFC 3261 7.3.1: a header that is no comma list may be there once
        if lines.next().is_some() {
            return Err(PrivacyError::Repeated);
        }
        Self::parse(line).map(Some)
    }

    /// As [`Self::of`]; for a response, which cannot be refused, what nobody can read counts as [`Self::cautious`].
    pub fn of_response(response: &Message) -> Option<Self> {
        Self::of(response).unwrap_or_else(|_| Some(Self::cautious()))
    }

    /// Reads the value of the header.
    //= RFC 3323 4.2
    pub fn parse(header: &str) -> Result<Self, PrivacyError> {
        let mut privacy = Self::none();
        let mut none = false;
        for (at, word) in header.split(';').map(str::trim_ascii).enumerate() {
            if at == MOST_VALUES {
                return Err(PrivacyError::TooMany);
            }
            let is = |known: &str| word.eq_ignore_ascii_case(known);
            if is("none") {
                if std::mem::replace(&mut none, true) {
                    return Err(PrivacyError::Twice);
                }
            } else if is("critical") {
                if std::mem::replace(&mut privacy.critical, true) {
                    return Err(PrivacyError::Twice);
                }
            } else {
                let value = Value::parse(word).ok_or(PrivacyError::Malformed)?;
                if privacy.asks(&value) {
                    return Err(PrivacyError::Twice);
                }
                privacy.values.push(value);
            }
        }
        match (none, privacy.values.is_empty(), privacy.critical) {
            (true, true, false) | (false, false, _) => Ok(privacy),
            (true, ..) => Err(PrivacyError::NoneNotAlone),
            (false, true, _) => Err(PrivacyError::CriticalAlone),
        }
    }

    /// `none`: nothing may be changed for privacy.
    pub const fn none() -> Self {
        Self { values: Vec::new(), critical: false }
    }

    /// All that can be provided, for a sender of whom only is known that he wants privacy.
    pub fn cautious() -> Self {
        Self { values: vec![Value::Id, Value::User, Value::History], critical: false }
    }

    pub fn is_none(&self) -> bool {
        self.values.is_empty()
    }

    pub const fn is_critical(&self) -> bool {
        self.critical
    }

    pub fn asks(&self, value: &Value) -> bool {
        self.values.contains(value)
    }

    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(Value::as_str)
    }

    /// Both together: what one of them wants is wanted.
    pub fn and(mut self, other: &Self) -> Self {
        for value in &other.values {
            if !self.asks(value) && self.values.len() < MOST_VALUES {
                self.values.push(value.clone());
            }
        }
        self.critical |= other.critical;
        self
    }

    /// Whether all that is critical can be provided. Before a request goes on anywhere.
    //= RFC 3323 5
    pub fn check(&self) -> Result<(), PrivacyError> {
        let unmet: Vec<_> = self.values.iter().filter(|value| !value.is_built()).cloned().collect();
        if self.critical && !unmet.is_empty() {
            return Err(PrivacyError::Unmet(Unmet(unmet)));
        }
        Ok(())
    }
}

/// As the header has it.
impl fmt::Display for Privacy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str("none");
        }
        write_joined(f, &self.values, ";")?;
        f.write_str(if self.critical { ";critical" } else { "" })
    }
}

fn write_joined(f: &mut fmt::Formatter<'_>, values: &[Value], separator: &str) -> fmt::Result {
    for (at, value) in values.iter().enumerate() {
        f.write_str(if at == 0 { "" } else { separator })?;
        f.write_str(value.as_str())?;
    }
    Ok(())
}

impl Value {
    fn parse(word: &str) -> Option<Self> {
        let lower = word.to_ascii_lowercase();
        match lower.as_str() {
            "id" => Some(Self::Id),
            "user" => Some(Self::User),
            "header" => Some(Self::Header),
            "session" => Some(Self::Session),
            "history" => Some(Self::History),
            other => text::is_token(other).then(|| Self::Unknown(other.into())),
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Self::Id => "id",
            Self::User => "user",
            Self::Header => "header",
            Self::Session => "session",
            Self::History => "history",
            Self::Unknown(word) => word,
        }
    }

    /// Whether a proxy can provide it.
    const fn is_built(&self) -> bool {
        matches!(self, Self::Id | Self::User | Self::History)
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_joined(f, &self.0, ", ")
    }
}

impl PrivacyError {
    /// Status and reason phrase of the answer.
    pub fn status(&self) -> (u16, String) {
        match self {
            //= RFC 3323 5: 500, and the reason names what is missing
            Self::Unmet(unmet) => (500, format!("Privacy required: {unmet}")),
            Self::Repeated => (400, "Repeated Privacy Header".into()),
            Self::Malformed => (400, "Malformed Privacy Header".into()),
            Self::Twice => (400, "Repeated Value in Privacy Header".into()),
            Self::TooMany => (400, "Too Many Values in Privacy Header".into()),
            Self::NoneNotAlone => (400, "Privacy: none Stands Alone".into()),
            Self::CriticalAlone => (400, "Privacy: critical Needs a Value".into()),
        }
    }
}

/// What the subscription wants for its user's requests (seed 6.5.1 item g).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OnBehalf {
    pub id: bool,
    pub user: bool,
}

/// Adds to the request's Privacy what the subscription wants. A user who says `none` is obeyed.
pub fn on_behalf(request: &Message, draft: &mut Draft<'_>, wanted: OnBehalf) -> Result<(), PrivacyError> {
    let said = Privacy::of(request)?;
    //= RFC 3323 4.2: none asks that no privacy be applied, whatever the service of the user is
    if said.as_ref().is_some_and(Privacy::is_none) || !(wanted.id || wanted.user) {
        return Ok(());
    }
    let mut privacy = said.unwrap_or_else(Privacy::none);
    for (value, wanted) in [(Value::User, wanted.user), (Value::Id, wanted.id)] {
        if wanted && !privacy.asks(&value) {
            privacy.values.push(value);
        }
    }
    draft.set(Name::Privacy, privacy.to_string());
    Ok(())
}
