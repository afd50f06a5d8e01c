//! The in-process Cx link of a lab, with its cost and its trace.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cx::{Link, Local, LocalPeers, Origin, PeerLink, Reply, Request, Server};
use node::wire;

/// A link of one CSCF. The HSS answers in the caller's thread, so its time is counted here and taken off there.
pub(crate) struct MeteredLink {
    caller: &'static str,
    link: Local,
    calls: AtomicU64,
    spent: Arc<AtomicU64>,
}

/// How the S-CSCF calls itself, and the HSS it.
pub(crate) const S_CSCF: &str = "S-CSCF";

/// The HSS's way to the S-CSCF.
pub(crate) fn to_scscf(domain: &str, server: Arc<dyn Server>) -> Arc<dyn PeerLink> {
    let peers = LocalPeers::new(Origin { host: "hss".into(), realm: domain.into() });
    peers.add(&S_CSCF.to_ascii_lowercase(), server);
    Arc::new(peers)
}

/// One call of so many is timed and stands for all: in a guest kernel a look at the clock costs more than the HSS.
const SAMPLE: u64 = 15;

impl MeteredLink {
    pub(crate) fn new(caller: &'static str, domain: &str, server: Arc<dyn Server>) -> (Self, Spent) {
        let spent = Arc::<AtomicU64>::default();
        let origin = Origin { host: caller.to_ascii_lowercase(), realm: domain.into() };
        let link = Local::new(origin, server);
        (Self { caller, link, calls: AtomicU64::new(0), spent: Arc::clone(&spent) }, Spent(spent))
    }
}

impl Link for MeteredLink {
    fn call(&self, request: Request, reply: Reply) {
        let (asked, answered) = (request.name(), request.answer_name());
        wire::asked(self.caller, "HSS", asked);
        if self.calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(SAMPLE) {
            let started = Instant::now();
            self.link.call(request, reply);
            let nanoseconds = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.spent.fetch_add(nanoseconds.saturating_mul(SAMPLE), Ordering::Relaxed);
        } else {
            self.link.call(request, reply);
        }
        wire::asked("HSS", self.caller, answered);
    }
}

/// Time the HSS has spent on one caller.
#[derive(Debug, Clone)]
pub(crate) struct Spent(Arc<AtomicU64>);

impl Spent {
    pub(crate) fn time(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}
