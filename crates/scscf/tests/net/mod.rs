//! One S-CSCF, one HSS with a real AuC, one UE with a real card, on a virtual clock. The I-CSCF and P-CSCF are the
//! address the requests come from and the integrity-protected they write.
#![allow(dead_code)]

pub(crate) mod subscriber;
pub(crate) mod traffic;

use aka::{
    Algorithm, Amf, AuthVector, Auts, DigestAlgorithm, DigestInput, Impi, Impu, IndRange, Isim, IsimFailure,
    K, Nonce, Opc, Password, QopInput, Rand, Sqn, SqnArray, SqnGenerator,
};
use cx::{
    Anonymity, Answer, CxFailure, FilterCriteria, IdentityType, LinkError, MultimediaAuth, PublicIdentity,
    Request, RestorationInfo, ServerAssignment, ServerAssignmentRequest, ServerAssignmentType, ServerName,
    ServiceProfile, UserData,
};
use scscf::{Command, CommandError, CommandId, Config, CxId, CxRequestId, Done, Event, Input, Output, Scscf};
use sip::{Flow, Instant, Message, Method, Name};
use std::time::Duration;

pub(crate) const HOME: &str = "ims.mnc001.mcc001.3gppnetwork.org";
pub(crate) const IMPI: &str = "001010000000001@ims.mnc001.mcc001.3gppnetwork.org";
pub(crate) const IMPU: &str = "sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org";
pub(crate) const TEL: &str = "tel:+4930123";

const PATH: &str = "<sip:term@pcscf.visited.example;lr>, <sip:second.example;lr>";

pub(crate) const BARRED: &str = "sip:barred@ims.mnc001.mcc001.3gppnetwork.org";

/// One filter criteria of every profile.
pub(crate) const CRITERIA: &str = "<InitialFilterCriteria><Priority>7</Priority><ApplicationServer>\
    <ServerName>sip:as.home.example</ServerName></ApplicationServer></InitialFilterCriteria>";

/// A profile with these identities, barred or not.
pub(crate) fn profile(identities: &[(&str, bool)]) -> UserData {
    let identity = |(text, barred): &(&str, bool)| PublicIdentity {
        identity: Impu::new(text).unwrap(),
        barred: *barred,
        kind: IdentityType::DistinctUser,
    };
    let identities = identities.iter().map(identity).collect();
    let filter_criteria = vec![FilterCriteria { xml: CRITERIA.into() }];
    UserData {
        private_id: Impi::new(IMPI).unwrap(),
        profiles: vec![ServiceProfile { identities, filter_criteria, ..ServiceProfile::default() }],
    }
}

fn algorithm() -> Algorithm {
    Algorithm::milenage(K::from_bytes([0x46; 16]), Opc::from_bytes([0xcd; 16]))
}

pub(crate) struct Hss {
    algorithm: Algorithm,
    sqn: SqnGenerator,
    rands: u64,
    pub(crate) failure: Option<CxFailure>,
    pub(crate) unreachable: bool,
    /// Vectors in an answer, whatever was asked for.
    pub(crate) gives: Option<u32>,
    /// Whether somebody is registered, and what the S-CSCF has left of him.
    pub(crate) registered: bool,
    pub(crate) kept: Vec<RestorationInfo>,
    /// Barring of the identity that is registered; the other one stays.
    pub(crate) barred: bool,
    pub(crate) anonymity: Anonymity,
    /// The user's identities in the place of the usual ones: (IMPU, barred).
    pub(crate) identities: Option<Vec<(&'static str, bool)>>,
}

impl Hss {
    fn new() -> Self {
        let sqn = SqnGenerator::new(Sqn::default(), IndRange::ALL);
        Self {
            algorithm: algorithm(),
            sqn,
            rands: 0,
            failure: None,
            unreachable: false,
            gives: None,
            registered: false,
            kept: Vec::new(),
            barred: false,
            anonymity: Anonymity::default(),
            identities: None,
        }
    }

