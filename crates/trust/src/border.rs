//! The headers that stop where the trust domain ends (`spec/07` section 3; RFC 7315, TS 24.229 4.4).

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
/// [`Privacy::of`]); what it asks for beyond this table is done by
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
