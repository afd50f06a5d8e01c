use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, mpsc};

use rusqlite::Connection;

use super::*;
use crate::State;
use crate::store::contract::{ask, commit, impi, impu, insert, load, numbers, take};

fn key() -> MasterKey {
    MasterKey::from_bytes(&[9; 32])
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("hss.db")
    }

    fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.path(), key()).unwrap()
    }

    fn refused(&self) -> HssError {
        SqliteStore::open(&self.path(), key()).unwrap_err()
    }
}

crate::store::contract::contract!({
    let folder = Folder::new();
    let store = Arc::new(folder.open());
    (folder, store)
});

#[test]
fn aka_5_everything_is_there_after_a_restart() {
    let folder = Folder::new();
    let store = folder.open();
    insert(&store, &["a", "b"]);
    let last = numbers(&store, "a", 40).pop().unwrap();
    let loaded = load(&store, "b").unwrap();
    let mut state = State::default();
    let name = cx::ServerName::new("sip:scscf.home.example").unwrap();
    state.registered([&impu("b")].into_iter(), &impi("b"), &name);
    commit(&store, &loaded, Some(state.clone()), None).unwrap();
    drop(store);
    let store = folder.open();
    assert_eq!(numbers(&store, "a", 1)[0].seq(), last.seq() + 1);
    let again = load(&store, "b").unwrap();
    assert_eq!((&*again.state, again.revision), (&state, loaded.revision + 1));
}

#[test]
fn the_file_is_durable_and_for_its_owner_alone() {
    let folder = Folder::new();
    fs::write(folder.path(), "").unwrap();
    let store = folder.open();
    insert(&store, &["a"]);
    for file in fs::read_dir(folder.0.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600, "{:?}", file.path());
    }
    drop(store);
    let tables = Tables::open(&folder.path(), key()).unwrap();
    let pragma = |name| -> String {
        tables
            .connection()
            .pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
            .map(|value| format!("{value:?}"))
            .unwrap()
    };
    assert_eq!(pragma("synchronous"), "Integer(2)", "FULL: an answer means that the disk has it");
    assert_eq!(pragma("journal_mode"), "Text(\"wal\")");
    assert_eq!(pragma("foreign_keys"), "Integer(1)");
    assert_eq!(pragma("locking_mode"), "Text(\"exclusive\")");
}

#[test]
fn a_second_user_of_the_file_is_turned_away() {
    let folder = Folder::new();
    let first = folder.open();
    let error = folder.refused();
    assert!(matches!(error, HssError::InUse { .. }), "{error}");
    drop(first);
    folder.open();
}

#[test]
fn another_key_or_another_file_is_told_at_once() {
    let folder = Folder::new();
    insert(&folder.open(), &["a"]);
    let error = SqliteStore::open(&folder.path(), MasterKey::from_bytes(&[8; 32])).unwrap_err();
    assert!(matches!(error, HssError::WrongKey { .. }), "{error}");
    let connection = Connection::open(folder.path()).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    assert!(matches!(folder.refused(), HssError::NewerStore { found: 99, .. }));

    let foreign = Folder::new();
    Connection::open(foreign.path()).unwrap().execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
    assert!(matches!(foreign.refused(), HssError::NotOurs { .. }));
    let text = Folder::new();
    fs::write(text.path(), "not a database, but longer than a header of one is ".repeat(100)).unwrap();
    assert!(matches!(text.refused(), HssError::NotOurs { .. }));
    let folder_missing = SqliteStore::open(&text.0.path().join("none/hss.db"), key()).unwrap_err();
    assert!(matches!(folder_missing, HssError::Open { .. }));
}

#[test]
fn aka_13_no_key_is_in_the_files() {
    let folder = Folder::new();
    let store = folder.open();
    let (k, opc) = ("465b5ce8b199b49faa5f0a2ee238a6bc", "cd63cb71954a9f4e48a5994e37a02baf");
    let (k2, topc) = ("abababababababababababababababab", "0123456789abcdef".repeat(4));
    let rows = format!(
        "impi,algorithm,k,opc,topc,impus\na@home.example,milenage,{k},{opc},,sip:a@home.example\nb@home.example,tuak,{k2},,{topc},sip:b@home.example\n"
    );
    let batch = crate::subscriptions(crate::csv::parse(rows.as_bytes()).unwrap()).unwrap();
    ask(|done| store.insert(batch, IfPresent::Fail, done)).unwrap();
    let check = || {
        let mut seen = 0;
        for file in fs::read_dir(folder.0.path()).unwrap() {
            let octets = fs::read(file.unwrap().path()).unwrap();
            seen += octets.len();
            let text = String::from_utf8_lossy(&octets).to_ascii_lowercase();
            for secret in [k, opc, k2, &topc] {
                let secret = hex::decode(secret).unwrap();
                // A quarter of it would be too much already.
                for part in secret.chunks(8) {
                    assert!(!octets.windows(8).any(|window| window == part), "octets of a key");
                    assert!(!text.contains(&hex::encode(part)), "digits of a key");
                }
            }
        }
        assert!(seen > 10_000);
    };
    check();
    numbers(&store, "a", 1);
    let loaded = load(&store, "a").unwrap();
    ask(|done| store.remove(loaded.id, loaded.revision, done)).unwrap();
    check();
    drop(store);
    check();
}

#[test]
fn keys_of_two_subscribers_cannot_be_exchanged() {
    let folder = Folder::new();
    insert(&folder.open(), &["a", "b"]);
    let connection = Connection::open(folder.path()).unwrap();
    let swap = "UPDATE private_identities SET sealed = (SELECT sealed FROM private_identities AS other \
                WHERE other.impi <> private_identities.impi)";
    connection.execute(swap, []).unwrap();
    drop(connection);
    let store = folder.open();
    let error = ask(|done| store.load(Key::Impi(impi("a")), done)).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { what: "sealed key", .. }), "{error}");
}

