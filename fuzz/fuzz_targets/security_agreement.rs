//! Security-Client, -Server and -Verify of RFC 3329: what is read is written the way it is read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sec_agree::{Algorithms, Policy, SecurityClient, SecurityServer, SecurityVerify};

fuzz_target!(|value: &str| {
    // A message hands over one value an item; the lines of a header are separated here.
    let values = || value.split('\n');
    if let Ok(offer) = SecurityClient::parse(values()) {
        let written = offer.to_string();
        let again = SecurityClient::parse(sip_values(&written)).expect("a written offer is an offer");
        assert!(again.setup() == offer.setup() && again.algorithms() == offer.algorithms());
        offer.verify(&again).expect("an offer equals its repetition");
        let _ = Policy::default().choose(&offer);
    }
    if let Ok(server) = SecurityServer::parse(values()) {
        let _ = server.choose(&Algorithms::ALL);
        let echo = SecurityVerify::echo(&server).to_string();
        let echo = SecurityVerify::parse(sip_values(&echo)).expect("a written echo is an echo");
        server.verify(&echo).expect("an echo equals what it echoes");
    }
    let _ = SecurityVerify::parse(values());
});

/// The values of one header line, as a SIP message gives them.
fn sip_values(line: &str) -> Vec<&str> {
    sip::text::list(line).collect()
}
