use super::*;
use crate::{Flow, Received, Timers, Transport};
use std::net::SocketAddr;

struct Node {
    now: Instant,
    transactions: Transactions,
    proxy: Proxy<&'static str>,
}

impl Node {
    fn new() -> Self {
        Self { now: Instant::ZERO, transactions: Transactions::new(100), proxy: Proxy::default() }
    }

    fn receive(&mut self, text: String) -> Received {
        let message = Message::parse(text.into_bytes()).unwrap();
        self.transactions.receive(
            self.now,
            Flow::udp(address("10.0.0.1:5060"), address("10.0.0.9:5060")),
            Timers::CORE,
            message,
        )
    }

    /// A request comes and goes on; answers its server transaction and the branch it left with.
    fn forward(&mut self, method: &str, padding: usize) -> (ServerId, ClientId) {
        let Received::Request { id: server, request } = self.receive(request(method, padding)) else {
            panic!("no request")
        };
        let mut draft = Draft::forward(&request);
        let sender = Sender { address: address("10.0.0.1:5060"), branch: "z9hG4bKout" };
        let hop = Hop::new(&mut draft, sender, address("10.0.0.2:5060"), None, Timers::CORE);
        let relay = Relay { server, request: request.clone(), context: "context" };
        let id = self.proxy.forward(self.now, &mut self.transactions, relay, hop).unwrap();
        (server, id)
    }

    fn response(&mut self, status: u16, method: &str) -> Option<Arc<Relay<&'static str>>> {
        let text = format!(
            "SIP/2.0 {status} X\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKout\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKin\r\n\
             From: <sip:a@a>;tag=1\r\nTo: <sip:b@b>;tag=2\r\nCall-ID: c\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
        );
        let Received::Response { id, response } = self.receive(text) else { return None };
        self.proxy.answered(self.now, &mut self.transactions, id, response.status().unwrap())
    }

    fn sent(&mut self) -> Vec<(Transport, String)> {
        std::iter::from_fn(|| self.transactions.poll_transmit())
            .map(|transmit| (transmit.flow.transport, String::from_utf8(transmit.bytes.to_vec()).unwrap()))
            .collect()
    }

    fn methods(&mut self) -> Vec<String> {
        let first = |(_, text): &(Transport, String)| text.split(' ').next().unwrap_or_default().to_owned();
        self.sent().iter().map(first).collect()
    }

    /// Runs all timers up to this many seconds from the start.
    fn run(&mut self, seconds: u64) -> Vec<Failure<&'static str>> {
        let end = Instant::from_epoch(Duration::from_secs(seconds));
        let mut failures = Vec::new();
        loop {
            let next = self.transactions.next_timeout().into_iter().chain(self.proxy.next_timeout()).min();
            let Some(at) = next.filter(|at| *at <= end) else { break };
            self.now = at;
            self.transactions.handle_timeout(at);
            while let Some(event) = self.transactions.poll_event() {
                if let crate::Event::ClientTimeout(id) = event {
                    let failed = self.proxy.failed(at, &mut self.transactions, id, Cause::Silent);
                    failures.extend(failed);
                }
            }
            failures.extend(self.proxy.handle_timeout(at, &mut self.transactions));
        }
        self.now = end;
        failures
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn request(method: &str, padding: usize) -> String {
    format!(
        "{method} sip:b@b SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKin\r\nFrom: <sip:a@a>;tag=1\r\nTo: <sip:b@b>\r\n\
         Call-ID: c\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\nRoute: <sip:10.0.0.2;lr>\r\nSubject: {}\r\nContent-Length: 0\r\n\r\n",
        "x".repeat(padding)
    )
}

#[test]
fn sip_19_a_cancel_waits_for_a_provisional_response() {
    let mut node = Node::new();
    let (server, _) = node.forward("INVITE", 0);
    assert_eq!(node.methods(), ["INVITE"]);
    let cancel = Message::parse(request("CANCEL", 0).into_bytes()).unwrap();
    assert_eq!(node.proxy.cancel(node.now, &mut node.transactions, server, &cancel), None);
    assert!(node.methods().is_empty());
    assert!(node.response(180, "INVITE").is_none(), "nobody waits for the ringing any more");
    let sent = node.sent();
    let [(_, text)] = &sent[..] else { panic!("{sent:?}") };
    assert!(
        text.starts_with("CANCEL sip:b@b SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKout\r\n")
    );
    assert!(text.contains("Route: <sip:10.0.0.2;lr>") && text.contains("CSeq: 1 CANCEL"));
    assert!(node.response(200, "CANCEL").is_none());
    assert!(node.response(487, "INVITE").is_some());
    assert!(node.proxy.is_empty());
}

