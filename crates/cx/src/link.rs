//! Who carries a request to the other end: a Diameter connection, or a plain call in one process.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::{Answer, BaseCode, Origin, Request};

/// A way to the HSS.
pub trait Link: Send + Sync {
    /// Sends `request` and calls `reply` exactly once: at once, or later from another thread.
    fn call(&self, request: Request, reply: Reply);
}

/// The HSS's way to the CSCFs, each known by its Origin-Host.
pub trait PeerLink: Send + Sync {
    /// Like [`Link::call`], to the peer of that name.
    fn call(&self, to: &Origin, request: Request, reply: Reply);
}

/// What happens with the answer. Must not block: a connection waits while it runs.
pub type Reply = Box<dyn FnOnce(Result<Answer, LinkError>) + Send>;

/// Why there is no answer. An answer that says no is an [`Answer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    #[error("reach the Cx peer: not connected")]
    NotConnected,
    #[error("reach the Cx peer: the connection was lost before the answer came")]
    ConnectionLost,
    #[error("reach the Cx peer: no answer in time")]
    Timeout,
    #[error("reach the Cx peer: too many requests are waiting for an answer")]
    Busy,
    #[error("reach the Cx peer: it answered with protocol error {0:?}")]
    Protocol(BaseCode),
    #[error("understand the Cx peer: its answer breaks the rule for {0:?}")]
    Answer(BaseCode),
    #[error("ask the Cx peer: the request does not fit a message")]
    Request,
}

/// What answers requests: the HSS, and an S-CSCF for what the HSS asks of its own accord.
pub trait Server: Send + Sync {
    /// Calls `answer` exactly once, with the answer of the same operation: at once, or later from another thread.
    fn handle(&self, from: &Origin, request: Request, answer: AnswerWith);
}

/// Where an answer goes. Must not block.
pub type AnswerWith = Box<dyn FnOnce(Answer) + Send>;

/// The link within one process: the server is called in the caller's thread.
pub struct Local {
    origin: Origin,
    server: Arc<dyn Server>,
}

impl Local {
    /// `origin` is whom the server takes the caller for.
    pub fn new(origin: Origin, server: Arc<dyn Server>) -> Self {
        Self { origin, server }
    }
}

impl Link for Local {
    fn call(&self, request: Request, reply: Reply) {
        self.server.handle(&self.origin, request, Box::new(|answer| reply(Ok(answer))));
    }
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Local({})", self.origin.host)
    }
}

/// The other direction within one process: the HSS finds each CSCF by its name.
pub struct LocalPeers {
    origin: Origin,
    servers: RwLock<HashMap<String, Arc<dyn Server>>>,
}

impl LocalPeers {
    /// `origin` is the HSS's.
    pub fn new(origin: Origin) -> Self {
        Self { origin, servers: RwLock::default() }
    }

    /// Replaces one of the same name.
    pub fn add(&self, host: &str, server: Arc<dyn Server>) {
        self.servers.write().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned(), server);
    }
}

impl PeerLink for LocalPeers {
    fn call(&self, to: &Origin, request: Request, reply: Reply) {
        let server = self.servers.read().unwrap_or_else(PoisonError::into_inner).get(&to.host).cloned();
        match server {
            Some(server) => server.handle(&self.origin, request, Box::new(|answer| reply(Ok(answer)))),
            None => reply(Err(LinkError::NotConnected)),
        }
    }
}

impl std::fmt::Debug for LocalPeers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LocalPeers of {}", self.origin.host)
    }
}