    fn vector(&mut self) -> AuthVector {
        self.rands += 1;
        let mut rand = [0x23; 16];
        rand[..8].copy_from_slice(&self.rands.to_be_bytes());
        let sqn = self.sqn.next().unwrap();
        self.algorithm.vector(Rand::from_bytes(rand), sqn, Amf::from_hex("8000").unwrap())
    }

    /// Answers what is left for the S-CSCF that asks.
    fn assigned(&mut self, sar: &ServerAssignmentRequest) -> Vec<RestorationInfo> {
        use ServerAssignmentType::{
            AuthenticationFailure, AuthenticationTimeout, NoAssignment, ReRegistration, Registration,
        };
        let left = match sar.assignment {
            NoAssignment | Registration => self.kept.clone(),
            _ => Vec::new(),
        };
        if let Some(info) = &sar.restoration {
            self.kept.retain(|other| other.impi != info.impi);
            self.kept.push(info.clone());
        }
        match sar.assignment {
            Registration | ReRegistration => self.registered = true,
            NoAssignment | AuthenticationFailure | AuthenticationTimeout => {}
            _ => (self.registered, self.kept) = (false, Vec::new()),
        }
        left
    }

    fn answer(&mut self, request: &Request) -> Result<Answer, LinkError> {
        if self.unreachable {
            return Err(LinkError::NotConnected);
        }
        Ok(match (request, self.failure.clone()) {
            (request, Some(failure)) => request.refused(failure),
            (Request::Mar(mar), None) => {
                if let Some((rand, auts)) = &mar.resync {
                    match self.algorithm.resynchronise(rand, auts) {
                        Ok(sqn) => self.sqn.resynchronise(sqn),
                        Err(_) => return Ok(Answer::Maa(Err(CxFailure::Base(cx::BaseCode::UnableToComply)))),
                    };
                }
                let wanted = self.gives.unwrap_or(mar.items);
                let vectors = (0..wanted).map(|_| self.vector()).collect();
                Answer::Maa(Ok(MultimediaAuth { vectors }))
            }
            (Request::Sar(sar), None) => {
                if sar.assignment == ServerAssignmentType::NoAssignment && !self.registered {
                    return Ok(request.refused(cx::BaseCode::UnableToComply));
                }
                let restoration = self.assigned(sar);
                let usual = vec![(BARRED, true), (IMPU, self.barred), (TEL, false)];
                let mut user_data = profile(self.identities.as_ref().unwrap_or(&usual));
                user_data.profiles.iter_mut().for_each(|one| one.anonymity = self.anonymity);
                let user_data = Some(user_data);
                let impi = sar.impi.is_none().then(|| Impi::new(IMPI).unwrap());
                Answer::Saa(Ok(ServerAssignment {
                    impi,
                    user_data,
                    restoration,
                    ..ServerAssignment::default()
                }))
            }
            (other, None) => panic!("an S-CSCF sends no {}", other.name()),
        })
    }
}

pub(crate) struct Net {
    pub(crate) now: Instant,
    pub(crate) scscf: Scscf,
    pub(crate) hss: Hss,
    pub(crate) card: Isim,
    pub(crate) events: Vec<Event>,
    /// The RANDs that came with AUTS in MARs.
    pub(crate) resync_rands: Vec<Rand>,
    /// `MAR`, `MAR+AUTS`, or the Server-Assignment-Type.
    pub(crate) asked: Vec<String>,
    /// Answers to what the HSS asked.
    pub(crate) told: Vec<Answer>,
    /// Results of commands.
    pub(crate) done: Vec<Result<Done, CommandError>>,
    /// The NOTIFYs that left, with their flows.
    pub(crate) notifies: Vec<(Flow, Message)>,
    /// The requests that went on, with their flows.
    pub(crate) forwarded: Vec<(Flow, Message)>,
    /// What every NOTIFY is answered with at once; `None`: nothing.
    pub(crate) notify_status: Option<u16>,
    /// First words of what left, in order.
    pub(crate) sent: Vec<String>,
    /// Cx requests wait here while the HSS is held.
    pub(crate) held: Option<Vec<(CxId, Request)>>,
    pub(crate) wait: Option<Instant>,
    branch: u64,
}

pub(crate) fn config() -> Config {
    let name = ServerName::new("sip:scscf.ims.mnc001.mcc001.3gppnetwork.org:6060").unwrap();
    let mut config = Config::new(name, HOME);
    // Its own tests turn it on.
    config.restoration = None;
    config.trusted_peers = vec!["192.0.2.2".parse().unwrap(), "192.0.2.1".parse().unwrap()];
    config
}

pub(crate) fn flow() -> Flow {
    Flow::udp("192.0.2.3:6060".parse().unwrap(), "192.0.2.2:5060".parse().unwrap())
}

/// What a REGISTER says, with the values of an ordinary first one.
#[derive(Clone)]
pub(crate) struct Register {
    pub(crate) call_id: String,
    pub(crate) cseq: u32,
    pub(crate) impu: String,
    pub(crate) contact: String,
    pub(crate) expires: Option<u32>,
    /// The Authorization value without integrity-protected; `None`: no header.
    pub(crate) authorization: Option<String>,
    pub(crate) protected: Option<&'static str>,
    pub(crate) more: String,
    /// In the place of the ordinary one.
    pub(crate) path: Option<&'static str>,
    pub(crate) branch: Option<u64>,
}

impl Register {
    pub(crate) fn first() -> Self {
        Self {
            call_id: "call-1".into(),
            cseq: 1,
            impu: IMPU.into(),
            contact: "<sip:10.9.0.2:7002>;+sip.instance=\"<urn:gsma:imei:1-2-0>\"".into(),
            expires: Some(600_000),
            authorization: Some(credentials("", "response=\"\"")),
            protected: Some("no"),
            more: String::new(),
            path: None,
            branch: None,
        }
    }

