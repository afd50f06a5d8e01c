use super::*;
use proptest::prelude::*;

fn request(method: &str, lines: &str) -> Message {
    let text = format!(
        "{method} sip:bob@b.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
         From: \"Alice\" <sip:alice@a.example>;tag=f1;x=y\r\nTo: <sip:bob@b.example>\r\nCall-ID: c@a\r\n\
         CSeq: 7 {method}\r\nContact: <sip:alice@192.0.2.1>\r\nP-Asserted-Identity: <sip:alice@a.example>\r\n\
         P-Asserted-Identity: <tel:+15550100>\r\nSubject: s\r\nCall-Info: <http://a.example/alice.png>\r\n\
         Organization: A\r\nUser-Agent: phone\r\nReply-To: <sip:alice@a.example>\r\nIn-Reply-To: q@a, r@a\r\n\
         History-Info: <sip:alice@a.example>;index=1\r\n{lines}\r\n"
    );
    Message::parse(text).unwrap()
}

fn executed(message: &Message, service: Service) -> Message {
    let privacy = Privacy::of(message).unwrap().unwrap();
    let mut draft = Draft::forward(message);
    privacy.execute(&mut draft, service).unwrap();
    let done = draft.finish();
    // Whatever is done, what is left can be read again.
    Message::parse(done.bytes()).unwrap()
}

const BOTH: [Service; 2] = [Service::LastHop, Service::Edge];

#[test]
fn prv_4_id_takes_the_asserted_identity_at_the_last_hop_and_at_the_edge() {
    for method in ["INVITE", "BYE", "NOTIFY"] {
        for header in ["Privacy: id\r\n", "Privacy: id;critical\r\n", "Privacy: ID ; Critical\r\n"] {
            let message = request(method, header);
            let done = executed(&message, Service::LastHop);
            assert_eq!(done.first(Name::PAssertedIdentity), None);
            assert_eq!(done.first(Name::Privacy), None, "done with: {header}");
            // From is the user's own affair: id does not touch it.
            assert_eq!(done.first(Name::From), message.first(Name::From));
            assert_eq!(done.first(Name::Subject), Some("s"));
            let done = executed(&message, Service::Edge);
            assert_eq!(done.first(Name::PAssertedIdentity), None);
            let told = done.first(Name::Privacy).is_some_and(|value| value.eq_ignore_ascii_case("id"));
            assert!(told, "the networks behind learn what is wanted: {header}");
        }
    }
}

#[test]
fn prv_4_none_changes_nothing_and_absence_is_no_wish() {
    let message = request("INVITE", "Privacy: none\r\nProxy-Require: privacy\r\n");
    for service in BOTH {
        let done = executed(&message, service);
        assert!(done.fields().filter(|(name, ..)| *name != Name::ContentLength).eq(message.fields()));
    }
    assert_eq!(Privacy::of(&request("INVITE", "")), Ok(None));
}

#[test]
fn prv_8_user_makes_from_anonymous_and_keeps_its_tag() {
    for service in BOTH {
        let message = request("INVITE", "Privacy: user\r\n");
        let done = executed(&message, service);
        assert_eq!(
            done.first(Name::From),
            Some("\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=f1"),
            "nothing but the tag is kept"
        );
        for name in [
            Name::Subject,
            Name::CallInfo,
            Name::Organization,
            Name::UserAgent,
            Name::ReplyTo,
            Name::InReplyTo,
            Name::Privacy,
        ] {
            assert_eq!(done.first(name), None, "{name:?}");
        }
        for name in [Name::To, Name::CallId, Name::CSeq, Name::Contact, Name::Via, Name::HistoryInfo] {
            assert_eq!(done.first(name), message.first(name), "{name:?}");
        }
        // user alone says nothing of the asserted identity.
        assert_eq!(done.lines(Name::PAssertedIdentity).count(), 2);
    }
}

#[test]
fn prv_8_a_response_keeps_from_and_to_and_loses_what_describes_its_user() {
    let response = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
        From: \"Alice\" <sip:alice@a.example>;tag=f1\r\nTo: <sip:bob@b.example>;tag=t1\r\nCall-ID: c@a\r\n\
        CSeq: 7 INVITE\r\nServer: phone of bob\r\nOrganization: B\r\nPrivacy: user;id\r\n\
        P-Asserted-Identity: <sip:bob@b.example>\r\n\r\n";
    let response = Message::parse(response).unwrap();
    let done = executed(&response, Service::LastHop);
    for name in [Name::Server, Name::Organization, Name::PAssertedIdentity, Name::Privacy] {
        assert_eq!(done.first(name), None, "{name:?}");
    }
    for name in [Name::From, Name::To] {
        assert_eq!(done.first(name), response.first(name));
    }
}