#[test]
fn sip_19_a_cancelled_invite_ends_also_when_nobody_confirms_it() {
    let mut node = Node::new();
    let (server, _) = node.forward("INVITE", 0);
    assert!(node.response(180, "INVITE").is_some());
    let cancel = Message::parse(request("CANCEL", 0).into_bytes()).unwrap();
    assert_eq!(node.proxy.cancel(node.now, &mut node.transactions, server, &cancel), None);
    let failures = node.run(40);
    assert_eq!(failures.iter().map(|failure| failure.cause).collect::<Vec<_>>(), [Cause::Cancelled]);
    assert!(node.proxy.is_empty() && node.proxy.next_timeout().is_none());
    assert_eq!(
        node.proxy.cancel(node.now, &mut node.transactions, server, &cancel),
        Some(server),
        "it is not under way any more"
    );
}

#[test]
fn sip_19_every_2xx_passes_until_timer_m() {
    let mut node = Node::new();
    node.forward("INVITE", 0);
    assert!(node.response(100, "INVITE").is_none());
    assert!(node.response(183, "INVITE").is_some());
    assert!(node.response(200, "INVITE").is_some());
    node.run(10);
    assert!(node.response(200, "INVITE").is_some(), "repeated, because the ACK was lost");
    assert!(node.run(33).is_empty());
    assert!(node.response(200, "INVITE").is_none());
    assert!(node.proxy.is_empty());
}

#[test]
fn sip_1_timer_c_cancels_what_rings_too_long() {
    let mut node = Node::new();
    node.forward("INVITE", 0);
    node.response(180, "INVITE");
    node.run(100);
    node.response(180, "INVITE");
    node.methods();
    assert!(node.run(284).is_empty());
    assert!(node.methods().is_empty(), "the second 180 has restarted it");
    node.run(285);
    assert_eq!(node.methods(), ["CANCEL"]);
    assert!(node.response(487, "INVITE").is_some());
    assert!(node.proxy.is_empty());
}

#[test]
fn sip_12_only_the_final_response_to_anything_but_invite_passes() {
    let mut node = Node::new();
    node.forward("MESSAGE", 0);
    assert!(node.response(100, "MESSAGE").is_none());
    assert!(node.response(180, "MESSAGE").is_none());
    assert!(node.response(200, "MESSAGE").is_some());
    assert!(node.proxy.is_empty());
}

#[test]
fn sip_1_silence_is_told_once() {
    for method in ["INVITE", "MESSAGE"] {
        let mut node = Node::new();
        node.forward(method, 0);
        let failures = node.run(300);
        assert_eq!(failures.iter().map(|failure| failure.cause).collect::<Vec<_>>(), [Cause::Silent]);
        assert!(node.proxy.is_empty());
    }
}

#[test]
fn sip_8_a_large_request_leaves_over_tcp_and_falls_back_to_udp() {
    let mut node = Node::new();
    let (_, id) = node.forward("MESSAGE", 1400);
    let sent = node.sent();
    assert!(sent[0].0 == Transport::Tcp && sent[0].1.contains("Via: SIP/2.0/TCP 10.0.0.1:5060"));
    node.transactions.abandon(id);
    assert!(node.proxy.failed(node.now, &mut node.transactions, id, Cause::Unreachable).is_none());
    let sent = node.sent();
    assert!(sent[0].0 == Transport::Udp && sent[0].1.contains("Via: SIP/2.0/UDP 10.0.0.1:5060"));
    assert!(node.response(200, "MESSAGE").is_some());
    assert!(node.proxy.is_empty());
    // Where UDP fails too, it has failed.
    let (_, id) = node.forward("OPTIONS", 0);
    node.transactions.abandon(id);
    let failure = node.proxy.failed(node.now, &mut node.transactions, id, Cause::Unreachable);
    assert_eq!(failure.map(|failure| failure.cause), Some(Cause::Unreachable));
}

#[test]
fn sip_11_a_503_says_nothing_about_us() {
    assert_eq!(upstream(503), Some((500, "Server Internal Error")));
    assert_eq!(upstream(486), None);
}
