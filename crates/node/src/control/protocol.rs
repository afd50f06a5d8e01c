//! What the lines hold, without any socket.

use std::fmt::Display;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

/// The longest request, in octets.
pub const LONGEST_REQUEST: usize = 64 * 1024;

/// The longest answer, in octets: a client reads no more.
pub const LONGEST_ANSWER: usize = 64 * 1024 * 1024;

/// One line of the daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Answer {
    Done {
        result: Value,
    },
    /// The request was understood and not carried out.
    Refused {
        error: String,
    },
    /// The request was not understood.
    Malformed {
        error: String,
    },
}

/// The request type of a daemon that takes none.
#[derive(Debug, Clone, Copy, Deserialize)]
pub enum Nothing {}

impl Answer {
    pub fn done(result: &impl Serialize) -> Self {
        match serde_json::to_value(result) {
            Ok(result) => Self::Done { result },
            Err(error) => Self::refused(&error),
        }
    }

    /// `error` fits after "failed to …".
    pub fn refused(error: &dyn Display) -> Self {
        Self::Refused { error: error.to_string() }
    }

    /// The line with its end.
    pub fn to_line(&self) -> Vec<u8> {
        line(self).to_vec()
    }
}

/// A value as one line with its end: JSON escapes every control within. A request with keys is wiped, and leaves no
/// copy behind as long as it is not too long anyway.
pub fn line(value: &impl Serialize) -> Zeroizing<Vec<u8>> {
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST_REQUEST));
    if serde_json::to_writer(&mut *line, value).is_err() {
        line.clear();
    }
    line.push(b'\n');
    line
}

/// A request of one line, or the answer that says why it is none.
pub fn parse<R: DeserializeOwned>(line: &[u8]) -> Result<R, Answer> {
    serde_json::from_slice(line).map_err(|error| Answer::Malformed { error: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "command", rename_all = "lowercase", deny_unknown_fields)]
    enum Request {
        Add { one: u32, two: String },
    }

    #[test]
    fn what_is_not_a_request_is_named() {
        for bad in [
            "",
            "{",
            "null",
            "[]",
            "{\"command\":\"add\"}",
            "{\"command\":\"drop\"}",
            "{\"command\":\"add\",\"one\":-1,\"two\":\"\"}",
            "{\"command\":\"add\",\"one\":1,\"two\":\"\",\"three\":3}",
        ] {
            let Err(Answer::Malformed { error }) = parse::<Request>(bad.as_bytes()) else { panic!("{bad}") };
            assert!(!error.is_empty());
        }
        let deep = "[".repeat(100_000);
        assert!(parse::<Value>(deep.as_bytes()).is_err(), "depth is bounded");
        assert!(parse::<Nothing>(b"{}").is_err());
    }

    proptest! {
        #[test]
        fn requests_and_answers_are_read_as_written(one: u32, two in "\\PC{0,20}[\\n\\r\"]?") {
            let request = Request::Add { one, two: two.clone() };
            let written = line(&request);
            prop_assert_eq!(written.iter().filter(|octet| **octet == b'\n').count(), 1);
            prop_assert_eq!(parse::<Request>(&written), Ok(request));
            for answer in [Answer::done(&(one, &two)), Answer::refused(&two)] {
                prop_assert_eq!(serde_json::from_slice::<Answer>(&answer.to_line()).unwrap(), answer);
            }
        }

        #[test]
        fn never_panics(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse::<Request>(&line);
        }
    }
}
