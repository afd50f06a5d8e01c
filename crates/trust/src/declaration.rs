//! SPEC(T): what this configuration declares about its trust domain, point by point (RFC 3324 2.3, `spec/07`
//! section 2).

mod findings;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::Serialize;

use crate::{BorderPolicy, Method, Protection, Rule, Trust, TrustDomain, WithoutPrivacy};
pub use findings::{Finding, Severity};

/// What a declaration is made from.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The domain of the operator.
    pub operator: &'a str,
    pub domain: &'a TrustDomain,
    pub border: BorderPolicy,
    /// The networks in the routing table.
    pub partners: &'a [(Box<str>, Trust)],
    /// The algorithm in challenges, from the S-CSCF.
    pub digest_algorithm: Option<&'a str>,
    /// From the P-CSCF.
    pub access: Option<Access<'a>>,
}

/// How UEs are protected.
#[derive(Debug, Clone)]
pub struct Access<'a> {
    /// Pairs "alg/ealg", best first.
    pub algorithms: &'a [String],
    /// optional, required or never.
    pub encryption: &'a str,
}

/// The eight points, and what is wrong with them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SpecT {
    pub operator: Box<str>,
    pub points: [Point; 8],
    pub findings: Vec<Finding>,
}

/// One point of SPEC(T).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Point {
    pub number: u8,
    pub subject: &'static str,
    /// What was chosen, in a line.
    pub method: String,
    /// What follows from it.
    pub details: Vec<String>,
}

impl SpecT {
    pub fn of(facts: &Facts<'_>) -> Self {
        let points = [
            authentication(facts),
            between_nodes(facts.domain),
            user_agent_to_node(facts),
            membership(facts),
            without_privacy(facts.border),
            sip(),
            asserted_identity(),
            privacy(),
        ];
        Self { operator: facts.operator.into(), points, findings: findings::of(facts) }
    }

    /// Whether the configuration can be a trust domain at all.
    pub fn stands(&self) -> bool {
        self.faults().next().is_none()
    }

    pub fn faults(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Fault)
    }
}

fn authentication(facts: &Facts<'_>) -> Point {
    let algorithm = facts.digest_algorithm.map_or_else(
        || "AKAv1-MD5, AKAv2-MD5 or AKAv2-SHA-256, as the file of the S-CSCF says".to_owned(),
        str::to_owned,
    );
    Point {
        number: 1,
        subject: "how users are authenticated",
        method: format!("IMS AKA at the S-CSCF, digest {algorithm}"),
        details: vec![
            "integrity keys from the same AKA protect each message between UE and P-CSCF".into(),
            "the P-CSCF asserts an identity only for messages over a security association, and only one that the \
             association's user has registered"
                .into(),
        ],
    }
}

fn between_nodes(domain: &TrustDomain) -> Point {
    let mut classes: Vec<Protection> = Vec::new();
    for interface in &domain.interfaces {
        if !classes.contains(&interface.protection) {
            classes.push(interface.protection);
        }
    }
    let classes: Vec<_> = classes.iter().map(Protection::to_string).collect();
    let described = domain.interfaces.iter().map(|interface| {
        let port = interface.address.port();
        let address = interface.address.ip();
        let address = if port == 0 { format!("{address}, all ports") } else { interface.address.to_string() };
        let behind = match interface.role {
            Trust::Own => "nodes of this operator",
            Trust::Other => "other operators of the trust domain",
            Trust::Untrusted => "networks outside the trust domain",
        };
        format!("{address}: {} towards {behind}", interface.protection)
    });
    let mut details: Vec<_> = described.collect();
    details.push(
        "another operator is trusted over an interface without protection by its TLS certificate only".into(),
    );
    Point {
        number: 2,
        subject: "security between nodes",
        method: if classes.is_empty() { "none: no interface is named".into() } else { classes.join(", ") },
        details,
    }
}

fn user_agent_to_node(facts: &Facts<'_>) -> Point {
    let details = match &facts.access {
        Some(access) => vec![
            format!("algorithms: {}", access.algorithms.join(", ")),
            format!("encryption: {}", access.encryption),
        ],
        None => vec!["algorithms and encryption: as the file of the P-CSCF says".into()],
    };
    Point {
        number: 3,
        subject: "security between user agent and node",
        method: "IPsec ESP between UE and P-CSCF, keys from IMS AKA, integrity always".into(),
        details: details
            .into_iter()
            .chain(["without a security association nothing is asserted".into()])
            .collect(),
    }
}