    pub(crate) fn next(&self) -> Self {
        Self { cseq: self.cseq + 1, branch: None, ..self.clone() }
    }

    pub(crate) fn text(&self, branch: u64) -> String {
        let mut lines = vec![
            format!("REGISTER sip:scscf.{HOME}:6060 SIP/2.0"),
            format!("Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKi{branch}"),
            format!("Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKp{branch}"),
            "Max-Forwards: 68".into(),
            format!("Path: {}", self.path.unwrap_or(PATH)),
            "Require: path".into(),
            "Supported: path".into(),
            "P-Visited-Network-ID: \"visited.example\"".into(),
            "P-Charging-Vector: icid-value=\"icid1\";orig-ioi=visited.example".into(),
            format!("From: <{}>;tag=ue", self.impu),
            format!("To: <{}>", self.impu),
            format!("Call-ID: {}", self.call_id),
            format!("CSeq: {} REGISTER", self.cseq),
        ];
        if !self.contact.is_empty() {
            lines.push(format!("Contact: {}", self.contact));
        }
        lines.extend(self.expires.map(|expires| format!("Expires: {expires}")));
        if let Some(value) = &self.authorization {
            let protected = self.protected.map(|value| format!(", integrity-protected=\"{value}\""));
            lines.push(format!("Authorization: {value}{}", protected.unwrap_or_default()));
        }
        format!("{}\r\n{}Content-Length: 0\r\n\r\n", lines.join("\r\n"), self.more)
    }
}

pub(crate) fn credentials(nonce: &str, rest: &str) -> String {
    format!("Digest username=\"{IMPI}\", realm=\"{HOME}\", nonce=\"{nonce}\", uri=\"sip:{HOME}\", {rest}")
}

impl Net {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            now: Instant::from_epoch(Duration::from_secs(1000)),
            scscf: Scscf::new(config, [7; 32]),
            hss: Hss::new(),
            card: Isim::new(algorithm(), SqnArray::new()),
            events: Vec::new(),
            resync_rands: Vec::new(),
            asked: Vec::new(),
            told: Vec::new(),
            done: Vec::new(),
            notifies: Vec::new(),
            forwarded: Vec::new(),
            notify_status: Some(200),
            sent: Vec::new(),
            held: None,
            wait: None,
            branch: 0,
        }
    }

    pub(crate) fn register(&mut self, register: &Register) -> Message {
        let mut answers = self.send(flow(), register);
        assert_eq!(answers.len(), 1, "one answer to {}", register.cseq);
        answers.remove(0)
    }

    pub(crate) fn send(&mut self, flow: Flow, register: &Register) -> Vec<Message> {
        self.branch += 1;
        let branch = register.branch.unwrap_or(self.branch + 1000);
        self.send_text(flow, &register.text(branch))
    }

    pub(crate) fn send_text(&mut self, flow: Flow, text: &str) -> Vec<Message> {
        let message = Message::parse(text).unwrap();
        self.scscf.handle(self.now, Input::Received { flow, message });
        self.drain()
    }

    pub(crate) fn advance(&mut self, by: Duration) -> Vec<Message> {
        let end = self.now + by;
        let mut answers = Vec::new();
        while let Some(next) = self.wait.filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.scscf.handle(self.now, Input::Timeout);
            answers.extend(self.drain());
        }
        self.now = end;
        answers
    }

    /// The HSS answers what it held back.
    pub(crate) fn release(&mut self) -> Vec<Message> {
        let mut answers = Vec::new();
        for (id, request) in self.held.take().unwrap_or_default() {
            let answer = self.hss.answer(&request);
            self.scscf.handle(self.now, Input::CxAnswer { id, answer });
            answers.extend(self.drain());
        }
        answers
    }

    /// The HSS answers what it held back, the first MAR of it with this vector.
    pub(crate) fn release_with(&mut self, vector: AuthVector) -> Vec<Message> {
        let (id, _) = self.held.take().unwrap_or_default().remove(0);
        let answer = Ok(Answer::Maa(Ok(MultimediaAuth { vectors: vec![vector] })));
        self.scscf.handle(self.now, Input::CxAnswer { id, answer });
        self.drain()
    }

    pub(crate) fn drain(&mut self) -> Vec<Message> {
        let mut answers = Vec::new();
        loop {
            match self.scscf.poll() {
                Output::Send(transmit) => {
                    let message = Message::parse(transmit.bytes).unwrap();
                    if message.is_request() {
                        self.sent.push(message.method().as_str().to_owned());
                        // Ours have no Via but our own.
                        if message.method() == Method::Notify && message.values(Name::Via).count() == 1 {
                            self.notified(transmit.flow, message);
                        } else {
                            self.forwarded.push((transmit.flow, message));
                        }
                    } else {
                        self.sent.push(format!(
                            "{} {}",
                            message.status().unwrap(),
                            message.method().as_str()
                        ));
                        answers.push(message);
                    }
                }
                Output::CxAnswer { id, answer } => {
                    assert_eq!(id, CxRequestId(3));
                    self.told.push(answer);
                }
                Output::Event(event) => self.events.push(event),
                Output::Done { id, result } => {
                    assert_eq!(id, CommandId(7));
                    self.done.push(result);
                }
                Output::Cx { id, request } => {
                    self.asked.push(name(&request));
                    if let Request::Mar(mar) = &request {
                        self.resync_rands.extend(mar.resync.as_ref().map(|(rand, _)| *rand));
                    }
                    match &mut self.held {
                        Some(held) => held.push((id, request)),
                        None => {
                            let answer = self.hss.answer(&request);
                            self.scscf.handle(self.now, Input::CxAnswer { id, answer });
                        }
                    }
                }
                Output::WaitUntil(at) => {
                    self.wait = at;
                    return answers;
                }
            }
        }
    }

    /// What the UE answers to this 401: the card decides.
    pub(crate) fn answer(&mut self, challenge: &Message) -> String {
        let challenge = challenge.www_authenticate().unwrap().unwrap();
        let nonce = Nonce::decode(&challenge.nonce).unwrap();
        let algorithm: DigestAlgorithm = challenge.algorithm.as_deref().unwrap().parse().unwrap();
        let keys = challenge.keys.as_ref().unwrap();
        let answer = match self.card.authenticate(&nonce.rand, &nonce.autn) {
            Ok(answer) => answer,
            Err(IsimFailure::MacFailure) => return credentials(&challenge.nonce, "response=\"\""),
            Err(IsimFailure::SyncFailure(auts)) => return self.sync_failure(&challenge.nonce, &auts),
        };
        assert_eq!((answer.ik.as_bytes(), answer.ck.as_bytes()), (&keys.ik, &keys.ck));
        let qop = challenge.offers_qop("auth").then_some(QopInput { nc: "00000001", cnonce: "0a4f" });
        let uri = format!("sip:{HOME}");
        let input = DigestInput {
            username: IMPI,
            realm: HOME,
            nonce: &challenge.nonce,
            uri: &uri,
            method: "REGISTER",
            qop,
        };
        let response = input.response(&Password::new(algorithm, &answer.res, &answer.ik, &answer.ck));
        let qop = qop.map(|qop| format!(", qop=auth, nc={}, cnonce=\"{}\"", qop.nc, qop.cnonce));
        let rest = format!("algorithm={algorithm}, response=\"{response}\"{}", qop.unwrap_or_default());
        credentials(&challenge.nonce, &rest)
    }

    pub(crate) fn sync_failure(&self, nonce: &str, auts: &Auts) -> String {
        credentials(nonce, &format!("response=\"\", auts=\"{}\"", auts.to_base64()))
    }

    /// A whole registration; the second REGISTER, for what comes after.
    pub(crate) fn registered(&mut self) -> Register {
        let first = Register::first();
        let challenge = self.register(&first);
        assert_eq!(challenge.status(), Some(401));
        let second = self.protected(&first, &challenge);
        assert_eq!(self.register(&second).status(), Some(200));
        second
    }

    /// The answer to the challenge over the new security associations.
    pub(crate) fn protected(&mut self, first: &Register, challenge: &Message) -> Register {
        let authorization = Some(self.answer(challenge));
        Register { authorization, protected: Some("yes"), ..first.next() }
    }

    pub(crate) fn command(&mut self, command: Command) -> Result<Done, CommandError> {
        self.scscf.handle(self.now, Input::Command { id: CommandId(7), command });
        assert!(self.drain().is_empty(), "a command answers no request");
        self.done.pop().unwrap()
    }

    /// The HSS asks of its own accord.
    pub(crate) fn hss_asks(&mut self, request: Request) -> Answer {
        self.scscf.handle(self.now, Input::CxRequest { id: CxRequestId(3), request });
        let answered = self.drain();
        assert!(answered.is_empty(), "nobody waits for an answer: {answered:?}");
        self.told.pop().unwrap()
    }

    pub(crate) fn mars(&self) -> usize {
        self.asked.iter().filter(|asked| asked.starts_with("MAR")).count()
    }
}

pub(crate) fn nonce(challenge: &Message) -> String {
    challenge.www_authenticate().unwrap().unwrap().nonce.into_owned()
}

pub(crate) fn lines(message: &Message, name: Name) -> Vec<&str> {
    message.lines(name).collect()
}

fn name(request: &Request) -> String {
    match request {
        Request::Mar(mar) if mar.resync.is_some() => "MAR+AUTS".into(),
        Request::Sar(sar) => {
            let one = sar.assignment.takes_one_identity();
            assert!(!one || sar.impus.len() == 1, "one identity");
            format!("{:?}", sar.assignment)
        }
        other => other.name().into(),
    }
}