#[test]
fn what_somebody_wrote_into_the_database_is_checked() {
    let changes = [
        ("UPDATE subscriptions SET profile = '{}'", "profile"),
        ("UPDATE subscriptions SET state = '[]'", "state"),
        ("UPDATE subscriptions SET revision = -1", "revision"),
        ("UPDATE private_identities SET seq = -1", "sequence number"),
        ("UPDATE private_identities SET seq = 8796093022208", "sequence number"),
        ("UPDATE private_identities SET ind = 32", "sequence number"),
        ("UPDATE private_identities SET amf = 65536", "AMF"),
        ("UPDATE private_identities SET sealed = x'01'", "sealed key"),
    ];
    for (change, damaged) in changes {
        let folder = Folder::new();
        insert(&folder.open(), &["a"]);
        Connection::open(folder.path()).unwrap().execute(change, []).unwrap();
        let store = folder.open();
        let error = ask(|done| store.load(Key::Impi(impi("a")), done)).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { what, .. } if what == damaged), "{change}: {error}");
    }
}

#[test]
fn a_torn_end_of_the_log_loses_nothing_that_was_answered() {
    let folder = Folder::new();
    let store = folder.open();
    insert(&store, &["a"]);
    let last = numbers(&store, "a", 20).pop().unwrap();
    // As the files lie there while the process runs: that is what a crash leaves.
    for torn in [&b""[..], &[0; 24], &[0xff; 4000], b"half a frame that a crash has cut"] {
        let copy = Folder::new();
        fs::copy(folder.path(), copy.path()).unwrap();
        let log = folder.0.path().join("hss.db-wal");
        let octets = [fs::read(&log).unwrap(), torn.to_vec()].concat();
        assert!(octets.len() > 4096 + torn.len(), "the numbers are in the log");
        fs::write(copy.0.path().join("hss.db-wal"), octets).unwrap();
        assert_eq!(numbers(&copy.open(), "a", 1)[0].seq(), last.seq() + 1);
    }
}

#[test]
fn a_damaged_file_is_an_error_that_says_what_to_do() {
    let folder = Folder::new();
    let store = folder.open();
    for n in 0..40 {
        let users: Vec<String> = (0..20).map(|m| format!("user-{n}-{m}")).collect();
        insert(&store, &users.iter().map(String::as_str).collect::<Vec<_>>());
    }
    drop(store);
    let mut octets = fs::read(folder.path()).unwrap();
    for at in (4096..octets.len()).step_by(64) {
        octets[at] ^= 0xff;
    }
    fs::write(folder.path(), octets).unwrap();
    let error = match SqliteStore::open(&folder.path(), key()) {
        Err(error) => error.to_string(),
        Ok(store) => ask(|done| store.load(Key::Impi(impi("user-7-7")), done)).unwrap_err().to_string(),
    };
    assert!(error.contains("backup"), "{error}");
}

#[test]
fn a_full_disk_fails_what_cannot_be_written_and_nothing_else() {
    let folder = Folder::new();
    let tables = Tables::open(&folder.path(), key()).unwrap();
    let pages: i64 = tables.connection().pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    tables.connection().pragma_update_and_check(None, "max_page_count", pages + 12, |_| Ok(())).unwrap();
    let store = SqliteStore::with(tables, &folder.path()).unwrap();
    insert(&store, &["a"]);
    let mut inserted = 0;
    let error = loop {
        let user = format!("user-{inserted}-{}", "x".repeat(200));
        let batch = vec![crate::store::contract::subscription(&[&user], &[&user])];
        match ask(|done| store.insert(batch, IfPresent::Fail, done)) {
            Ok(_) => inserted += 1,
            Err(error) => break error.to_string(),
        }
        assert!(inserted < 1000);
    };
    assert!(error.contains("make room"), "{error}");
    assert_eq!(ask(|done| store.count(done)).unwrap().subscriptions, inserted + 1);
    let last = numbers(&store, "a", 3).pop().unwrap();
    assert_eq!(numbers(&store, "a", 1)[0].seq(), last.seq() + 1, "numbers need no room");
}

#[test]
fn too_much_is_refused_and_what_waits_is_answered_at_the_end() {
    let folder = Folder::new();
    let store = folder.open();
    insert(&store, &["a"]);
    let loaded = load(&store, "a").unwrap();
    let (go_on, wait) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel();
    store.count(Box::new(move |_| {
        begin.send(()).unwrap();
        let _ = wait.recv();
    }));
    // From here on the store is busy, and nothing waits yet.
    begun.recv().unwrap();
    let (tell, told) = mpsc::channel();
    for _ in 0..QUEUE + 100 {
        let tell = tell.clone();
        let change =
            Change { id: loaded.id, revision: loaded.revision, state: None, take: Some(take("a", 1)) };
        store.commit(change, Box::new(move |committed| tell.send(committed).unwrap()));
    }
    drop(tell);
    drop(go_on);
    drop(store);
    let (mut busy, mut seqs) = (0, Vec::new());
    for committed in told {
        match committed {
            Ok(Committed::Done { sqns }) => seqs.push(sqns[0].seq()),
            Err(StoreError::Busy) => busy += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(busy + seqs.len(), QUEUE + 100);
    assert_eq!(busy, 100);
    assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]), "in the order they were asked for");
    assert_eq!(numbers(&folder.open(), "a", 1)[0].seq(), seqs.last().unwrap() + 1);
}
