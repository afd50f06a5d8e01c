//! What is wrong with a trust domain as it is configured.

use std::fmt;

use serde::Serialize;

use super::{Facts, idle_alternatives};
use crate::{Method, Protection, Rule, Trust};

/// Something an operator should change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// Of SPEC(T).
    pub point: u8,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration cannot be a trust domain.
    Fault,
    /// It can, and something in it does not do what it seems to.
    Warning,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Fault => "fault",
            Severity::Warning => "warning",
        };
        write!(f, "{word} (point {}): {}", self.point, self.text)
    }
}

pub(super) fn of(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Findings(Vec::new());
    interfaces(facts, &mut findings);
    rules(facts, &mut findings);
    names(facts, &mut findings);
    findings.0
}

struct Findings(Vec<Finding>);

impl Findings {
    fn fault(&mut self, point: u8, text: String) {
        self.0.push(Finding { severity: Severity::Fault, point, text });
    }

    fn warning(&mut self, point: u8, text: String) {
        self.0.push(Finding { severity: Severity::Warning, point, text });
    }
}

fn interfaces(facts: &Facts<'_>, findings: &mut Findings) {
    let interfaces = &facts.domain.interfaces;
    for (at, interface) in interfaces.iter().enumerate() {
        let address = interface.address;
        if interfaces.iter().take(at).any(|earlier| earlier.address == address) {
            findings.fault(2, format!("interface {address} is there twice: leave one"));
        }
        match (interface.role, interface.protection) {
            (Trust::Other, Protection::None) => findings.fault(
                2,
                format!(
                    "interface {address} leads to other operators without protection: nobody is trusted there; \
                     give it ESP (Za) or TLS, or the role untrusted"
                ),
            ),
            (Trust::Own, Protection::None) => findings.warning(
                2,
                format!(
                    "interface {address} leads to our own nodes without protection: whoever reaches it is \
                     trusted; give it ESP (Zb), or keep others away from it and write physical"
                ),
            ),
            _ => {}
        }
    }
}

fn rules(facts: &Facts<'_>, findings: &mut Findings) {
    let domain = facts.domain;
    if domain.dedicated == Some(Trust::Untrusted) {
        return findings
            .warning(4, "dedicated = untrusted: no other method of this node is ever asked".into());
    }
    for (word, rule, outgoing) in
        [("incoming", &domain.incoming, false), ("outgoing", &domain.outgoing, true)]
    {
        let idle = idle_alternatives(rule, facts, outgoing);
        if idle.len() == rule.alternatives().count() {
            let what = remedy(rule);
            findings.fault(4, format!("{word}: no method can vouch for anybody: {what}"));
        } else {
            for methods in idle {
                let joined: Vec<_> = methods.iter().map(Method::to_string).collect();
                findings.warning(4, format!("{word}: {} can vouch for nobody", joined.join(" with ")));
            }
        }
        let outside = domain.interfaces.iter().find(|interface| interface.role == Trust::Untrusted);
        if let Some(interface) = outside.filter(|_| alone(rule, Method::Closed)) {
            findings.fault(
                4,
                format!(
                    "{word}: VI (closed) trusts all, and interface {} leads outside: name another method",
                    interface.address
                ),
            );
        }
    }
}

fn alone(rule: &Rule, method: Method) -> bool {
    rule.alternatives().any(|methods| methods == [method])
}

/// What to write so that a rule has something to go by.
fn remedy(rule: &Rule) -> String {
    let needs = |method| match method {
        Method::Tls => "I wants a certificate in a [[partner]]",
        Method::Protected => "II wants a [[trust.interface]] with protection Za or Zb and role own or other",
        Method::Dedicated => "III wants dedicated = \"own\" or \"other\", or a class for a [[partner]]",
        Method::Interfaces => "IV wants a [[trust.interface]] with role own or other",
        Method::Addresses => "V wants own_prefixes or other_prefixes",
        Method::Closed => "VI wants nothing",
    };
    let mut wanted: Vec<&str> = Vec::new();
    for need in rule.methods().map(needs) {
        if !wanted.contains(&need) {
            wanted.push(need);
        }
    }
    wanted.join("; ")
}

fn names(facts: &Facts<'_>, findings: &mut Findings) {
    let domain = facts.domain;
    for certificate in domain.certificates.iter().filter(|certificate| certificate.name.contains('*')) {
        let text =
            format!("certificate {}: only whole names are compared, write each name", certificate.name);
        findings.fault(4, text);
    }
    let uses = |method| domain.incoming.names(method) || domain.outgoing.names(method);
    if !domain.certificates.is_empty() && !uses(Method::Tls) {
        findings.warning(4, "certificates are named and no rule has I (tls)".into());
    }
    let prefixes = domain.own_prefixes.len() + domain.other_prefixes.len();
    if prefixes > 0 && !uses(Method::Addresses) {
        findings.warning(4, "ranges of addresses are named and no rule has V (addresses)".into());
    }
    if uses(Method::Addresses) && !domain.other_prefixes.is_empty() {
        let protected = domain.interfaces.iter().any(|one| one.protection != Protection::None);
        if !protected {
            let text = "V (addresses) can vouch for another operator only on an interface with protection: \
                        write physical where others cannot forge addresses";
            findings.warning(2, text.into());
        }
    }
}
