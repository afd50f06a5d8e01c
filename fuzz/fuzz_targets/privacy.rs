//! PRV-7, PRV-8, PRV-11: whatever a message holds, what is executed for its sender leaves a message that can be read,
//! without what had to go.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::text::Params;
use sip::{Draft, Instant, Message, Name, NameAddr};
use trust::border::{strip_charging_host, strip_incoming, strip_outgoing};
use trust::{BorderPolicy, MemoryLimits, OnBehalf, Privacy, PrivacyMemory, Service, Value};

const GONE_INCOMING: [Name; 4] =
    [Name::PAssertedIdentity, Name::PPreferredIdentity, Name::PChargingVector, Name::HistoryInfo];

fuzz_target!(|datagram: &[u8]| {
    let Ok(message) = Message::parse(datagram) else { return };
    if let Ok(Some(privacy)) = Privacy::of(&message) {
        assert_eq!(Privacy::parse(&privacy.to_string()).as_ref(), Ok(&privacy));
    }
    let privacy = match message.is_request() {
        true => Privacy::of(&message).ok().flatten(),
        false => Privacy::of_response(&message),
    };
    if let Some(privacy) = &privacy {
        for service in [Service::LastHop, Service::Edge] {
            execute(&message, privacy, service);
        }
    }
    border(&message, privacy.as_ref());
    dialog(&message);
});

/// What left, read as the next node reads it.
fn sent(draft: &Draft<'_>) -> Message {
    Message::parse(draft.finish().bytes()).expect("what we write can be read")
}

fn tag(message: &Message) -> Option<&str> {
    message.first(Name::From).and_then(NameAddr::parse).and_then(|from| from.tag())
}

fn execute(message: &Message, privacy: &Privacy, service: Service) {
    let mut draft = Draft::forward(message);
    if privacy.execute(&mut draft, service).is_err() {
        assert!(privacy.is_critical());
        return;
    }
    let done = sent(&draft);
    assert_eq!(tag(&done), tag(message));
    if privacy.asks(&Value::Id) {
        assert!(done.first(Name::PAssertedIdentity).is_none());
    }
    if privacy.asks(&Value::User) {
        assert!(done.first(Name::Subject).is_none() && done.first(Name::ReplyTo).is_none());
        assert!(!done.is_request() || done.from().is_ok_and(|from| from.uri == "sip:anonymous@anonymous.invalid"));
    }
    if Privacy::of(message).is_ok() && !privacy.is_none() {
        let left = Privacy::of(&done).expect("what is left of Privacy obeys its grammar");
        let left = left.unwrap_or_else(Privacy::none);
        assert!(!left.asks(&Value::User) && !left.asks(&Value::History));
        assert!(service == Service::Edge || !left.asks(&Value::Id));
    }
}

fn border(message: &Message, privacy: Option<&Privacy>) {
    let mut draft = Draft::forward(message);
    strip_incoming(&mut draft);
    let passed = sent(&draft);
    assert!(passed.fields().all(|(name, ..)| !GONE_INCOMING.contains(&name)));
    for name in [Name::Authorization, Name::ProxyAuthorization] {
        let mut lines = passed.lines(name);
        // A word that only sounds like the parameter, in a value, is nobody's business.
        assert!(lines.all(|line| {
            let mut params = sip::header::AuthParams::digest(line).into_iter().flatten();
            !params.any(|param| param.is("integrity-protected"))
        }));
    }
    assert_eq!(passed.first(Name::From), message.first(Name::From));

    let mut draft = Draft::forward(message);
    strip_outgoing(&mut draft, privacy, BorderPolicy::default());
    let left = sent(&draft);
    let keeps = privacy.is_some_and(Privacy::is_none);
    assert!(keeps || left.first(Name::PAssertedIdentity).is_none());

    let mut draft = Draft::forward(message);
    strip_charging_host(&mut draft);
    let hidden = sent(&draft);
    assert!(!hidden.lines(Name::PChargingVector).any(|line| Params::new(line).has("icid-generated-at")));
}

fn dialog(message: &Message) {
    let mut memory = PrivacyMemory::new(MemoryLimits { capacity: 2, ..MemoryLimits::default() });
    let mut draft = Draft::forward(message);
    if message.is_request() {
        let first = memory.request(Instant::ZERO, message);
        if let Ok(first) = first {
            assert_eq!(memory.request(Instant::ZERO, message).as_ref(), Ok(&first));
        }
        memory.inward(Instant::ZERO, message, &mut draft);
        sent(&draft);
        let mut draft = Draft::forward(message);
        let all = OnBehalf { id: true, user: true };
        if trust::on_behalf(message, &mut draft, all).is_ok() {
            let wanted = Privacy::of(&sent(&draft)).expect("we write what we can read").expect("it is there");
            assert!(wanted.is_none() || (wanted.asks(&Value::Id) && wanted.asks(&Value::User)));
        }
        let mut answer = Draft::reply(message, 200, "OK", Some("t"));
        memory.answered(message, &answer.finish());
        trust::answer_as_asked(message, &mut answer);
        assert_eq!(sent(&answer).first(Name::From), message.first(Name::From));
    } else {
        memory.response(Instant::ZERO, message);
    }
    assert!(memory.len() <= 4);
}
