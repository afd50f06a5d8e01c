//! The node behind a lock, and what carries out its wishes.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use crate::peer::Now;
use crate::peer::calling::Target;
use crate::peer::connection::{Proof, Side};
use crate::peer::duplicates::Limits;
use crate::peer::node::{Asked, Node, Output, Settings};
use crate::peer::serving::Ticket;
use crate::{Answer, LinkError, Reply, Request, Server};

/// Longer than any client of ours waits before it asks again.
pub(super) const REMEMBERED: Limits =
    Limits { time: Duration::from_secs(30), entries: 32 * 1024, octets: 16 * 1024 * 1024 };

/// One node. Whoever has something to tell it takes the lock, and carries out what comes of it without the lock.
pub(super) struct Shared {
    begin: Instant,
    inner: Mutex<Inner>,
    /// The first deadline has come closer, or all is over.
    timer: Notify,
    pub(super) usable: watch::Sender<bool>,
    over: watch::Sender<bool>,
    pub(super) server: OnceLock<Arc<dyn Server>>,
    dialler: OnceLock<Box<dyn Fn(usize) + Send + Sync>>,
}

struct Inner {
    node: Node<Once>,
    writers: HashMap<u64, Arc<Notify>>,
    /// What the timer sleeps for.
    armed: Option<Now>,
}

impl Shared {
    pub(super) fn new(settings: Settings) -> Arc<Self> {
        // Unpredictable enough to keep two nodes out of step; no key depends on it.
        let seed = RandomState::new().build_hasher().finish();
        let inner = Inner { node: Node::new(settings, seed), writers: HashMap::new(), armed: None };
        Arc::new(Self {
            begin: Instant::now(),
            inner: Mutex::new(inner),
            timer: Notify::new(),
            usable: watch::Sender::new(false),
            over: watch::Sender::new(false),
            server: OnceLock::new(),
            dialler: OnceLock::new(),
        })
    }

    /// Starts the timer, and with a dialler the first attempts. Inside a runtime.
    pub(super) fn start(self: &Arc<Self>, dialler: Option<Box<dyn Fn(usize) + Send + Sync>>) {
        if let Some(dialler) = dialler {
            let _ = self.dialler.set(dialler);
        }
        tokio::spawn(Arc::clone(self).keep_time());
        self.with(|node, _| node.start());
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Now {
        self.begin.elapsed()
    }

    /// Tells the node something and does what it wants.
    pub(super) fn with<T>(self: &Arc<Self>, tell: impl FnOnce(&mut Node<Once>, Now) -> T) -> T {
        let mut inner = self.lock();
        let told = tell(&mut inner.node, self.now());
        self.carry_out(inner);
        told
    }

    pub(super) fn opened(
        self: &Arc<Self>,
        side: Side,
        local: IpAddr,
        proof: Option<Proof>,
    ) -> (u64, Arc<Notify>) {
        let wake = Arc::new(Notify::new());
        let mut inner = self.lock();
        let id = inner.node.opened(self.now(), side, local, proof);
        inner.writers.insert(id, Arc::clone(&wake));
        self.carry_out(inner);
        (id, wake)
    }

    pub(super) fn forget(&self, id: u64) {
        self.lock().writers.remove(&id);
    }

    pub(super) fn call(self: &Arc<Self>, target: Target, request: Request, reply: Reply) {
        self.with(|node, now| node.call(now, target, request, Once(Some(reply))));
    }

    fn carry_out(self: &Arc<Self>, mut inner: MutexGuard<'_, Inner>) {
        let outputs = std::mem::take(&mut inner.node.outputs);
        let mut rest = Vec::with_capacity(outputs.len());
        for output in outputs {
            match output {
                Output::Write(id) => {
                    if let Some(writer) = inner.writers.get(&id) {
                        writer.notify_one();
                    }
                }
                other => rest.push(other),
            }
        }
        if self.dialler.get().is_some() {
            let usable = inner.node.is_usable();
            self.usable.send_if_modified(|before| std::mem::replace(before, usable) != usable);
        }
        let deadline = inner.node.deadline();
        let closer = deadline.is_some_and(|deadline| inner.armed.is_none_or(|armed| deadline < armed));
        if closer || inner.node.is_over() {
            self.timer.notify_one();
        }
        drop(inner);
        for output in rest {
            match output {
                Output::Write(_) => {}
                Output::Dial(place) => {
                    if let Some(dial) = self.dialler.get() {
                        dial(place);
                    }
                }
                Output::Serve(asked) => {
                    let Asked { ticket, from, request } = *asked;
                    let ticket = Waiting { shared: Arc::clone(self), ticket: Some(ticket) };
                    if let Some(server) = self.server.get() {
                        server.handle(&from, request, Box::new(move |answer| ticket.answer(answer)));
                    }
                }
                Output::Reply { to, result } => to.end(result),
            }
        }
    }

    async fn keep_time(self: Arc<Self>) {
        let abandon = Abandon(Arc::clone(&self));
        loop {
            let deadline = {
                let mut inner = self.lock();
                if inner.node.is_over() {
                    break;
                }
                inner.armed = inner.node.deadline();
                inner.armed
            };
            match deadline {
                Some(deadline) => tokio::select! {
                    () = sleep_until(self.begin + deadline) => self.with(|node, now| node.expire(now)),
                    () = self.timer.notified() => {}
                },
                None => self.timer.notified().await,
            }
        }
        drop(abandon);
        self.over.send_replace(true);
    }

    /// After the node was stopped: returns when every connection is gone.
    pub(super) async fn over(&self) {
        let _ = self.over.subscribe().wait_for(|over| *over).await;
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a Diameter node, usable: {}", *self.usable.borrow())
    }
}

/// Ends every call when the runtime goes away under the timer.
struct Abandon(Arc<Shared>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.with(|node, _| node.abandon());
    }
}

/// A request the server works on. It counts as refused when the server drops it.
struct Waiting {
    shared: Arc<Shared>,
    ticket: Option<Ticket>,
}

impl Waiting {
    fn answer(mut self, answer: Answer) {
        if let Some(ticket) = self.ticket.take() {
            self.shared.with(|node, _| node.answered(ticket, Some(answer)));
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.shared.with(|node, _| node.answered(ticket, None));
        }
    }
}

/// Makes sure that every reply is called, also when the node goes away under it.
pub(super) struct Once(Option<Reply>);

impl Once {
    fn end(mut self, result: Result<Answer, LinkError>) {
        if let Some(reply) = self.0.take() {
            reply(result);
        }
    }
}

impl Drop for Once {
    fn drop(&mut self) {
        if let Some(reply) = self.0.take() {
            reply(Err(LinkError::ConnectionLost));
        }
    }
}
