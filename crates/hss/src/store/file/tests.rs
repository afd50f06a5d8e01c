use std::collections::HashSet;
use std::fs;

use super::*;

const CSV: &str = "impi,k,opc,sqn,impus\n\
    a@home.example,465b5ce8b199b49faa5f0a2ee238a6bc,cd63cb71954a9f4e48a5994e37a02baf,000000000020,sip:a@home.example\n\
    b@home.example,465b5ce8b199b49faa5f0a2ee238a6bc,cd63cb71954a9f4e48a5994e37a02baf,,sip:b@home.example\n";

struct Files {
    _folder: tempfile::TempDir,
    csv: PathBuf,
    journal: PathBuf,
}

fn files() -> Files {
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("subscribers.csv");
    fs::write(&csv, CSV).unwrap();
    let journal = FileStore::journal_path(&csv);
    Files { _folder: folder, csv, journal }
}

fn open(files: &Files) -> FileStore {
    FileStore::open(&files.csv, IndRange::ALL).unwrap()
}

fn a() -> Impi {
    Impi::new("a@home.example").unwrap()
}

#[test]
fn aka_5_no_number_leaves_twice_over_many_crashes() {
    let files = files();
    let mut seen = HashSet::new();
    let mut last = 1;
    for round in 0..20 {
        // Dropping a store cleans nothing up: FileStore has no Drop of its own.
        let mut store = open(&files);
        for _ in 0..(round * 37 % 150) {
            let sqn = store.next_sqn(&a()).unwrap();
            assert!(seen.insert(sqn), "{sqn} left twice");
            assert!(sqn.seq() > last, "in order");
            last = sqn.seq();
        }
    }
    assert!(seen.len() > 1000);
}

#[test]
fn aka_5_the_journal_is_written_before_the_number_leaves() {
    let files = files();
    let mut store = open(&files);
    for _ in 0..500 {
        let sqn = store.next_sqn(&a()).unwrap();
        // What a crash at this very moment would leave on the disk.
        let written = fs::read_to_string(&files.journal).unwrap();
        let line = written.lines().rfind(|line| line.ends_with(" a@home.example")).unwrap();
        assert!(Sqn::from_hex(&line[..12]).unwrap().seq() >= sqn.seq());
    }
}

#[test]
fn aka_5_a_torn_last_line_is_dropped() {
    let files = files();
    let mut store = open(&files);
    let mut last = Sqn::default();
    for _ in 0..200 {
        last = store.next_sqn(&a()).unwrap();
    }
    drop(store);
    let whole = fs::read(&files.journal).unwrap();
    let last_line = whole[..whole.len() - 1].iter().rposition(|octet| *octet == b'\n').unwrap() + 1;
    let unfinished = "00000000ffff 12345678 a@home.example\n";
    for torn in ["0", "00000000f", "00000000ffff 1234", unfinished, "\0\0\0\0\0"] {
        fs::write(&files.journal, [&whole, torn.as_bytes()].concat()).unwrap();
        let sqn = open(&files).next_sqn(&a()).unwrap();
        assert!(sqn.seq() > last.seq() && sqn.seq() < last.seq() + 2 * BLOCK, "{torn:?}");
    }
    // A last line torn at any place reserved numbers nobody saw: the line before counts.
    let before_last = Sqn::from_hex(std::str::from_utf8(&whole[last_line..last_line + 12]).unwrap()).unwrap();
    for length in last_line..whole.len() {
        fs::write(&files.journal, &whole[..length]).unwrap();
        let sqn = open(&files).next_sqn(&a()).unwrap();
        assert_eq!(sqn.seq(), before_last.seq() - BLOCK + 1, "cut at {length}");
    }
}

#[test]
fn a_damaged_line_in_the_middle_is_an_error() {
    let files = files();
    let mut store = open(&files);
    for _ in 0..200 {
        store.next_sqn(&a()).unwrap();
    }
    drop(store);
    let mut octets = fs::read(&files.journal).unwrap();
    octets[11] ^= 1;
    fs::write(&files.journal, &octets).unwrap();
    let error = FileStore::open(&files.csv, IndRange::ALL).unwrap_err();
    assert!(matches!(error, HssError::JournalDamaged { line: 1, .. }), "{error}");
}

#[test]
fn the_start_value_comes_from_the_file_once() {
    let files = files();
    let mut store = open(&files);
    assert_eq!(store.next_sqn(&a()).unwrap().seq(), 2, "0x20 is SEQ 1");
    assert_eq!(store.next_sqn(&Impi::new("b@home.example").unwrap()).unwrap().seq(), 1);
    drop(store);
    assert_eq!(open(&files).next_sqn(&a()).unwrap().seq(), 1 + BLOCK + 1, "the journal knows better");
}

#[test]
fn a_subscriber_who_comes_back_goes_on_where_he_was() {
    let files = files();
    let last = open(&files).next_sqn(&a()).unwrap();
    let without: String =
        CSV.lines().filter(|line| !line.starts_with("a@")).map(|line| format!("{line}\n")).collect();
    fs::write(&files.csv, without).unwrap();
    assert!(open(&files).subscriber(&a()).is_none());
    fs::write(&files.csv, CSV).unwrap();
    assert!(open(&files).next_sqn(&a()).unwrap().seq() > last.seq());
}

#[test]
fn aka_6_resynchronisation_survives_a_crash() {
    let files = files();
    let mut store = open(&files);
    store.next_sqn(&a()).unwrap();
    store.resynchronise(&a(), Sqn::from_parts(1_000_000, 3).unwrap()).unwrap();
    drop(store);
    let mut store = open(&files);
    let next = store.next_sqn(&a()).unwrap().seq();
    assert_eq!(next, 1_000_000 + BLOCK + 1);
    // A card that is far behind pulls the counter back, and that too is remembered.
    store.resynchronise(&a(), Sqn::from_parts(1 << 40, 3).unwrap()).unwrap();
    store.resynchronise(&a(), Sqn::from_parts(5, 3).unwrap()).unwrap();
    assert_eq!(store.next_sqn(&a()).unwrap().seq(), 6);
    drop(store);
    assert_eq!(open(&files).next_sqn(&a()).unwrap().seq(), 5 + BLOCK + 1);
}

#[test]
fn the_journal_is_compacted_at_start() {
    let files = files();
    let mut store = open(&files);
    for _ in 0..5000 {
        store.next_sqn(&a()).unwrap();
    }
    drop(store);
    assert!(fs::read_to_string(&files.journal).unwrap().lines().count() > 50);
    let _store = open(&files);
    assert_eq!(fs::read_to_string(&files.journal).unwrap().lines().count(), 2);
}

#[test]
fn two_stores_on_one_file_are_refused() {
    let files = files();
    let first = open(&files);
    let error = FileStore::open(&files.csv, IndRange::ALL).unwrap_err();
    assert!(matches!(error, HssError::InUse { .. }), "{error}");
    drop(first);
    open(&files);
}

#[test]
fn aka_5_the_end_of_the_numbers_is_an_error() {
    let files = files();
    let mut store = open(&files);
    let near_end = Sqn::from_parts(Sqn::MAX_SEQ - 2, 0).unwrap();
    *store.subscribers.generator(&a()).unwrap() = aka::SqnGenerator::new(near_end, IndRange::ALL);
    assert!(store.next_sqn(&a()).is_ok());
    assert!(store.next_sqn(&a()).is_ok());
    for _ in 0..2 {
        assert!(matches!(store.next_sqn(&a()), Err(HssError::Aka(AkaError::SqnExhausted))));
    }
    drop(store);
    assert!(open(&files).next_sqn(&a()).is_err(), "and stays one");
}
