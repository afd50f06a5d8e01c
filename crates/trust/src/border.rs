//! The headers that stop where the trust domain ends (`spec/07` section 3; RFC 7315, TS 24.229 4.4).

use serde::{Deserialize, Serialize};
use sip::header::with_integrity_protected;
use sip::text::Params;
use sip::{Draft, Name};

use crate::Privacy;

/// What only members of the trust domain say to each other, in both directions.
//= TS 24.229 4.4
const MEMBERS_ONLY: [Name; 15] = [
    Name::PPreferredIdentity,
    Name::PAccessNetworkInfo,
    Name::PChargingVector,
    Name::PChargingFunctionAddresses,
    Name::PAssociatedUri,
    Name::PCalledPartyId,
    Name::PServedUser,
    Name::PProfileKey,
    Name::PUserDatabase,
    Name::PAssertedService,
    Name::PPrivateNetworkIndication,
    Name::PEarlyMedia,
    Name::FeatureCaps,
    Name::ResourcePriority,
    Name::PrivAnswerMode,
];

/// What the operator decides about messages that leave the trust domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BorderPolicy {
    pub without_privacy: WithoutPrivacy,
}

/// The asserted identity of a sender who says nothing of privacy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WithoutPrivacy {
    Send,
    /// TS 33.203 5.3.
    #[default]
    Remove,
}

/// Takes from a message what its untrusted sender may not say: whatever asserts an identity or speaks for the
/// network. From, and the sender's Privacy, stay.
pub fn strip_incoming(draft: &mut Draft<'_>) {
    strip_members_only(draft);
    for name in [Name::PAssertedIdentity, Name::PVisitedNetworkId, Name::HistoryInfo] {
        draft.remove(name);
    }
}

/// Takes from a message what the untrusted network it goes to may not know. `privacy` is what its sender wants (see
/// [`Privacy::of`], and [`crate::PrivacyMemory`] within a dialog); what it asks for beyond this table is done by
/// [`Privacy::execute`].
pub fn strip_outgoing(draft: &mut Draft<'_>, privacy: Option<&Privacy>, policy: BorderPolicy) {
    strip_members_only(draft);
    let registers = draft.method() == Some("REGISTER");
    if !registers {
        draft.remove(Name::PVisitedNetworkId);
    }
    let hides_identity = match privacy {
        //= RFC 3325 7: with none it must not be removed
        Some(privacy) => !privacy.is_none(),
        None => policy.without_privacy == WithoutPrivacy::Remove,
    };
    if hides_identity {
        draft.remove(Name::PAssertedIdentity);
    }
    if privacy.is_some_and(|privacy| !privacy.is_none()) {
        draft.remove(Name::HistoryInfo);
    }
}

fn strip_members_only(draft: &mut Draft<'_>) {
    for name in MEMBERS_ONLY {
        draft.remove(name);
    }
    for name in [Name::Authorization, Name::ProxyAuthorization] {
        let lines: Vec<_> = draft.lines(name).map(|line| with_integrity_protected(line, None)).collect();
        if draft.lines(name).any(names_protection) {
            draft.replace_values(name, lines);
        }
    }
}

/// Whether the line could be read as one with `integrity-protected`, by whatever reader.
fn names_protection(line: &str) -> bool {
    line.to_ascii_lowercase().contains("integrity-protected")
}

