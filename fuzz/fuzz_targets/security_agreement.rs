//! What a UE or a P-CSCF offers must be read or refused, and what was read must print as something that reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sec_agree::{Mode, Policy, SecurityClient, SecurityServer, SecurityVerify};

fuzz_target!(|text: &str| {
    let values = || sip::text::list(text);
    if let Ok(client) = SecurityClient::parse(values()) {
        let printed = client.to_string();
        let again = SecurityClient::parse(sip::text::list(&printed)).expect("what was printed is legal");
        assert!(client.verify(&again).is_ok());
        let policy = Policy::default().with_nat_traversal();
        for mode in Mode::ALL {
            if let Ok(pair) = policy.choose_in(mode, &client) {
                assert!(client.algorithms_in(mode).contains(&pair));
            }
        }
    }
    if let Ok(server) = SecurityServer::parse(values()) {
        let echo = SecurityVerify::echo(&server).to_string();
        let echo = SecurityVerify::parse(sip::text::list(&echo)).expect("an echo is legal");
        assert!(server.verify(&echo).is_ok());
    }
});
