//! What happened between users, in words and in JSON.

use std::fmt;

use serde_json::{Value, json};

use super::{Answer, CallId, CallStep, ReceivedRequest};

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.reason)?;
        match self.asserted.as_slice() {
            _ if self.local => f.write_str(" (nobody answered)"),
            [] => Ok(()),
            asserted => write!(f, " by {}", asserted.join(", ")),
        }
    }
}

impl fmt::Display for ReceivedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(call) = self.call {
            write!(f, "call {call}: ")?;
        }
        write!(f, "received {} from {}", self.method, self.from)?;
        match self.asserted.as_slice() {
            [] => f.write_str(", asserted by nobody")?,
            asserted => write!(f, ", asserted {}", asserted.join(", "))?,
        }
        if let Some(privacy) = &self.privacy {
            write!(f, ", privacy {privacy}")?;
        }
        if let Some(text) = &self.text {
            write!(f, ": {text:?}")?;
        }
        Ok(())
    }
}

impl fmt::Display for CallStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calling => f.write_str("calling"),
            Self::Incoming => f.write_str("somebody calls"),
            Self::Ringing { status, reliable } => {
                write!(f, "rings ({status}{})", if *reliable { ", reliably" } else { "" })
            }
            Self::Answered(answer) => write!(f, "answered with {answer}"),
            Self::Confirmed => f.write_str("answered and confirmed"),
            Self::Refused(answer) => write!(f, "refused with {answer}"),
            Self::Declined { status } => write!(f, "declined with {status}"),
            Self::Cancelled => f.write_str("the caller has taken it back"),
            Self::Changed { method, answer } => write!(f, "{method} answered with {answer}"),
            Self::Ended { by } => write!(f, "ended: {}", by.as_str()),
            Self::Failed(failure) => write!(f, "failed: {failure}"),
        }
    }
}

impl ReceivedRequest {
    pub(super) fn to_json(&self) -> Value {
        json!({
            "step": "received",
            "call": self.call.map(|call| call.0),
            "method": self.method,
            "request_uri": self.request_uri,
            "from": self.from,
            "to": self.to,
            "asserted": self.asserted,
            "privacy": self.privacy,
            "called_party": self.called_party,
            "subject": self.subject,
            "body_length": self.body_length,
            "text": self.text,
            "status": self.status,
        })
    }
}

impl CallStep {
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Calling => "calling",
            Self::Incoming => "incoming",
            Self::Ringing { .. } => "ringing",
            Self::Answered(_) => "answered",
            Self::Confirmed => "confirmed",
            Self::Refused(_) => "refused",
            Self::Declined { .. } => "declined",
            Self::Cancelled => "cancelled",
            Self::Changed { .. } => "changed",
            Self::Ended { .. } => "ended",
            Self::Failed(_) => "failed",
        }
    }

    pub(super) fn to_json(&self, call: CallId) -> Value {
        let mut value = json!({ "step": "call", "call": call.0, "is": self.as_str() });
        let more = match self {
            Self::Ringing { status, reliable } => json!({ "status": status, "reliable": reliable }),
            Self::Declined { status } => json!({ "status": status }),
            Self::Ended { by } => json!({ "by": by.as_str() }),
            Self::Failed(failure) => json!({ "reason": failure.to_string() }),
            Self::Changed { method, .. } => json!({ "method": method.as_str() }),
            _ => json!({}),
        };
        add(&mut value, more);
        match self {
            Self::Answered(answer) | Self::Refused(answer) | Self::Changed { answer, .. } => {
                with_answer(value, answer)
            }
            _ => value,
        }
    }
}

/// A step and the answer it tells of.
pub(super) fn with_answer(mut step: Value, answer: &Answer) -> Value {
    add(
        &mut step,
        json!({
            "status": answer.status,
            "reason": answer.reason,
            "local": answer.local,
            "asserted": answer.asserted,
            "privacy": answer.privacy,
            "retry_after": answer.retry_after,
        }),
    );
    step
}

fn add(value: &mut Value, more: Value) {
    if let (Value::Object(object), Value::Object(more)) = (value, more) {
        object.extend(more);
    }
}
