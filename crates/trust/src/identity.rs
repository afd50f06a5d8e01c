//! Which identities a P-CSCF asserts for a message of a registered UE (`spec/07` section 4).

use sip::{Scheme, Uri};

/// The identities to write into P-Asserted-Identity: at most one SIP or SIPS URI and one tel URI, each of them one of
/// `registered` (the identities of the P-Associated-URI, none of them barred, the default first). `preferred` is what
/// P-Preferred-Identity held. Without a match it is the default; nothing for nobody.
//= RFC 3325 5, 9.1
//= RFC 3325 9.2
pub fn assert(preferred: &[Uri<'_>], registered: &[Box<str>]) -> Vec<Box<str>> {
    let default = || registered.first().cloned().into_iter().collect();
    let is_tel = |uri: &&Uri<'_>| uri.scheme == Scheme::Tel;
    let tels = preferred.iter().filter(is_tel).count();
    if tels > 1 || preferred.len() - tels > 1 {
        return default();
    }
    let same = |wanted: &Uri<'_>, own: &str| Uri::parse(own).is_ok_and(|own| own.equals(wanted));
    let own = |wanted: &Uri<'_>| registered.iter().find(|own| same(wanted, own)).cloned();
    let asserted: Vec<_> = preferred.iter().filter_map(own).collect();
    if asserted.is_empty() { default() } else { asserted }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REGISTERED: [&str; 4] = [
        "sip:alice@home.example",
        "tel:+15550100",
        "sip:alice.work@home.example;user=phone",
        "tel:+15550101",
    ];

    fn asserted(preferred: &[&str]) -> Vec<String> {
        let preferred: Vec<_> = preferred.iter().map(|uri| Uri::parse(uri).unwrap()).collect();
        let registered: Vec<Box<str>> = REGISTERED.iter().map(|uri| (*uri).into()).collect();
        assert(&preferred, &registered).into_iter().map(String::from).collect()
    }

    #[test]
    fn prv_1_each_row_of_the_table() {
        assert_eq!(asserted(&[]), ["sip:alice@home.example"]);
        // Equal is what RFC 3261 calls equal; written is what the network knows.
        assert_eq!(asserted(&["SIP:%61lice@HOME.example"]), ["sip:alice@home.example"]);
        assert_eq!(asserted(&["tel:+1-555-0101"]), ["tel:+15550101"]);
        assert_eq!(
            asserted(&["sip:alice.work@home.example;user=phone"]),
            ["sip:alice.work@home.example;user=phone"]
        );
        assert_eq!(asserted(&["sip:mallory@home.example"]), ["sip:alice@home.example"]);
        assert_eq!(asserted(&["sip:Alice@home.example"]), ["sip:alice@home.example"]);
        assert_eq!(
            asserted(&["sip:alice@home.example", "tel:+15550101"]),
            ["sip:alice@home.example", "tel:+15550101"]
        );
        assert_eq!(
            asserted(&["tel:+15550101", "sip:alice@home.example"]),
            ["tel:+15550101", "sip:alice@home.example"]
        );
        assert_eq!(asserted(&["sip:mallory@home.example", "tel:+15550101"]), ["tel:+15550101"]);
    }

    #[test]
    fn prv_1_no_two_of_a_kind_and_nothing_for_nobody() {
        assert_eq!(
            asserted(&["sip:alice@home.example", "sip:alice.work@home.example;user=phone"]),
            ["sip:alice@home.example"]
        );
        assert_eq!(asserted(&["tel:+15550101", "tel:+15550100"]), ["sip:alice@home.example"]);
        let alice = Uri::parse("sip:alice@home.example").unwrap();
        assert!(assert(&[alice], &[]).is_empty());
        assert!(assert(&[], &[]).is_empty());
    }

    proptest! {
        #[test]
        fn prv_1_only_what_is_registered_is_ever_asserted(
            preferred in proptest::collection::vec("(sip:|sips:|tel:|SIP:)[a-z+0-9@%.;=]{1,24}", 0..5),
        ) {
            let preferred: Vec<_> = preferred.iter().filter_map(|uri| Uri::parse(uri).ok()).collect();
            let registered: Vec<Box<str>> = REGISTERED.iter().map(|uri| (*uri).into()).collect();
            let asserted = assert(&preferred, &registered);
            prop_assert!((1..=2).contains(&asserted.len()));
            prop_assert!(asserted.iter().all(|one| registered.contains(one)));
            prop_assert!(asserted.iter().filter(|one| one.starts_with("tel:")).count() <= 1);
        }
    }
}
