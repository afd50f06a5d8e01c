//! Who is named, and who stays anonymous.

use super::invite::{from_scscf, from_ue, to_ue};
use super::*;

const ANONYMOUS: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=b";

fn asserted(message: &Message) -> Vec<&str> {
    message.values(Name::PAssertedIdentity).collect()
}

/// PRV-3: what the user prefers is used up here.
#[test]
fn prv_1_each_row_of_the_table_on_requests() {
    let mut bench = Bench::new();
    let (set, verify, _) = bench.registered_with_profile(0);
    let rows: [(&str, &[&str]); 5] = [
        ("", &["<sip:alice@ims.example>"]),
        ("P-Preferred-Identity: <tel:+491>\r\n", &["<tel:+491>"]),
        ("P-Preferred-Identity: <sip:boss@ims.example>\r\n", &["<sip:alice@ims.example>"]),
        (
            "P-Preferred-Identity: <sip:alice@ims.example>, <tel:+491>\r\n",
            &["<sip:alice@ims.example>", "<tel:+491>"],
        ),
        (
            "P-Asserted-Identity: <sip:boss@ims.example>\r\nP-Asserted-Identity: <tel:+1>\r\n",
            &["<sip:alice@ims.example>"],
        ),
    ];
    for (cseq, (lines, expected)) in (1..).zip(rows) {
        let outcome = bench.receive(over(&set), from_ue("MESSAGE", cseq, "", &verify, lines));
        let sent = outcome.to(S_CSCF)[0];
        assert_eq!(asserted(sent), expected, "{lines}");
        // PRV-3
        assert_eq!(sent.first(Name::PPreferredIdentity), None);
        assert_eq!(sent.first(Name::From), Some("<sip:alice@ims.example>;tag=a"));
    }
}

#[test]
fn prv_5_the_first_hop_leaves_privacy_and_identity_as_they_are() {
    let mut bench = Bench::new();
    let (set, verify, _) = bench.registered_with_profile(0);
    for (cseq, privacy) in (1..).zip(["id", "user", "none", "header;id;critical"]) {
        let line = format!("Privacy: {privacy}\r\nSubject: x\r\n");
        let outcome = bench.receive(over(&set), from_ue("MESSAGE", cseq, "", &verify, &line));
        let sent = outcome.to(S_CSCF)[0];
        assert_eq!((sent.first(Name::Privacy), sent.first(Name::Subject)), (Some(privacy), Some("x")));
        assert_eq!(asserted(sent), ["<sip:alice@ims.example>"]);
    }
}

#[test]
fn prv_4_the_last_hop_removes_the_identity_for_id_only() {
    let mut bench = Bench::new();
    bench.registered_with_profile(0);
    for (cseq, (privacy, is_there)) in
        (1..).zip([("", true), ("Privacy: none\r\n", true), ("Privacy: id\r\n", false)])
    {
        // PRV-17: what holds for a session holds for MESSAGE.
        for method in ["MESSAGE", "INVITE", "OPTIONS"] {
            let outcome = bench.receive(from_scscf(), to_ue(method, cseq, "", privacy));
            let sent = outcome.to("10.9.0.2:7100")[0];
            assert_eq!(sent.first(Name::PAssertedIdentity).is_some(), is_there, "{method} {privacy}");
            assert!(sent.first(Name::From).unwrap().starts_with("\"Bob\""));
        }
    }
}

#[test]
fn prv_17_a_subscription_is_private_as_a_session_is() {
    let mut bench = Bench::new();
    let (set, ..) = bench.registered_with_profile(0);
    let lines = "Event: presence\r\nPrivacy: user;id\r\n";
    let outcome = bench.receive(from_scscf(), to_ue("SUBSCRIBE", 1, "", lines));
    let sent = outcome.to("10.9.0.2:7100")[0].clone();
    assert_eq!(sent.first(Name::From), Some(ANONYMOUS));
    bench.receive(over(&set), answer_of(&sent, 200, "a", "Expires: 600\r\n"));
    let outcome = bench.receive(from_scscf(), to_ue("SUBSCRIBE", 2, "a", "Event: presence\r\n"));
    let again = outcome.to("10.9.0.2:7100")[0];
    assert_eq!((again.first(Name::From), again.first(Name::PAssertedIdentity)), (Some(ANONYMOUS), None));
}