/// Takes the host that made the charging identifier from P-Charging-Vector: for partners within the trust domain, who
/// get the rest of it.
//= TS 24.229 5.10.4
pub fn strip_charging_host(draft: &mut Draft<'_>) {
    const HOST: &str = "icid-generated-at";
    if !draft.lines(Name::PChargingVector).any(|line| Params::new(line).has(HOST)) {
        return;
    }
    let without_host = |line: &str| {
        let kept = Params::new(line).filter(|(name, _)| !name.eq_ignore_ascii_case(HOST));
        let written = kept.map(|(name, value)| match value {
            Some(value) => format!("{name}={value}"),
            None => name.to_owned(),
        });
        written.collect::<Vec<_>>().join(";")
    };
    let lines: Vec<_> = draft.lines(Name::PChargingVector).map(without_host).collect();
    draft.replace_values(Name::PChargingVector, lines.into_iter().filter(|line| !line.is_empty()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip::Message;

    /// Every name of the table of `spec/07` section 3.
    const TABLE: &str = "P-Asserted-Identity: <sip:alice@a.example>\r\nP-Preferred-Identity: <sip:alice@a.example>\r\n\
        P-Access-Network-Info: 3GPP-UTRAN-TDD;utran-cell-id-3gpp=00000001\r\n\
        P-Charging-Vector: icid-value=1;icid-generated-at=scscf.a.example;orig-ioi=a.example\r\n\
        P-Charging-Function-Addresses: ccf=192.0.2.200\r\nP-Visited-Network-ID: \"v.example\"\r\n\
        P-Associated-URI: <sip:alice@a.example>\r\nP-Called-Party-ID: <sip:bob@b.example>\r\n\
        P-Served-User: <sip:alice@a.example>\r\nP-Profile-Key: <sip:x@a.example>\r\nP-User-Database: <aaa://hss>\r\n\
        P-Asserted-Service: urn:urn-7:3gpp-service.ims.icsi.mmtel\r\nP-Private-Network-Indication: a.example\r\n\
        P-Early-Media: supported\r\nFeature-Caps: *;+g.3gpp.x\r\nResource-Priority: ets.0\r\n\
        History-Info: <sip:alice@a.example>;index=1\r\nPriv-Answer-Mode: Auto\r\n";

    fn message(method: &str, lines: &str) -> Message {
        let text = format!(
            "{method} sip:bob@b.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
             From: \"Alice\" <sip:alice@a.example>;tag=f1\r\nTo: <sip:bob@b.example>\r\nCall-ID: c@a\r\n\
             CSeq: 7 {method}\r\nX-Other: 1\r\n{TABLE}{lines}\r\nhello"
        );
        Message::parse(text).unwrap()
    }

    fn names(message: &Message) -> Vec<String> {
        message.fields().map(|(_, spelling, _)| spelling.to_owned()).collect()
    }

    const PLAIN: [&str; 6] = ["Via", "From", "To", "Call-ID", "CSeq", "X-Other"];

    fn outgoing(method: &str, privacy: Option<&str>, policy: WithoutPrivacy) -> Vec<String> {
        let message = message(method, "");
        let privacy = privacy.map(|header| Privacy::parse(header).unwrap());
        let mut draft = Draft::forward(&message);
        strip_outgoing(&mut draft, privacy.as_ref(), BorderPolicy { without_privacy: policy });
        let names = names(&draft.finish());
        let table: Vec<_> = names.iter().filter(|name| !PLAIN.contains(&name.as_str())).cloned().collect();
        assert_eq!(names.len() - table.len(), PLAIN.len(), "nothing else is lost: {names:?}");
        table.into_iter().filter(|name| name != "Content-Length").collect()
    }

    #[test]
    fn prv_6_what_leaves_for_an_untrusted_network() {
        for policy in [WithoutPrivacy::Send, WithoutPrivacy::Remove] {
            for hidden in ["id", "user", "id;user;critical", "header", "token"] {
                let left = outgoing("INVITE", Some(hidden), policy);
                assert_eq!(left, [""; 0], "{hidden}");
            }
            // The user wants to be seen.
            assert_eq!(outgoing("MESSAGE", Some("none"), policy), ["P-Asserted-Identity", "History-Info"]);
        }
    }

    #[test]
    fn prv_6_without_privacy_the_operator_decides() {
        assert_eq!(outgoing("INVITE", None, WithoutPrivacy::default()), ["History-Info"]);
        assert_eq!(outgoing("INVITE", None, WithoutPrivacy::Send), ["P-Asserted-Identity", "History-Info"]);
    }

    #[test]
    fn prv_6_the_home_network_of_a_visitor_learns_where_she_is() {
        let left = outgoing("REGISTER", None, WithoutPrivacy::Remove);
        assert_eq!(left, ["P-Visited-Network-ID", "History-Info"]);
    }

    #[test]
    fn prv_7_what_an_untrusted_sender_may_not_say() {
        let message = message("INVITE", "Privacy: id\r\nContent-Type: text/plain\r\n");
        let mut draft = Draft::forward(&message);
        strip_incoming(&mut draft);
        let passed = draft.finish();
        let mut expected = PLAIN.to_vec();
        expected.extend(["Privacy", "Content-Type", "Content-Length"]);
        assert_eq!(names(&passed), expected);
        // Nothing is asserted in place of what went, and From is not touched.
        assert_eq!(passed.first(Name::From), message.first(Name::From));
        assert_eq!(passed.body(), message.body());
    }

    #[test]
    fn prv_7_repeated_and_oddly_written_headers_go_too() {
        let message =
            message("INVITE", "p-asserted-identity: <sip:x@a>\r\nP-ASSERTED-IDENTITY : <sip:y@a>\r\n");
        let mut draft = Draft::forward(&message);
        strip_incoming(&mut draft);
        assert!(!draft.finish().bytes().to_ascii_lowercase().windows(10).any(|part| part == b"p-asserted"));
    }

    #[test]
    fn prv_7_nobody_outside_says_that_a_message_was_protected() {
        let credentials = "Digest username=\"a@a.example\", Integrity-Protected = yes, nonce=\"n\"";
        let lines = format!("Authorization: {credentials}\r\nProxy-Authorization: {credentials}\r\n");
        let registers = message("REGISTER", &lines);
        let mut draft = Draft::forward(&registers);
        strip_incoming(&mut draft);
        let clean = "Digest username=\"a@a.example\", nonce=\"n\"";
        assert_eq!(draft.first(Name::Authorization), Some(clean));
        assert_eq!(draft.first(Name::ProxyAuthorization), Some(clean));
        // Without it, credentials stay byte by byte.
        let untouched = "Authorization: Digest  username=\"a@a.example\" ,nonce=\"n\"\r\n";
        let message = message("REGISTER", untouched);
        let mut draft = Draft::forward(&message);
        strip_incoming(&mut draft);
        assert_eq!(draft.first(Name::Authorization), message.first(Name::Authorization));
    }

    #[test]
    fn thg_the_charging_vector_loses_its_host_only() {
        for (line, kept) in [
            (
                "icid-value=1;icid-generated-at=s.a.example;orig-ioi=a.example",
                "icid-value=1;orig-ioi=a.example",
            ),
            ("ICID-Generated-At = \"10.0.0.1;x\" ; icid-value=\"1;2\";x", "icid-value=\"1;2\";x"),
        ] {
            let mut draft = Draft::request(sip::Method::Invite, "sip:b@b");
            draft.push(Name::PChargingVector, line);
            strip_charging_host(&mut draft);
            assert_eq!(draft.first(Name::PChargingVector), Some(kept));
        }
        let untouched = "icid-value=1 ; orig-ioi=a.example";
        let mut draft = Draft::request(sip::Method::Invite, "sip:b@b");
        draft.push(Name::PChargingVector, untouched);
        strip_charging_host(&mut draft);
        assert_eq!(draft.first(Name::PChargingVector), Some(untouched));
        draft.set(Name::PChargingVector, "icid-generated-at=s.a.example");
        strip_charging_host(&mut draft);
        assert_eq!(draft.first(Name::PChargingVector), None);
    }
}