#[test]
fn prv_8_an_answer_shows_each_side_what_it_wrote() {
    let asked = request("INVITE", "Privacy: user\r\n");
    let anonymous = executed(&asked, Service::LastHop);
    let answer = Draft::reply(&anonymous, 200, "OK", Some("t1")).finish();
    let mut draft = Draft::forward(&answer);
    answer_as_asked(&asked, &mut draft);
    let back = draft.finish();
    assert_eq!(back.first(Name::From), asked.first(Name::From));
    assert_eq!(back.first(Name::To), Some("<sip:bob@b.example>;tag=t1"));
    // A request within the dialog has the tag already, and its To may have got its name back on the way.
    let bye = "BYE sip:alice@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK2\r\n\
        From: <sip:bob@b.example>;tag=t1\r\nTo: \"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=f1\r\n\
        Call-ID: c@a\r\nCSeq: 1 BYE\r\n\r\n";
    let bye = Message::parse(bye).unwrap();
    let mut named = Draft::forward(&bye);
    named.set(Name::To, "\"Alice\" <sip:alice@a.example>;tag=f1");
    let answer = Draft::reply(&named.finish(), 200, "OK", None).finish();
    let mut draft = Draft::forward(&answer);
    answer_as_asked(&bye, &mut draft);
    assert_eq!(draft.first(Name::To), bye.first(Name::To));
    assert_eq!(draft.lines(Name::To).count(), 1);
}

#[test]
fn prv_9_critical_that_cannot_be_met_is_refused_by_name() {
    for (header, reason) in [
        ("header;critical", "Privacy required: header"),
        ("session;critical", "Privacy required: session"),
        ("id;header;session;critical", "Privacy required: header, session"),
        ("id;token7;critical", "Privacy required: token7"),
    ] {
        let message = request("MESSAGE", &format!("Privacy: {header}\r\n"));
        let privacy = Privacy::of(&message).unwrap().unwrap();
        for service in BOTH {
            let mut draft = Draft::forward(&message);
            let error = privacy.execute(&mut draft, service).unwrap_err();
            assert_eq!(error.status(), (500, reason.to_owned()));
            assert_eq!(draft.lines(Name::PAssertedIdentity).count(), 2, "nothing half done");
        }
    }
    for header in
        ["id;critical", "user;critical", "user;id;history;critical", "header", "session;id", "token7"]
    {
        assert_eq!(Privacy::parse(header).unwrap().check(), Ok(()), "{header}");
    }
}

#[test]
fn prv_9_what_is_not_built_and_not_critical_passes_on() {
    let message = request("INVITE", "Privacy: header;user;session\r\nProxy-Require: privacy, x\r\n");
    let done = executed(&message, Service::LastHop);
    assert_eq!(done.first(Name::Privacy), Some("header;session"));
    assert_eq!(done.first(Name::ProxyRequire), Some("privacy, x"), "somebody behind us may provide the rest");
    let message = request("INVITE", "Privacy: history;user\r\nProxy-Require: privacy, x\r\n");
    let done = executed(&message, Service::LastHop);
    assert_eq!((done.first(Name::Privacy), done.first(Name::HistoryInfo)), (None, None));
    assert_eq!(done.first(Name::ProxyRequire), Some("x"));
    let message = request("INVITE", "Privacy: id\r\nProxy-Require: Privacy\r\n");
    for service in BOTH {
        assert_eq!(executed(&message, service).first(Name::ProxyRequire), None);
    }
}

#[test]
fn prv_10_the_subscription_adds_what_the_user_did_not_say() {
    let with = |header: &str, id, user| {
        let message = request("INVITE", header);
        let mut draft = Draft::forward(&message);
        on_behalf(&message, &mut draft, OnBehalf { id, user }).unwrap();
        assert_eq!(draft.lines(Name::PAssertedIdentity).count(), 2, "adding is not executing");
        draft.first(Name::Privacy).map(str::to_owned)
    };
    assert_eq!(with("", true, true).as_deref(), Some("user;id"));
    assert_eq!(with("", false, true).as_deref(), Some("user"));
    assert_eq!(with("", true, false).as_deref(), Some("id"));
    assert_eq!(with("", false, false), None);
    assert_eq!(with("Privacy: id;critical\r\n", true, true).as_deref(), Some("id;user;critical"));
    assert_eq!(with("Privacy: header\r\n", true, false).as_deref(), Some("header;id"));
    assert_eq!(
        with("Privacy: None\r\n", true, true).as_deref(),
        Some("None"),
        "the user knows what she wants"
    );
    let broken = request("INVITE", "Privacy: none;id\r\n");
    let refused = on_behalf(&broken, &mut Draft::forward(&broken), OnBehalf { id: true, user: false });
    assert_eq!(refused, Err(PrivacyError::NoneNotAlone));
}

