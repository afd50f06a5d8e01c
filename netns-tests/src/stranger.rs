//! A SIP endpoint in the network of nobody's trust: it answers whatever comes, says what it likes, and remembers.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use lab::{Namespace, plan};
use node::{Arrival, Endpoints, Limits};
use sip::{Dialog, Draft, Flow, Message, Method, Name, Transmit};
use tokio::sync::mpsc;

/// Its session, which it never begins.
pub const SESSION: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n\
                           m=audio 49170 RTP/AVP 0\r\na=inactive\r\n";

/// Ends when dropped.
#[derive(Debug)]
pub struct Stranger {
    seen: Arc<Seen>,
    orders: Option<mpsc::UnboundedSender<Transmit>>,
    thread: Option<JoinHandle<()>>,
    serial: u32,
}

#[derive(Debug, Default)]
struct Seen {
    messages: Mutex<Vec<Message>>,
    more: Condvar,
}

const PATIENCE: Duration = Duration::from_secs(30);
const ADDRESS: SocketAddr = SocketAddr::new(plan::FOREIGN, 5060);

impl Stranger {
    pub fn start(namespace: &Namespace) -> Result<Self> {
        let seen = Arc::<Seen>::default();
        let (orders, queue) = mpsc::unbounded_channel();
        let (told, started) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().name("stranger".into()).spawn({
            let (namespace, seen) = (namespace.clone(), Arc::clone(&seen));
            move || {
                let prepared = namespace
                    .enter()
                    .and_then(|()| Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?));
                match prepared {
                    Ok(runtime) => runtime.block_on(live(&seen, queue, &told)),
                    Err(error) => drop(told.send(Err(error))),
                }
            }
        })?;
        started.recv().map_err(|_| anyhow!("the stranger's thread panicked"))??;
        Ok(Self { seen, orders: Some(orders), thread: Some(thread), serial: 0 })
    }

    /// A SIP URI of its own.
    pub fn uri() -> String {
        format!("sip:xavier@{}", plan::FOREIGN_DOMAIN)
    }

    /// A request outside of dialogs, with these lines beside those it needs.
    pub fn request(
        &mut self,
        method: Method<'static>,
        to: &str,
        lines: &[(Name, &str)],
        body: &[u8],
    ) -> Message {
        self.serial += 1;
        let serial = self.serial;
        let mut draft = Draft::request(method, to.to_owned());
        draft
            .push(Name::Via, format!("SIP/2.0/UDP {ADDRESS};branch=z9hG4bKx{serial}"))
            .push(Name::MaxForwards, "70")
            .push(Name::From, format!("<{}>;tag=x{serial}", Self::uri()))
            .push(Name::To, format!("<{to}>"))
            .push(Name::CallId, format!("x{serial}-{}", std::process::id()))
            .push(Name::CSeq, format!("{serial} {}", method.as_str()))
            .push(Name::Contact, format!("<sip:xavier@{ADDRESS}>"));
        for (name, value) in lines {
            draft.push(*name, (*value).to_owned());
        }
        draft.body(if method == Method::Message { "text/plain" } else { "application/sdp" }, body);
        draft.finish()
    }

    /// A request within a dialog of ours.
    pub fn within(&mut self, dialog: &mut Dialog, method: Method<'static>) -> Message {
        let draft = dialog.request(method);
        self.own(draft)
    }

    /// The ACK of a 2xx to our last INVITE in this dialog.
    pub fn acknowledgement(&mut self, dialog: &Dialog) -> Message {
        let draft = dialog.ack(dialog.local_cseq);
        self.own(draft)
    }

    fn own(&mut self, mut draft: Draft<'static>) -> Message {
        self.serial += 1;
        let serial = self.serial;
        draft.push_front(Name::Via, format!("SIP/2.0/UDP {ADDRESS};branch=z9hG4bKx{serial}"));
        draft.push(Name::Contact, format!("<sip:xavier@{ADDRESS}>"));
        draft.finish()
    }

    /// Sends it in one datagram.
    pub fn send(&self, message: &Message, to: SocketAddr) -> Result<()> {
        let transmit = Transmit { flow: Flow::udp(ADDRESS, to), bytes: message.bytes() };
        let orders = self.orders.as_ref().context("the stranger has ended")?;
        orders.send(transmit).map_err(|_| anyhow!("the stranger has ended"))
    }

    /// Sends a request and waits for its final answer.
    pub fn ask(&self, request: &Message, to: SocketAddr) -> Result<Message> {
        self.send(request, to)?;
        let (call_id, cseq) = (request.call_id().to_owned(), request.first(Name::CSeq).map(str::to_owned));
        self.wait(|seen| {
            let is_final = seen.status().is_some_and(|status| status >= 200);
            is_final && seen.call_id() == call_id && seen.first(Name::CSeq) == cseq.as_deref()
        })
    }

    /// Takes the first message that fits of what has come, also if it is yet to come.
    pub fn wait(&self, fits: impl Fn(&Message) -> bool) -> Result<Message> {
        let deadline = Instant::now() + PATIENCE;
        let mut messages = self.seen.messages.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(at) = messages.iter().position(&fits) {
                return Ok(messages.remove(at));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let texts = messages.iter().map(|seen| String::from_utf8_lossy(&seen.bytes()).into_owned());
                bail!("what came to the stranger does not fit:\n{}", texts.collect::<Vec<_>>().join("\n"));
            }
            messages = self.seen.more.wait_timeout(messages, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for a request of this method.
    pub fn wait_for(&self, method: &str) -> Result<Message> {
        let wanted = |seen: &Message| seen.is_request() && seen.method().as_str() == method;
        self.wait(wanted).with_context(|| format!("wait for {method}"))
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn live(
    seen: &Seen,
    mut orders: mpsc::UnboundedReceiver<Transmit>,
    told: &std::sync::mpsc::Sender<Result<()>>,
) {
    let mut endpoints = Endpoints::new(Limits::default());
    let bound = endpoints.bind_udp(ADDRESS).and_then(|_| endpoints.bind_tcp(ADDRESS));
    let _ = told.send(bound.map(|_| ()).context("bind the stranger's address"));
    loop {
        tokio::select! {
            order = orders.recv() => {
                let Some(transmit) = order else { return };
                send(&mut endpoints, transmit);
            }
            arrival = endpoints.next() => {
                if let Arrival::Message { flow, message, .. } = arrival {
                    for answer in answers(&message) {
                        send(&mut endpoints, Transmit { flow, bytes: answer.bytes() });
                    }
                    seen.messages.lock().unwrap_or_else(PoisonError::into_inner).push(message);
                    seen.more.notify_all();
                }
            }
        }
    }
}

fn send(endpoints: &mut Endpoints, transmit: Transmit) {
    if let Err(error) = endpoints.send(transmit) {
        tracing::warn!(%error, "the stranger cannot send");
    }
    endpoints.flush();
}

/// What it answers at once: 180 and 200 to a call, 200 to all else.
fn answers(request: &Message) -> Vec<Message> {
    if !request.is_request() || request.method() == Method::Ack {
        return Vec::new();
    }
    let begins = request.method() == Method::Invite && request.to().is_ok_and(|to| to.tag().is_none());
    let reply = |status, reason| {
        let mut draft = Draft::reply(request, status, reason, Some("xavier"));
        for route in request.lines(Name::RecordRoute) {
            draft.push(Name::RecordRoute, route);
        }
        draft.push(Name::Contact, format!("<sip:xavier@{ADDRESS}>"));
        if request.method() == Method::Invite && status == 200 {
            draft.body("application/sdp", SESSION.as_bytes());
        }
        draft.finish()
    };
    let ringing = begins.then(|| reply(180, "Ringing"));
    ringing.into_iter().chain([reply(200, "OK")]).collect()
}
