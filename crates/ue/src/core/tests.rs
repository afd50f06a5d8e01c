//! The UE alone: the network is written out.

use aka::{Algorithm, Amf, AuthVector, K, Nonce, Opc, Rand, Sqn, SqnArray};
use sip::{Draft, Name};

use super::*;

const SERVER: &str = "ipsec-3gpp;q=0.1;alg=hmac-sha-1-96;ealg=aes-cbc;prot=esp;mod=trans;\
                      spi-c=2001;spi-s=2002;port-c=6000;port-s=6100";

fn algorithm() -> Algorithm {
    Algorithm::milenage(K::from_bytes([1; 16]), Opc::from_bytes([2; 16]))
}

fn vector(seq: u64) -> AuthVector {
    algorithm().vector(Rand::from_bytes([3; 16]), Sqn::from_parts(seq, 0).unwrap(), Amf::from_bytes([0; 2]))
}

struct Bench {
    ue: Ue,
    now: Instant,
}

#[derive(Default)]
struct Outcome {
    sent: Vec<(Flow, Message)>,
    installs: Vec<(SetId, SaSet)>,
    removed: usize,
    steps: Vec<Step>,
}

impl Bench {
    fn new(sqn: SqnArray) -> Self {
        let config = Config {
            impi: Impi::new("alice@home.example").unwrap(),
            impu: Impu::new("sip:alice@home.example").unwrap(),
            home_domain: "home.example".into(),
            address: "10.9.0.2".parse().unwrap(),
            clear_port: 5060,
            p_cscf: "10.9.0.1:5060".parse().unwrap(),
            transport: TransportChoice::Udp,
            algorithms: sec_agree::Policy::default().algorithms().to_vec(),
            server_port: Port::new(7100).unwrap(),
            client_ports: ClientPorts::new(7000, 4).unwrap(),
            spi_first: Spi::new(0x1000).unwrap(),
            spi_last: Spi::new(0x1fff).unwrap(),
            expires: 600_000,
            access_network: None,
            timers: Timers::GM,
            patience: Duration::from_secs(30),
            stay_registered: false,
        };
        Self { ue: Ue::new(config, Isim::new(algorithm(), sqn), [9; 32]), now: Instant::ZERO }
    }

    fn give(&mut self, input: Input) -> Outcome {
        self.ue.handle(self.now, input);
        let mut outcome = Outcome::default();
        loop {
            match self.ue.poll() {
                Output::Send(Transmit { flow, bytes }) => {
                    outcome.sent.push((flow, Message::parse(bytes.to_vec()).unwrap()));
                }
                Output::InstallSas { set, sas, .. } => outcome.installs.push((set, sas)),
                Output::RemoveSas { .. } => outcome.removed += 1,
                Output::Step(step) => outcome.steps.push(step),
                Output::ExtendSas { .. } | Output::Close { .. } => {}
                Output::WaitUntil(_) => return outcome,
            }
        }
    }

    fn register(&mut self) -> (Flow, Message) {
        let mut outcome = self.give(Input::Command(Command::Register));
        outcome.sent.remove(0)
    }

    /// SM1, and what the UE makes of this answer to it.
    fn answered(&mut self, answer: impl FnOnce(&Message) -> Message) -> Outcome {
        let (flow, request) = self.register();
        self.give(Input::Received { flow, message: answer(&request) })
    }
}

fn challenge(request: &Message, nonce: &str, algorithm: &str, server: Option<&str>) -> Message {
    let mut draft = Draft::reply(request, 401, "Unauthorized", Some("t"));
    let value = format!("Digest realm=\"home.example\", nonce=\"{nonce}\", algorithm={algorithm}");
    draft.push(Name::WwwAuthenticate, value);
    if let Some(server) = server {
        draft.push(Name::SecurityServer, server);
    }
    draft.finish()
}

fn good_nonce(seq: u64) -> String {
    let vector = vector(seq);
    Nonce::new(vector.rand, vector.autn).encode()
}

#[test]
fn reg_1_sm1_offers_everything_and_claims_nothing() {
    let mut bench = Bench::new(SqnArray::new());
    let (flow, sm1) = bench.register();
    assert_eq!(
        (flow.local, flow.remote),
        ("10.9.0.2:5060".parse().unwrap(), "10.9.0.1:5060".parse().unwrap())
    );
    assert_eq!(sm1.request_uri(), Some("sip:home.example"));
    let credentials = sm1.authorization().unwrap().unwrap();
    assert_eq!((&*credentials.username, &*credentials.nonce), ("alice@home.example", ""));
    assert_eq!(credentials.response.as_deref(), Some(""));
    assert_eq!(sm1.first(Name::Require), Some("sec-agree"));
    assert_eq!(sm1.first(Name::ProxyRequire), Some("sec-agree"));
    assert_eq!(sm1.first(Name::SecurityVerify), None);
    assert_eq!(sm1.first(Name::PAccessNetworkInfo), None);
    let offer = SecurityClient::parse(sm1.values(Name::SecurityClient)).unwrap();
    assert_eq!(offer.algorithms(), sec_agree::Policy::default().algorithms());
    assert!(sm1.first(Name::Via).unwrap().contains(";rport"));
}

