//! Which S-CSCFs may serve a user.

use std::collections::VecDeque;

use cx::{ServerCapabilities, ServerName};

use crate::SCscf;

/// S-CSCFs to try, best first. `tried` have not answered and are left out.
pub(crate) fn by_capabilities(
    known: &[SCscf],
    wanted: &ServerCapabilities,
    tried: &[ServerName],
) -> VecDeque<SCscf> {
    let able = |s_cscf: &&SCscf| wanted.mandatory.iter().all(|wanted| s_cscf.capabilities.contains(wanted));
    let optional =
        |s_cscf: &SCscf| wanted.optional.iter().filter(|wanted| s_cscf.capabilities.contains(wanted)).count();
    let mut candidates: Vec<&SCscf> =
        known.iter().filter(able).filter(|s_cscf| !tried.contains(&s_cscf.name)).collect();
    // Stable: the order of the configuration decides among equals. Those the HSS names come first.
    candidates.sort_by_key(|s_cscf| {
        let named = wanted.server_names.contains(&s_cscf.name);
        std::cmp::Reverse((named, optional(s_cscf)))
    });
    candidates.into_iter().cloned().collect()
}

/// The S-CSCF that the HSS has stored; nothing when it is not one of ours or has not answered.
pub(crate) fn by_name(known: &[SCscf], name: &ServerName, tried: &[ServerName]) -> VecDeque<SCscf> {
    let wanted = |s_cscf: &&SCscf| s_cscf.name == *name && !tried.contains(name);
    known.iter().find(wanted).cloned().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s_cscf(name: &str, capabilities: &[u32]) -> SCscf {
        let address = "10.0.0.1:5060".parse().unwrap();
        SCscf { name: ServerName::new(name).unwrap(), address, capabilities: capabilities.to_vec() }
    }

    fn chosen(mandatory: &[u32], optional: &[u32], named: &[&str], tried: &[&str]) -> Vec<String> {
        let known = [s_cscf("sip:a", &[1]), s_cscf("sip:b", &[1, 2]), s_cscf("sip:c", &[1, 2, 3])];
        let names =
            |names: &[&str]| names.iter().map(|name| ServerName::new(name).unwrap()).collect::<Vec<_>>();
        let wanted = ServerCapabilities {
            mandatory: mandatory.to_vec(),
            optional: optional.to_vec(),
            server_names: names(named),
        };
        by_capabilities(&known, &wanted, &names(tried))
            .iter()
            .map(|s_cscf| s_cscf.name.as_str().to_owned())
            .collect()
    }

    #[test]
    fn mandatory_capabilities_exclude_optional_ones_and_names_prefer() {
        assert_eq!(chosen(&[], &[], &[], &[]), ["sip:a", "sip:b", "sip:c"]);
        assert_eq!(chosen(&[2], &[], &[], &[]), ["sip:b", "sip:c"]);
        assert_eq!(chosen(&[1], &[3], &[], &[]), ["sip:c", "sip:a", "sip:b"]);
        assert_eq!(chosen(&[1], &[3], &["sip:b"], &[]), ["sip:b", "sip:c", "sip:a"]);
        assert_eq!(chosen(&[], &[], &[], &["sip:a"]), ["sip:b", "sip:c"]);
        assert!(chosen(&[9], &[], &[], &[]).is_empty());
    }
}