fn membership(facts: &Facts<'_>) -> Point {
    let domain = facts.domain;
    let method = match domain.dedicated {
        Some(Trust::Untrusted) => {
            "III (dedicated): this node serves networks outside, and trusts nobody".into()
        }
        _ => format!("incoming: {}; outgoing: {}", domain.incoming, domain.outgoing),
    };
    let mut details = Vec::new();
    for certificate in &domain.certificates {
        details.push(format!("certificate {}: {}", certificate.name, certificate.class));
    }
    for (prefixes, class) in [(&domain.own_prefixes, Trust::Own), (&domain.other_prefixes, Trust::Other)] {
        details.extend(prefixes.iter().map(|prefix| format!("addresses {prefix}: {class}")));
    }
    for (partner, class) in facts.partners {
        details.push(format!("network {partner}: {class}"));
    }
    details.push(
        "whoever no method vouches for is untrusted; names in messages and reverse DNS prove nothing".into(),
    );
    Point { number: 4, subject: "how membership is known", method, details }
}

fn without_privacy(border: BorderPolicy) -> Point {
    let (method, detail) = match border.without_privacy {
        WithoutPrivacy::Remove => {
            ("remove", "networks outside get no asserted identity then (TS 33.203 5.3)")
        }
        WithoutPrivacy::Send => ("send", "networks outside get the asserted identity then"),
    };
    Point {
        number: 5,
        subject: "what holds without a Privacy header",
        method: format!("no privacy is wanted; towards untrusted networks: {method}"),
        details: vec![detail.into(), "within the trust domain the asserted identity passes unchanged".into()],
    }
}

fn sip() -> Point {
    Point {
        number: 6,
        subject: "compliance with SIP",
        method: "RFC 3261".into(),
        details: vec!["what differs is in docs/deviations.md".into()],
    }
}

fn asserted_identity() -> Point {
    Point {
        number: 7,
        subject: "compliance with RFC 3325",
        method: "P-Asserted-Identity by the P-CSCF, P-Preferred-Identity ends there".into(),
        details: vec![
            "an identity asserted by a UE or an untrusted network is removed where it comes in".into(),
            "nodes in between change neither P-Asserted-Identity nor Privacy".into(),
        ],
    }
}

fn privacy() -> Point {
    Point {
        number: 8,
        subject: "how Privacy is handled",
        method: "none, id, user, history and critical, by the last-hop P-CSCF and at the border".into(),
        details: vec![
            "header and session are not built: passed on, and a 500 where they are critical".into(),
            "a dialog is treated as its first request from beginning to end".into(),
        ],
    }
}

impl fmt::Display for SpecT {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "SPEC(T) of {}", self.operator)?;
        for point in &self.points {
            writeln!(f, "\n{}. {}: {}", point.number, point.subject, point.method)?;
            for detail in &point.details {
                writeln!(f, "   - {detail}")?;
            }
        }
        if !self.findings.is_empty() {
            f.write_str("\n")?;
        }
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        Ok(())
    }
}

/// Whether any alternative of the rule can ever vouch for somebody, and which cannot.
fn idle_alternatives<'a>(rule: &'a Rule, facts: &Facts<'_>, outgoing: bool) -> Vec<&'a [Method]> {
    let can = |method: &Method| can_vouch(*method, facts, outgoing);
    rule.alternatives().filter(|methods| !methods.iter().all(can)).collect()
}

fn can_vouch(method: Method, facts: &Facts<'_>, outgoing: bool) -> bool {
    let domain = facts.domain;
    let is_member = |class: Trust| class != Trust::Untrusted;
    let mut members = domain.interfaces.iter().filter(|interface| is_member(interface.role));
    match method {
        Method::Tls => domain.certificates.iter().any(|certificate| is_member(certificate.class)),
        Method::Protected => members.any(|one| matches!(one.protection, Protection::Za | Protection::Zb)),
        Method::Dedicated => {
            domain.dedicated.is_some_and(is_member)
                || (outgoing && facts.partners.iter().any(|(_, class)| is_member(*class)))
        }
        Method::Interfaces => members.any(|one| one.role == Trust::Own || one.protection != Protection::None),
        Method::Addresses => !domain.own_prefixes.is_empty() || !domain.other_prefixes.is_empty(),
        Method::Closed => true,
    }
}
