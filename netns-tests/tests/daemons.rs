//! The daemons as processes, with the configuration files that the README shows, Cx over Diameter.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::Result;
use lab::Network;
use netns_tests::{Daemons, Process, testbed};
use xfrm::Engine;

#[test]
#[ignore = "needs a kernel with ESP"]
fn the_testbed_of_the_readme_registers_a_ue_and_ends_cleanly() -> Result<()> {
    let (network, folder) = (Network::new()?, testbed());
    let mut daemons = Daemons::start(&network, folder.path())?;

    let mut ue = Process::start(&network.ue, "ue", &["--config", "ue.toml"], folder.path())?;
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !ue.stdout().contains("registered as sip:alice@ims.mnc001.mcc001.3gppnetwork.org") {
        assert!(
            std::time::Instant::now() < deadline,
            "{}{}{}",
            ue.stdout(),
            ue.stderr(),
            daemons.pcscf.stderr()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    let states = |namespace: &lab::Namespace| namespace.run(|| Ok(Engine::open()?.states()?.len()));
    assert_eq!((states(&network.ue)?, states(&network.access)?), (4, 4));

    // SIGTERM: the UE de-registers, every daemon ends with success and leaves no state behind.
    assert!(ue.terminate()?.success(), "{}", ue.stderr());
    assert!(ue.stdout().contains("de-registered"), "{}", ue.stdout());
    for daemon in daemons.all() {
        assert!(daemon.terminate()?.success(), "{}", daemon.stderr());
    }
    assert_eq!((states(&network.ue)?, states(&network.access)?), (0, 0));
    for log in [daemons.logs(), ue.stderr(), ue.stdout()] {
        assert!(!log.contains("465b5ce8") && !log.contains("cd63cb71"), "a key is in a log");
    }
    Ok(())
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn a_p_cscf_that_answers_garbage_ends_the_ue_with_a_reason() -> Result<()> {
    let (network, folder) = (Network::new()?, testbed());
    let config = std::fs::read_to_string(folder.path().join("ue.toml"))? + "patience_seconds = 3\n";
    std::fs::write(folder.path().join("ue.toml"), config)?;
    let garbage = network.access.run(|| Ok(UdpSocket::bind("10.10.0.1:5060")?))?;
    garbage.set_read_timeout(Some(Duration::from_millis(200)))?;
    let arguments = ["--config", "ue.toml", "--once", "--json"];
    let mut ue = Process::start(&network.ue, "ue", &arguments, folder.path())?;
    let mut buffer = [0; 2048];
    let status = loop {
        if let Ok((_, from)) = garbage.recv_from(&mut buffer) {
            garbage.send_to(b"\x00\xffHTTP/1.1 200 OK\r\nnot: sip\r\n\r\n", from)?;
            garbage.send_to(b"SIP/2.0 401 Unauthorized\r\nVia: nonsense\r\n\r\n", from)?;
        }
        if let Ok(status) = ue.wait(Duration::ZERO) {
            break status;
        }
    };
    assert_eq!(status.code(), Some(5));
    assert!(ue.stdout().contains(r#""step":"failed""#), "{}", ue.stdout());
    assert!(
        ue.stderr().contains("no answer came within 3 s") && ue.stderr().contains("no SIP"),
        "{}",
        ue.stderr()
    );
    Ok(())
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn a_challenge_that_makes_no_sense_ends_the_ue_at_once() -> Result<()> {
    let (network, folder) = (Network::new()?, testbed());
    let server = network.access.run(|| Ok(UdpSocket::bind("10.10.0.1:5060")?))?;
    server.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut ue = Process::start(&network.ue, "ue", &["--config", "ue.toml", "--once"], folder.path())?;
    let mut buffer = [0; 4096];
    let (length, from) = server.recv_from(&mut buffer)?;
    let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
    let copied: String = request
        .lines()
        .filter(|line| {
            ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name))
        })
        .map(|line| format!("{line}\r\n"))
        .collect();
    let answer = format!(
        "SIP/2.0 401 Unauthorized\r\n{copied}WWW-Authenticate: Digest realm=\"x\", nonce=\"AAAA\", \
         algorithm=AKAv1-MD5\r\nContent-Length: 0\r\n\r\n"
    );
    server.send_to(answer.as_bytes(), from)?;
    let status = ue.wait(Duration::from_secs(20))?;
    assert_eq!(status.code(), Some(4));
    assert!(ue.stderr().contains("its nonce holds no RAND and AUTN"), "{}", ue.stderr());
    Ok(())
}

#[test]
#[ignore = "needs a kernel with ESP"]
fn check_reads_every_value_and_shows_no_key() -> Result<()> {
    let (network, folder) = (Network::new()?, testbed());
    for name in ["hss", "scscf", "icscf", "pcscf", "ue"] {
        let config = format!("{name}.toml");
        let mut check =
            Process::start(&network.core, name, &["--config", &config, "--check"], folder.path())?;
        assert!(check.wait(Duration::from_secs(20))?.success(), "{name}: {}", check.stderr());
        assert!(check.stdout().contains("ims.mnc001") && !check.stdout().contains("465b5ce8"), "{name}");
    }
    // Good TOML with a bad value is found by the check, not at the first phone.
    let path = folder.path().join("pcscf.toml");
    std::fs::write(&path, std::fs::read_to_string(&path)?.replace("hmac-sha-1-96/aes-cbc", "rot13/null"))?;
    let mut check =
        Process::start(&network.core, "pcscf", &["--config", "pcscf.toml", "--check"], folder.path())?;
    assert!(!check.wait(Duration::from_secs(20))?.success());
    assert!(
        check.stderr().contains("ipsec.algorithms") && check.stderr().contains("rot13"),
        "{}",
        check.stderr()
    );
    Ok(())
}
