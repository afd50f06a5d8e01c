//! Who carries a request to the HSS: a Diameter connection, or a plain call in one process.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{Answer, BaseCode, Request};

/// A way to the HSS.
pub trait Link: Send + Sync {
    /// Sends `request` and calls `reply` exactly once: at once, or later from another thread.
    fn call(&self, request: Request, reply: Reply);
}

/// What happens with the answer. Must not block: a connection waits while it runs.
pub type Reply = Box<dyn FnOnce(Result<Answer, LinkError>) + Send>;

/// Why there is no answer. An answer that says no is an [`Answer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    #[error("reach the HSS: not connected")]
    NotConnected,
    #[error("reach the HSS: the connection was lost before the answer came")]
    ConnectionLost,
    #[error("reach the HSS: no answer in time")]
    Timeout,
    #[error("reach the HSS: too many requests are waiting for an answer")]
    Busy,
    #[error("reach the HSS: it answered with protocol error {0:?}")]
    Protocol(BaseCode),
    #[error("understand the HSS: its answer breaks the rule for {0:?}")]
    Answer(BaseCode),
    #[error("ask the HSS: the request does not fit a message")]
    Request,
}

/// What answers requests: the HSS.
pub trait Server: Send {
    /// Answers with the answer of the same operation.
    fn handle(&mut self, request: Request) -> Answer;
}

/// The link within one process: the server answers in the caller's thread.
pub struct Local(Arc<Mutex<dyn Server>>);

impl Local {
    pub fn new(server: Arc<Mutex<dyn Server>>) -> Self {
        Self(server)
    }
}

impl Link for Local {
    fn call(&self, request: Request, reply: Reply) {
        // A server that panicked once still answers the next user.
        let answer = self.0.lock().unwrap_or_else(PoisonError::into_inner).handle(request);
        reply(Ok(answer));
    }
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Local")
    }
}