#[test]
fn sm7_answers_over_the_new_set_and_only_after_the_kernel_has_it() {
    let mut bench = Bench::new(SqnArray::new());
    let outcome = bench.answered(|request| challenge(request, &good_nonce(1), "AKAv1-MD5", Some(SERVER)));
    assert!(outcome.sent.is_empty());
    let (set, sas) = &outcome.installs[0];
    assert_eq!(sas.associations.uc_to_ps.destination, "10.9.0.1:6100".parse().unwrap());
    let outcome = bench.give(Input::SasInstalled { set: *set });
    let (flow, sm7) = &outcome.sent[0];
    assert_eq!(flow.local, sas.associations.uc_to_ps.source);
    assert_eq!(flow.remote, sas.associations.uc_to_ps.destination);
    assert_eq!(sm7.first(Name::SecurityVerify), Some(SERVER), "SEC-6: as it came");
    assert_eq!(sm7.cseq().unwrap().number, 2);
    assert!(sm7.first(Name::Via).unwrap().contains("10.9.0.2:7100"), "the protected server port");
    // SA-13: a 403 that comes in clear is not for us; over the set it ends the attempt and the set.
    let refused = Draft::reply(sm7, 403, "Forbidden", Some("t")).finish();
    let clear = Flow::udp("10.9.0.2:5060".parse().unwrap(), "10.9.0.1:5060".parse().unwrap());
    assert!(bench.give(Input::Received { flow: clear, message: refused.clone() }).steps.is_empty());
    let over = Flow::udp(sas.associations.pc_to_us.destination, sas.associations.pc_to_us.source);
    let outcome = bench.give(Input::Received { flow: over, message: refused });
    assert!(matches!(outcome.steps.as_slice(), [Step::Failed(Failure::Rejected { status: 403, .. })]));
    assert_eq!(outcome.removed, 1);
}

#[test]
fn challenges_that_make_no_sense_end_the_attempt_with_a_reason() {
    let failed = |nonce: &str, algorithm: &str, server: Option<&str>| {
        let mut bench = Bench::new(SqnArray::new());
        let mut outcome = bench.answered(|request| challenge(request, nonce, algorithm, server));
        assert!(outcome.installs.is_empty());
        match outcome.steps.pop() {
            Some(Step::Failed(failure)) => failure,
            other => panic!("a failure, not {other:?}"),
        }
    };
    let good = good_nonce(1);
    assert!(matches!(failed("AAAA", "AKAv1-MD5", Some(SERVER)), Failure::BadChallenge(_)), "DIG-4");
    assert!(matches!(failed(&good, "MD5", Some(SERVER)), Failure::BadChallenge(_)));
    assert!(matches!(failed(&good, "AKAv1-MD5", None), Failure::SecurityAgreement(_)));
    let weak = SERVER.replace("hmac-sha-1-96", "hmac-md5-96");
    let none = Failure::SecurityAgreement(SecAgreeError::NoCommonAlgorithm);
    assert_eq!(failed(&good, "AKAv1-MD5", Some(&weak)), none, "SEC-5");
}

#[test]
fn aka_3_a_network_that_cannot_authenticate_itself_is_told_so() {
    let mut bench = Bench::new(SqnArray::new());
    let forged = Nonce::new(Rand::from_bytes([3; 16]), aka::Autn::from_bytes([7; 16])).encode();
    let outcome = bench.answered(|request| challenge(request, &forged, "AKAv1-MD5", Some(SERVER)));
    assert_eq!(outcome.steps, [Step::Failed(Failure::NetworkAuthentication)]);
    let credentials = outcome.sent[0].1.authorization().unwrap().unwrap();
    assert_eq!((credentials.response.as_deref(), credentials.auts.is_none()), (Some(""), true));
}

#[test]
fn aka_6_a_stale_sequence_number_is_answered_with_auts_and_a_new_offer() {
    let mut bench = Bench::new(SqnArray::starting_at(Sqn::from_parts(100, 0).unwrap()));
    let (flow, request) = bench.register();
    let message = challenge(&request, &good_nonce(5), "AKAv1-MD5", Some(SERVER));
    let outcome = bench.give(Input::Received { flow, message });
    assert_eq!(outcome.steps, [Step::SynchronisationFailure]);
    let (_, resync) = &outcome.sent[0];
    assert!(resync.authorization().unwrap().unwrap().auts.is_some());
    assert_ne!(resync.first(Name::SecurityClient), request.first(Name::SecurityClient));
    assert_eq!(resync.call_id(), request.call_id());
}

#[test]
fn a_200_without_a_challenge_and_silence_are_failures() {
    let mut bench = Bench::new(SqnArray::new());
    let contact = "<sip:alice@10.9.0.2:7100>;expires=60";
    let outcome = bench.answered(|request| {
        let mut draft = Draft::reply(request, 200, "OK", Some("t"));
        draft.push(Name::Contact, contact);
        draft.finish()
    });
    assert!(matches!(outcome.steps.as_slice(), [Step::Failed(Failure::BadAnswer(_))]));
    bench.register();
    assert_eq!(bench.give(Input::Command(Command::Register)).steps, [Step::Failed(Failure::Busy)]);
    bench.now += Duration::from_secs(31);
    let outcome = bench.give(Input::Timeout);
    assert!(
        matches!(outcome.steps.as_slice(), [Step::Failed(Failure::NoAnswer { .. })]),
        "{:?}",
        outcome.steps
    );
    let nothing = bench.give(Input::Command(Command::Deregister)).steps;
    assert_eq!(nothing, [Step::Failed(Failure::NotRegistered)]);
}