#[test]
fn prv_11_what_the_grammar_forbids_is_a_400() {
    for (header, error) in [
        ("none;id", PrivacyError::NoneNotAlone),
        ("id;none", PrivacyError::NoneNotAlone),
        ("none;critical", PrivacyError::NoneNotAlone),
        ("critical", PrivacyError::CriticalAlone),
        ("none;none", PrivacyError::Twice),
        ("id;user;ID", PrivacyError::Twice),
        ("id;critical;critical", PrivacyError::Twice),
        ("", PrivacyError::Malformed),
        ("id;", PrivacyError::Malformed),
        (";id", PrivacyError::Malformed),
        ("id user", PrivacyError::Malformed),
        ("id=yes", PrivacyError::Malformed),
        ("\"id\"", PrivacyError::Malformed),
        ("id, user", PrivacyError::Malformed),
        ("id,user", PrivacyError::Malformed),
        ("a;b;c;d;e;f;g;h;i;j;k;l;m;n;o;p;q", PrivacyError::TooMany),
    ] {
        assert_eq!(Privacy::parse(header), Err(error.clone()), "{header}");
        assert_eq!(error.status().0, 400);
    }
    let twice = request("INVITE", "Privacy: id\r\nPrivacy: id\r\n");
    assert_eq!(Privacy::of(&twice), Err(PrivacyError::Repeated));
    assert_eq!(PrivacyError::Repeated.status().0, 400);
}

#[test]
fn prv_11_case_and_blanks_do_not_matter() {
    let privacy = Privacy::parse(" ID;\tUser ; CRITICAL").unwrap();
    assert_eq!(privacy, Privacy::parse("id;user;critical").unwrap());
    assert!(privacy.asks(&Value::Id) && privacy.asks(&Value::User) && privacy.is_critical());
    assert_eq!(Privacy::parse("critical;id").unwrap().to_string(), "id;critical");
    assert!(Privacy::parse("NONE").unwrap().is_none());
}

#[test]
fn prv_11_a_response_that_nobody_can_read_is_treated_with_care() {
    let response = |header: &str| {
        let text = format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@a>;tag=1\r\n\
             To: <sip:b@b>;tag=2\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nP-Asserted-Identity: <sip:b@b>\r\n{header}\r\n"
        );
        Message::parse(text).unwrap()
    };
    for header in ["Privacy: id, user\r\n", "Privacy: none\r\nPrivacy: id\r\n", "Privacy: critical\r\n"] {
        let response = response(header);
        let privacy = Privacy::of_response(&response).unwrap();
        let mut draft = Draft::forward(&response);
        privacy.execute(&mut draft, Service::LastHop).unwrap();
        assert_eq!(draft.first(Name::PAssertedIdentity), None, "{header}");
    }
    assert_eq!(Privacy::of_response(&response("")), None);
}

#[test]
fn prv_17_message_and_subscribe_are_treated_as_invite() {
    let invite = executed(&request("INVITE", "Privacy: user;id\r\n"), Service::LastHop);
    for method in ["MESSAGE", "SUBSCRIBE", "NOTIFY", "PUBLISH", "OPTIONS"] {
        let done = executed(&request(method, "Privacy: user;id\r\n"), Service::LastHop);
        let lines = |message: &Message| -> Vec<(Name, String)> {
            let fields = message.fields().filter(|(name, ..)| *name != Name::CSeq);
            fields.map(|(name, _, value)| (name, value.to_owned())).collect()
        };
        assert_eq!(lines(&done), lines(&invite), "{method}");
    }
}

proptest! {
    #[test]
    fn prv_11_print_parse(words in proptest::collection::hash_set("[a-z]{1,8}", 1..8), critical in any::<bool>()) {
        prop_assume!(!words.contains("none") && !words.contains("critical"));
        let words: Vec<_> = words.into_iter().collect();
        let header = words.join(";") + if critical { ";critical" } else { "" };
        let privacy = Privacy::parse(&header).unwrap();
        prop_assert_eq!(privacy.to_string(), header);
        prop_assert_eq!(privacy.clone().and(&Privacy::none()), privacy);
    }

    #[test]
    fn prv_11_never_panics(header in "[a-zA-Z;, \"=\\PC]{0,40}") {
        if let Ok(privacy) = Privacy::parse(&header) {
            prop_assert_eq!(Privacy::parse(&privacy.to_string()), Ok(privacy));
        }
    }
}
