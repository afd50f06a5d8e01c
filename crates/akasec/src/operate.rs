//! What `akasec reg` and `akasec sub` share: asking a daemon, telling what came of it, and the exit status.

use std::process::ExitCode;

use anyhow::Context;
use node::control::AskError;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The daemon understood, and did nothing: an unknown user, a value out of bounds.
const REFUSED: u8 = 1;
/// Nobody answered, or with what is no answer.
pub(crate) const NO_ANSWER: u8 = 3;

/// Prints the answer, as one JSON document or in `words`.
pub(crate) fn tell(
    asked: Result<Value, AskError>,
    json: bool,
    words: impl FnOnce(&Value) -> anyhow::Result<String>,
) -> anyhow::Result<ExitCode> {
    match asked {
        Ok(result) => {
            let words = if json { format!("{result}\n") } else { words(&result)? };
            crate::print(&words)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            if json {
                crate::print(&format!("{}\n", serde_json::json!({ "error": error.to_string() })))?;
            }
            eprintln!("error: failed to {error}");
            Ok(ExitCode::from(match error {
                AskError::Refused(_) | AskError::NotUnderstood(_) => REFUSED,
                _ => NO_ANSWER,
            }))
        }
    }
}

pub(crate) fn read<T: DeserializeOwned>(result: &Value) -> anyhow::Result<T> {
    serde_json::from_value(result.clone()).context("read the daemon's answer")
}
