//! What comes over a control socket: the cutting into lines, and the S-CSCF's requests.
#![no_main]

use libfuzzer_sys::fuzz_target;
use node::control::Lines;
use node::control::protocol::{line, parse};
use scscf::control::Request;

fuzz_target!(|octets: &[u8]| {
    let mut lines = Lines::new(256);
    for chunk in octets.chunks(37) {
        lines.push(chunk);
        loop {
            match lines.next_line() {
                Ok(Some(found)) => {
                    if let Ok(request) = parse::<Request>(found) {
                        assert_eq!(parse::<Request>(&line(&request)), Ok(request));
                    }
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
});
