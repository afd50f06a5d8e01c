//! The daemon as a process: its configuration, its files, Cx over a socket.

mod process;

use std::io::Read;
use std::process::Stdio;

use aka::{Isim, SqnArray};
use process::{Daemon, K1, OPC, algorithm, command, impi, subscribers, vectors, write_files};

#[tokio::test]
async fn aka_5_a_card_accepts_every_vector_across_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_files(folder.path(), &subscribers(1));
    let mut card = Isim::new(algorithm(), SqnArray::new());
    for _ in 0..3 {
        let daemon = Daemon::start(&config);
        let client = daemon.client().await;
        for _ in 0..100 {
            let vector = vectors(&client, &impi(1), 1).await.unwrap().remove(0);
            let answer = card.authenticate(&vector.rand, &vector.autn).expect("the card must accept");
            assert_eq!(answer.res, vector.xres);
        }
    }
}

#[tokio::test]
async fn new_rows_are_added_and_those_that_are_there_stay() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_files(folder.path(), &subscribers(2));
    let started = Daemon::start(&config).log();
    assert!(started.contains("made a new key"), "{started}");
    assert!(started.contains("\"inserted\":2") && started.contains("\"present\":0"), "{started}");
    write_files(folder.path(), &subscribers(3));
    let daemon = Daemon::start(&config);
    assert!(!daemon.log().contains("made a new key"));
    assert!(daemon.log().contains("\"inserted\":1") && daemon.log().contains("\"present\":2"));
    // Without its row a subscriber stays as well.
    drop(daemon);
    write_files(folder.path(), &subscribers(1));
    let daemon = Daemon::start(&config);
    assert_eq!(vectors(&daemon.client().await, &impi(3), 1).await.unwrap().len(), 1);

    // Somebody new who shares an identity with somebody known is not guessed at.
    drop(daemon);
    let shares = format!("impi,k,opc,impus\nnew@home.example,{K1},{OPC},sip:{}\n", impi(1));
    write_files(folder.path(), &shares);
    assert!(Daemon::start(&config).log().contains("share an identity"));
}

#[tokio::test]
async fn aka_5_the_numbers_of_an_earlier_version_are_the_floor_once() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_files(folder.path(), &subscribers(1));
    // SEQ 0x800 has been reserved; the sum was made by that version.
    let journal = folder.path().join("subscribers.csv.sqn");
    let line = "000000010000 e5d477ab 001010000000001@ims.mnc001.mcc001.3gppnetwork.org\n";
    std::fs::write(&journal, line).unwrap();
    let seq = async |daemon: &Daemon| {
        let vector = vectors(&daemon.client().await, &impi(1), 1).await.unwrap().remove(0);
        let mut card = Isim::new(algorithm(), SqnArray::new());
        card.authenticate(&vector.rand, &vector.autn).unwrap();
        card.sqn().highest().seq()
    };
    let daemon = Daemon::start(&config);
    assert!(daemon.log().contains("took the sequence numbers over"), "{}", daemon.log());
    assert_eq!(seq(&daemon).await, 0x801);
    drop(daemon);
    assert!(!journal.exists());
    assert_eq!(seq(&Daemon::start(&config)).await, 0x802);
}

/// What a daemon says that does not start.
fn refusal(config: &std::path::Path) -> String {
    let output = command(config).stderr(Stdio::piped()).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_store_that_cannot_be_used_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_files(folder.path(), &subscribers(1));
    let running = Daemon::start(&config);
    let told = refusal(&config);
    assert!(told.contains("another process uses it"), "{told}");
    drop(running);
    let key = folder.path().join("hss.key");
    let kept = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let told = refusal(&config);
    assert!(
        told.contains("read the key file") && !key.exists(),
        "a second key would not open the database: {told}"
    );
    std::fs::write(&key, "0".repeat(64)).unwrap();
    let told = refusal(&config);
    assert!(told.contains("chmod 600"), "{told}");
    std::fs::remove_file(&key).unwrap();
    let made =
        std::process::Command::new(env!("CARGO_BIN_EXE_hss")).args(["new-key", "--out"]).arg(&key).status();
    assert!(made.unwrap().success());
    let told = refusal(&config);
    assert!(told.contains("sealed under another key"), "{told}");
    std::fs::write(&key, kept).unwrap();
    drop(Daemon::start(&config));

    let mut text = std::fs::read_to_string(&config).unwrap();
    text.push_str("[store]\nkind = \"sqlite\"\npath = \"x.db\"\nkey_file = \"x\"\ncredential = \"x\"\n");
    std::fs::write(&config, text).unwrap();
    assert!(refusal(&config).contains("give one of the two"));
}

#[tokio::test]
async fn the_key_may_come_as_a_credential_of_systemd() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_files(folder.path(), &subscribers(1));
    let database = folder.path().join("other.db");
    let mut text = std::fs::read_to_string(&config).unwrap();
    let path = database.display().to_string();
    text.push_str(&format!("[store]\nkind = \"sqlite\"\npath = {path:?}\ncredential = \"hss-key\"\n"));
    std::fs::write(&config, text).unwrap();
    assert!(refusal(&config).contains("LoadCredential"));
    let credentials = folder.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::write(credentials.join("hss-key"), "ab".repeat(32)).unwrap();
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(0o400);
    std::fs::set_permissions(credentials.join("hss-key"), mode).unwrap();
    let mut child = command(&config);
    child.env("CREDENTIALS_DIRECTORY", &credentials);
    drop(Daemon::of(child));
    assert!(database.exists());
}

#[test]
fn the_diameter_side_may_be_given_in_full_but_not_twice() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_files(folder.path(), &subscribers(1));
    let short = std::fs::read_to_string(&config).unwrap();
    let (names, rest) = short.split_at(short.find("subscribers").unwrap());
    let table = names.replacen("\"127.0.0.1:0\"", "[\"127.0.0.1:0\"]", 1);
    std::fs::write(&config, format!("{rest}[cx]\n{table}allowed_peers = [\"scscf.home.example\"]\n"))
        .unwrap();
    drop(Daemon::start(&config));
    std::fs::write(&config, format!("{short}[cx]\n{table}")).unwrap();
    assert!(refusal(&config).contains("the table cx holds them already"));
    std::fs::write(&config, rest).unwrap();
    assert!(refusal(&config).contains("listen, origin_host and origin_realm are wanted"));
}

#[test]
fn check_prints_the_configuration_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_files(folder.path(), &subscribers(1));
    let output = command(&config).arg("--check").output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(shown.contains("most_vectors = 5") && shown.contains("hss.home.example"), "{shown}");
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 2, "a check changes nothing");
}

#[test]
fn aka_13_a_wrong_subscriber_file_is_told_by_line_without_its_keys() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_files(folder.path(), &format!("imsi,k,opc\n001010000000001,{K1}0,{OPC}\n"));
    for arguments in [&["--check"][..], &[]] {
        let mut child =
            command(&config).args(arguments).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut errors, mut output) = (String::new(), String::new());
        child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
        assert!(!child.wait().unwrap().success());
        assert!(errors.contains("line 2: column k: 32 hex digits wanted"), "{errors}");
        assert!(!errors.contains("465b") && !output.contains("465b"), "{errors}");
    }
}
