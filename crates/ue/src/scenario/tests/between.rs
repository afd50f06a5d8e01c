//! Steps between users.

use super::*;
use crate::core::{Answer, CallId, CallStep, EndedBy, Headers, ReceivedRequest, RequestId};

const CALL: CallId = CallId(3);

fn answer(status: u16) -> Box<Answer> {
    Box::new(Answer {
        status,
        reason: "Any".into(),
        local: false,
        asserted: Vec::new(),
        privacy: None,
        retry_after: None,
        headers: Headers::default(),
        body_length: 0,
    })
}

fn call(step: CallStep) -> Step {
    Step::Call { call: CALL, step }
}

fn message(text: &str, asserted: &[&str]) -> Step {
    Step::Received(Box::new(ReceivedRequest {
        call: None,
        method: "MESSAGE".into(),
        request_uri: "sip:a".into(),
        from: "<sip:b>;tag=1".into(),
        to: "<sip:a>".into(),
        asserted: asserted.iter().map(|value| (*value).into()).collect(),
        privacy: None,
        called_party: None,
        subject: None,
        headers: Headers::default(),
        body_length: text.len(),
        text: Some(text.into()),
        status: Some(200),
    }))
}

fn order(run: &mut Run) -> Command {
    match run.poll(at(1), true) {
        Order::Command(command) => command,
        other => panic!("no command but {other:?}"),
    }
}

#[test]
fn a_message_says_what_the_file_says_and_its_answer_is_checked() {
    let text = "[[step]]\ndo = 'message'\nto = 'sip:b@x'\ntext = 'hi'\nfrom = 'sip:anonymous@anonymous.invalid'\n\
                preferred = ['tel:+1']\nasserted = ['sip:ceo@x']\nprivacy = 'id'\nheaders = { Subject = 'dinner' }\n\
                expect = 'refused'\nstatus = 403\n";
    let mut run = run(text);
    let Command::Request(request) = order(&mut run) else { panic!("no request") };
    assert_eq!((&*request.to, request.method), ("sip:b@x", Method::Message));
    assert_eq!(request.identity.preferred, ["tel:+1".into()]);
    assert_eq!(request.identity.asserted, ["sip:ceo@x".into()]);
    assert_eq!(request.identity.privacy.as_deref(), Some("id"));
    assert_eq!(request.headers, [("Subject".into(), "dinner".into())]);
    run.hear(at(1), &rejected(500), true);
    assert_eq!(run.report(), None, "a registration of its own accord is another matter");
    let method = Method::Message;
    run.hear(at(1), &Step::Answered { request: RequestId(1), method, answer: answer(403) }, true);
    assert_eq!(reason(&mut run), None);
    assert_eq!(run.outcome(), Some(Outcome::Refused));
}

#[test]
fn a_call_goes_from_command_to_command_and_names_itself() {
    let mut run = run(
        "[[step]]\ndo = 'call'\nto = 'sip:b@x'\nexpect = 'ringing'\n[[step]]\ndo = 'cancel'\nstatus = 487\n\
         [[step]]\ndo = 'call'\nto = 'sip:b@x'\n[[step]]\ndo = 'update'\n[[step]]\ndo = 'hang-up'\n",
    );
    assert!(matches!(order(&mut run), Command::Call(_)));
    run.hear(at(1), &call(CallStep::Calling), true);
    run.hear(at(1), &call(CallStep::Ringing { status: 180, reliable: false }), true);
    assert_eq!(reason(&mut run), None);
    assert_eq!(order(&mut run), Command::Cancel { call: CALL });
    run.hear(at(1), &call(CallStep::Refused(answer(487))), true);
    assert_eq!(reason(&mut run), None);
    order(&mut run);
    run.hear(at(1), &call(CallStep::Ringing { status: 180, reliable: false }), true);
    assert_eq!(run.report(), None, "that it rings is not what was wanted");
    run.hear(at(1), &call(CallStep::Answered(answer(200))), true);
    assert_eq!(reason(&mut run), None);
    assert_eq!(order(&mut run), Command::Update { call: CALL });
    run.hear(at(1), &call(CallStep::Changed { method: Method::Update, answer: answer(200) }), true);
    assert_eq!(reason(&mut run), None);
    assert_eq!(order(&mut run), Command::HangUp { call: CALL });
    run.hear(at(1), &call(CallStep::Ended { by: EndedBy::Us }), true);
    assert_eq!(reason(&mut run), None);
    assert_eq!(run.poll(at(1), true), Order::Done);
}

#[test]
fn calls_that_come_in_and_their_ends_are_waited_for() {
    let mut run = run(
        "[[step]]\ndo = 'wait-call'\nanswer = 'silence'\nexpect = 'cancelled'\n[[step]]\ndo = 'wait-call'\n\
         [[step]]\ndo = 'wait-end'\n",
    );
    let Command::Answer(answering) = order(&mut run) else { panic!("no word how to answer") };
    assert_eq!(answering.with, CallAnswer::Silence);
    for step in [CallStep::Incoming, CallStep::Ringing { status: 180, reliable: true }, CallStep::Cancelled] {
        assert!(matches!(run.poll(at(1), true), Order::Pause(Some(_))));
        run.hear(at(1), &call(step), true);
    }
    // The next call is over before anybody waits for it.
    for step in [CallStep::Incoming, CallStep::Confirmed, CallStep::Ended { by: EndedBy::Peer }] {
        run.hear(at(1), &call(step), true);
    }
    assert_eq!(run.poll(at(1), true), Order::Done);
    for _ in 0..3 {
        assert_eq!(reason(&mut run), None);
    }
}

#[test]
fn prv_4_a_message_that_shows_who_sent_it_is_not_what_was_wanted() {
    let text = "[[step]]\ndo = 'expect-message'\ntext = 'hi'\nasserted = []\n";
    let mut one = run(text);
    one.hear(at(1), &message("other", &["<sip:b@x>"]), true);
    one.hear(at(1), &message("hi", &[]), true);
    assert_eq!(one.poll(at(1), true), Order::Done);
    assert_eq!(reason(&mut one), None);
    let mut two = run(text);
    two.hear(at(1), &message("hi", &["<sip:b@x>"]), true);
    two.poll(at(1), true);
    assert!(reason(&mut two).unwrap().contains("P-Asserted-Identity is \"<sip:b@x>\""));
}

#[test]
fn without_a_call_nobody_hangs_up() {
    let mut run = run("[[step]]\ndo = 'hang-up'\n");
    run.poll(at(1), true);
    assert_eq!(reason(&mut run).as_deref(), Some("there is no call"));
}
