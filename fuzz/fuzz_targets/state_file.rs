//! The file that a P-CSCF leaves to its next run.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pcscf::store::read;

fuzz_target!(|octets: &[u8]| {
    // Every octet string is also tried behind a sound first line.
    let header = b"{\"akasec\":\"pcscf state\",\"version\":1,\"boot\":\"boot\"}\n";
    for file in [octets.to_vec(), [header.as_slice(), octets].concat()] {
        if let Ok(Some(found)) = read(file.as_slice(), "boot") {
            assert!(found.devices.iter().all(|device| !device.sets.is_empty()));
        }
    }
});
