//! Two operators and a network of nobody's trust, each link recorded.

use lab::plan::Family;
use lab::{Link, Operator, Operators, Options};
use netns_tests::{register, watch};

const BOTH: [Operator; 2] = [Operator::FIRST, Operator::SECOND];

#[test]
#[ignore = "needs a kernel with ESP"]
fn operators_register_their_own_ues_and_nothing_crosses_the_border() {
    watch();
    let options = [Family::V4, Family::V6].map(|family| Options { ues: 2, family, ..Options::default() });
    let mut operators = Operators::start(options).expect("two operators");
    for operator in BOTH {
        let lab = operators.lab(operator).expect("an operator");
        for member in 0..2u16 {
            let (registration, _) = register(lab, member.into());
            let uris = [operator.impu(member).into(), operator.tel(member).into()];
            assert_eq!(registration.associated_uris, uris);
        }
    }
    for operator in BOTH {
        let access = operators.recorded(Link::Access(operator));
        let clear: Vec<_> = access.messages.iter().map(|seen| seen.message.status()).collect();
        assert_eq!(clear, [None, Some(401), None, Some(401)], "a challenge for each, and no more in clear");
        assert!(access.esp_packets >= 4 && access.lost == 0 && access.opaque.is_empty(), "{access:?}");
        // Both REGISTERs of both UEs, on either side of the switch.
        for link in [Link::Pcscf(operator), Link::Icscf(operator)] {
            let core = operators.recorded(link);
            let from_p_cscf = |seen: &&lab::Captured| seen.from.ip() == operator.p_cscf_mw().ip();
            assert_eq!(core.requests("REGISTER").filter(from_p_cscf).count(), 4, "{link:?}: {core:?}");
        }
        let border = operators.recorded(Link::Border(operator));
        assert!(border.messages.is_empty() && border.opaque.is_empty(), "{border:?}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("all.pcapng");
    operators.save(&file).expect("a capture file");
    assert!(std::fs::read(file).expect("the file").windows(4).any(|octets| octets == b"SIP/"));
}