#[test]
fn prv_9_what_is_critical_and_cannot_be_done_is_not_delivered() {
    let mut bench = Bench::new();
    bench.registered_with_profile(0);
    let outcome = bench.receive(from_scscf(), to_ue("INVITE", 1, "", "Privacy: header;critical\r\n"));
    let (flow, refused) = outcome.only();
    assert_eq!(flow.remote.to_string(), S_CSCF);
    assert_eq!((refused.status(), refused.reason()), (Some(500), Some("Privacy required: header")));
    let outcome = bench.receive(from_scscf(), to_ue("INVITE", 2, "", "Privacy: header\r\n"));
    assert_eq!(outcome.to("10.9.0.2:7100").len(), 1, "without critical it is delivered");
    let outcome = bench.receive(from_scscf(), to_ue("INVITE", 3, "", "Privacy: critical\r\n"));
    assert_eq!(outcome.only().1.status(), Some(400));
    assert_eq!(bench.pcscf.open_privacy(), 1, "of the one that was delivered");
}

#[test]
fn prv_8_a_whole_dialog_is_anonymous_as_its_first_request_was() {
    let mut bench = Bench::new();
    let (set, verify, _) = bench.registered_with_profile(0);
    let lines = "Privacy: user;id;critical\r\nSubject: secret\r\nUser-Agent: bobs phone\r\nProxy-Require: privacy\r\n\
         Record-Route: <sip:scscf.ims.example;lr>\r\n";
    let outcome = bench.receive(from_scscf(), to_ue("INVITE", 1, "", lines));
    let invite = outcome.to("10.9.0.2:7100")[0].clone();
    assert_eq!(invite.first(Name::From), Some(ANONYMOUS));
    for gone in [Name::Subject, Name::UserAgent, Name::PAssertedIdentity, Name::Privacy, Name::ProxyRequire] {
        assert_eq!(invite.first(gone), None, "{}", gone.as_str());
    }
    // Bob sees his own name in the answer.
    let outcome = bench.receive(over(&set), answer_of(&invite, 200, "a", ""));
    let bob = "\"Bob\" <sip:bob@ims.example>;tag=b";
    assert_eq!(outcome.to(S_CSCF)[0].first(Name::From), Some(bob));
    // He says no more of it.
    for (cseq, method) in (2..).zip(["INVITE", "UPDATE", "INFO"]) {
        let outcome = bench.receive(from_scscf(), to_ue(method, cseq, "a", "Subject: secret\r\n"));
        let sent = outcome.to("10.9.0.2:7100")[0];
        assert_eq!(sent.first(Name::From), Some(ANONYMOUS), "{method}");
        assert_eq!((sent.first(Name::PAssertedIdentity), sent.first(Name::Subject)), (None, None));
    }
    let outcome = bench.receive(from_scscf(), to_ue("ACK", 1, "a", ""));
    assert_eq!(outcome.to("10.9.0.2:7100")[0].first(Name::From), Some(ANONYMOUS));
    // What the UE sends to "Anonymous" reaches Bob by his name, and the answer is hers to "Anonymous".
    let text = String::from_utf8(from_ue("BYE", 2, "b", &verify, "").bytes().to_vec()).unwrap();
    let bye = text.replace("To: <sip:bob@ims.example>;tag=b", &format!("To: {ANONYMOUS}"));
    let outcome = bench.receive(over(&set), Message::parse(bye.into_bytes()).unwrap());
    let sent = outcome.to(S_CSCF)[0].clone();
    assert_eq!(sent.first(Name::To), Some(bob));
    let ok = answer(&sent, 200, "", "P-Asserted-Identity: <sip:bob@ims.example>\r\n");
    let outcome = bench.receive(from_scscf(), ok);
    let (_, ok) = outcome.only();
    assert_eq!((ok.first(Name::To), ok.first(Name::PAssertedIdentity)), (Some(ANONYMOUS), None));
    assert_eq!((bench.pcscf.open_dialogs(), bench.pcscf.open_privacy()), (0, 0));
}

#[test]
fn prv_8_the_called_party_keeps_its_privacy_for_the_dialog() {
    let mut bench = Bench::new();
    let (set, verify, _) = bench.registered_with_profile(0);
    let outcome = bench.receive(over(&set), from_ue("INVITE", 1, "", &verify, ""));
    let invite = outcome.to(S_CSCF)[0].clone();
    let lines = "Privacy: id\r\nP-Asserted-Identity: <sip:bob@ims.example>\r\n";
    let outcome = bench.receive(from_scscf(), answer_of(&invite, 180, "b", lines));
    assert_eq!(outcome.only().1.first(Name::PAssertedIdentity), None);
    let outcome = bench.receive(
        from_scscf(),
        answer_of(&invite, 200, "b", "P-Asserted-Identity: <sip:bob@ims.example>\r\n"),
    );
    assert_eq!(outcome.only().1.first(Name::PAssertedIdentity), None);
    let outcome = bench.receive(from_scscf(), to_ue("BYE", 2, "a", ""));
    assert_eq!(outcome.to("10.9.0.2:7100")[0].first(Name::PAssertedIdentity), None);
}
