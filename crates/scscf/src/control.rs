//! What an operator may ask over the control socket, and what the answer holds. No secret is in it.

use crate::core::{Command, CommandError, Done, Initiator, Removal, User};
use crate::registrar::RegisteredUser;
use aka::{Impi, Impu};
use cx::{CriteriaSummary, FilterCriteria};
use serde::{Deserialize, Serialize};

/// Users in one answer.
const MOST_USERS: usize = 10_000;

/// One line of the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// The registered users, or this one.
    List {
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// How many at most.
        #[serde(skip_serializing_if = "Option::is_none")]
        most: Option<usize>,
    },
    Deregister {
        /// IMPI or IMPU.
        user: String,
        how: How,
        /// Seconds to stay away; with `probation` only.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after: Option<u32>,
    },
    Reauthenticate {
        /// IMPI or IMPU.
        user: String,
        /// Seconds the UE has.
        expires: u32,
    },
}

/// What a de-registered UE shall do next (RFC 3680).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// Register again.
    Deactivated,
    /// Register again later.
    Probation,
    /// Stay away.
    Rejected,
}

/// The result of `list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// Of all registered private identities, listed or not.
    pub registered: usize,
    pub users: Vec<ListedUser>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedUser {
    pub impi: String,
    /// The implicit registration set without barred identities, default first.
    pub impus: Vec<String>,
    /// The filter criteria of the profile, in its order.
    #[serde(default)]
    pub filter_criteria: Vec<ListedCriteria>,
    pub contacts: Vec<ListedContact>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedCriteria {
    /// The lowest is evaluated first.
    pub priority: Option<u32>,
    pub application_server: Option<String>,
    /// What it matches; none: everything.
    pub trigger: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedContact {
    /// `<uri>;param=value`
    pub contact: String,
    pub path: Vec<String>,
    /// Seconds left of what the UE was told.
    pub remaining: u64,
}

/// The result of `deregister` and `reauthenticate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The private identities it concerned.
    pub users: Vec<String>,
    pub contacts: usize,
    /// Subscriptions that hear of it: UEs and P-CSCFs.
    pub watchers: usize,
}

/// Why a request is no command. The texts fit after "failed to …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    #[error("read the user as a private identity (user@realm) or a public one (sip:, sips: or tel:)")]
    User,
    #[error("use retry_after with anything but probation, or probation without it")]
    RetryAfter,
}

impl Request {
    pub(crate) fn command(self) -> Result<Command, RequestError> {
        Ok(match self {
            Self::List { user, most } => Command::List {
                user: user.as_deref().map(named).transpose()?,
                most: most.unwrap_or(MOST_USERS).min(MOST_USERS),
            },
            Self::Deregister { user, how, retry_after } => Command::Deregister {
                user: named(&user)?,
                removal: match (how, retry_after) {
                    (How::Deactivated, None) => Removal::Deactivated,
                    (How::Rejected, None) => Removal::Rejected,
                    (How::Probation, Some(retry_after)) => Removal::Probation { retry_after },
                    _ => return Err(RequestError::RetryAfter),
                },
                by: Initiator::Operator,
            },
            Self::Reauthenticate { user, expires } => {
                Command::Reauthenticate { user: named(&user)?, expires }
            }
        })
    }
}

/// A private identity is no URI, so that one text never means both.
fn named(user: &str) -> Result<User, RequestError> {
    match (Impi::new(user), Impu::new(user)) {
        (Ok(impi), _) => Ok(User::Impi(impi)),
        (Err(_), Ok(impu)) => Ok(User::Impu(impu)),
        _ => Err(RequestError::User),
    }
}

/// Gives the operator what a command has done.
pub(crate) fn answer(reply: node::control::ReplyTo, result: Result<Done, CommandError>) {
    let names = |users: Vec<Impi>| users.iter().map(|impi| impi.as_str().to_owned()).collect();
    match result {
        Ok(Done::Users { registered, users }) => {
            reply.done(&List { registered, users: users.into_iter().map(ListedUser::from).collect() });
        }
        Ok(
            Done::Deregistered { users, contacts, watchers }
            | Done::Reauthenticating { users, contacts, watchers },
        ) => reply.done(&Changed { users: names(users), contacts, watchers }),
        Err(error) => reply.refuse(&error),
    }
}

impl From<&FilterCriteria> for ListedCriteria {
    fn from(criteria: &FilterCriteria) -> Self {
        let CriteriaSummary { priority, application_server, trigger, .. } = criteria.summary();
        Self { priority, application_server, trigger }
    }
}

impl From<RegisteredUser> for ListedUser {
    fn from(user: RegisteredUser) -> Self {
        let contacts = user.contacts.into_iter().map(|contact| ListedContact {
            contact: contact.contact,
            path: contact.path,
            remaining: contact.remaining.as_secs(),
        });
        Self {
            impi: user.impi.as_str().to_owned(),
            impus: user.associated.iter().map(|impu| impu.as_str().to_owned()).collect(),
            filter_criteria: user.criteria.iter().map(ListedCriteria::from).collect(),
            contacts: contacts.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use node::control::protocol::parse;

    fn command(line: &str) -> Result<Command, RequestError> {
        parse::<Request>(line.as_bytes()).unwrap().command()
    }

    #[test]
    fn lines_become_commands() {
        let user = || User::Impi(Impi::new("a@home.example").unwrap());
        assert_eq!(
            command(r#"{"command":"deregister","user":"a@home.example","how":"probation","retry_after":60}"#),
            Ok(Command::Deregister {
                user: user(),
                removal: Removal::Probation { retry_after: 60 },
                by: Initiator::Operator
            })
        );
        assert_eq!(
            command(r#"{"command":"reauthenticate","user":"sip:a@home.example","expires":300}"#),
            Ok(Command::Reauthenticate {
                user: User::Impu(Impu::new("sip:a@home.example").unwrap()),
                expires: 300
            })
        );
        assert_eq!(command(r#"{"command":"list"}"#), Ok(Command::List { user: None, most: MOST_USERS }));
        let greedy = r#"{"command":"list","user":"a@home.example","most":99999999}"#;
        assert_eq!(command(greedy), Ok(Command::List { user: Some(user()), most: MOST_USERS }));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (line, error) in [
            (r#"{"command":"list","user":"nobody"}"#, RequestError::User),
            (r#"{"command":"reauthenticate","user":"","expires":300}"#, RequestError::User),
            (r#"{"command":"deregister","user":"a@b","how":"probation"}"#, RequestError::RetryAfter),
            (
                r#"{"command":"deregister","user":"a@b","how":"rejected","retry_after":1}"#,
                RequestError::RetryAfter,
            ),
        ] {
            assert_eq!(command(line), Err(error), "{line}");
        }
        for line in [
            r#"{"command":"deregister","user":"a@b","how":"killed"}"#,
            r#"{"command":"deregister","user":"a@b"}"#,
            r#"{"command":"reauthenticate","user":"a@b","expires":-1}"#,
            r#"{"command":"list","all":true}"#,
        ] {
            assert!(parse::<Request>(line.as_bytes()).is_err(), "{line}");
        }
    }
}
