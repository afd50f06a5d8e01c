use aka::Rand;

use super::*;

const K1: &str = "465b5ce8b199b49faa5f0a2ee238a6bc";
const OP: &str = "cdc202d5123e20f62b6d676ac72cb318";
const OPC: &str = "cd63cb71954a9f4e48a5994e37a02baf";

fn rows(text: &str) -> Vec<Imported> {
    parse(text.as_bytes()).unwrap_or_else(|(line, error)| panic!("line {line}: {error}"))
}

fn impus(row: &Imported) -> Vec<(&str, bool)> {
    row.subscriber.impus.iter().map(|held| (held.impu.as_str(), held.barred)).collect()
}

#[test]
fn op_and_opc_give_the_same_card() {
    let text = format!(
        "# made by the card printer\nimsi,k,op,opc,amf,sqn\n001010000000001,{K1},{OP},,8000,000000000040\n001010000000002,{K1},,{OPC},,\n"
    );
    let rows = rows(&text);
    let autn = |row: &Imported| {
        let sqn = Sqn::from_parts(9, 0).unwrap();
        row.subscriber.algorithm.vector(Rand::from_bytes([1; 16]), sqn, Amf::from_bytes([0, 0])).autn
    };
    assert_eq!(autn(&rows[0]), autn(&rows[1]));
    assert_eq!(rows[0].subscriber.amf, Amf::from_hex("8000").unwrap());
    assert_eq!((rows[0].sqn.seq(), rows[1].sqn.seq()), (2, 0));
    assert_eq!(crate::subscriptions(rows).unwrap().len(), 2);
}

#[test]
fn identities_come_from_the_imsi() {
    let text = format!(
        "imsi,k,opc,mnc_digits,impus\n001010000000001,{K1},{OPC},,\n310260000000001,{K1},{OPC},3,sip:x@home.example|tel:+1 !sip:y@home.example\n"
    );
    let rows = rows(&text);
    assert_eq!(rows[0].subscriber.impi.as_str(), "001010000000001@ims.mnc001.mcc001.3gppnetwork.org");
    assert_eq!(impus(&rows[0]), [("sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org", false)]);
    assert_eq!(rows[1].subscriber.impi.as_str(), "310260000000001@ims.mnc260.mcc310.3gppnetwork.org");
    let expected = [
        ("sip:x@home.example", false),
        ("tel:+1", false),
        ("sip:y@home.example", true),
        ("sip:310260000000001@ims.mnc260.mcc310.3gppnetwork.org", true),
    ];
    assert_eq!(impus(&rows[1]), expected);
}

#[test]
fn a_listed_temporary_identity_stays_as_listed() {
    let own = "sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org";
    let text = format!("imsi,k,opc,impus\n001010000000001,{K1},{OPC},{own} tel:+1\n");
    assert_eq!(impus(&rows(&text)[0]), [(own, false), ("tel:+1", false)]);
}

#[test]
fn errors_name_line_column_and_remedy() {
    let value = |column, wanted| RowError::Value { column, wanted };
    let digits = "32 hex digits";
    let cases = [
        (format!("imsi,k,op\n001010000000001,{K1},{OP}x\n"), 2, value("op", digits)),
        (format!("imsi,k,op\n\n001010000000001,{K1}0,{OP}\n"), 3, value("k", digits)),
        (format!("# x\r\n\r\nimsi,k,op\r\n# {K1}\r\n\r\n001010000000001,,{OP}\r\n"), 6, value("k", digits)),
        ("# x\nimsi,kk,op\n".to_owned(), 2, RowError::UnknownColumn { position: 2 }),
        (format!("imsi,k,op\n0010100000001,{K1},{OP}\n"), 2, value("imsi", "14 or 15 digits")),
        (format!("imsi,k,op,opc\n001010000000001,{K1},{OP},{OPC}\n"), 2, RowError::BothOpAndOpc),
        (format!("imsi,k,op,opc\n001010000000001,{K1},,\n"), 2, RowError::NeitherOpNorOpc),
        (format!("imsi,k\n001010000000001,{K1}\n"), 1, RowError::MissingColumn { column: "op or opc" }),
        (format!("imsi,op\n001010000000001,{OP}\n"), 1, RowError::MissingColumn { column: "k" }),
        (format!("imsi,k,op\n001010000000001,{K1}\n"), 2, RowError::Malformed),
        (format!("001010000000001,{K1},{OP}\n"), 1, RowError::UnknownColumn { position: 1 }),
        (format!("imsi,{K1},{OP}\n"), 1, RowError::UnknownColumn { position: 2 }),
        ("imsi,k,op,K\n".to_owned(), 1, RowError::RepeatedColumn { column: "k" }),
        (format!("imsi,impi,k,op\n001010000000001,a@b,{K1},{OP}\n"), 2, RowError::BothIdentities),
        (format!("imsi,impi,k,op\n,,{K1},{OP}\n"), 2, RowError::NoIdentity),
        (format!("impi,k,op\na@b,{K1},{OP}\n"), 2, RowError::NoImpu),
        (format!("impi,k,op\nsip:a@b,{K1},{OP}\n"), 2, value("impi", "user@realm, without sip:,")),
        (format!("imsi,k,op,mnc_digits\n001010000000001,{K1},{OP},4\n"), 2, value("mnc_digits", "2 or 3")),
        (format!("imsi,k,op,amf\n001010000000001,{K1},{OP},80\n"), 2, value("amf", "4 hex digits")),
        (format!("imsi,k,op,sqn\n001010000000001,{K1},{OP},20\n"), 2, value("sqn", "12 hex digits")),
        (
            format!("imsi,k,op\n001010000000001,{K1},{OP}\n001010000000001,{K1},{OP}\n"),
            3,
            RowError::RepeatedSubscriber { first: 2 },
        ),
    ];
    for (text, line, error) in cases {
        assert_eq!(parse(text.as_bytes()).map(|rows| rows.len()), Err((line, error)), "{text}");
    }
    assert_eq!(parse(b"imsi,k,op\n\xff,\xfe,\xfd\n").map(|_| ()), Err((2, RowError::Malformed)));
}

/// K of set 5 and 6 of TS 35.233, TOP, TOPc with one iteration, TOPc with two.
const TUAK: [&str; 4] = [
    "1574ca56881d05c189c82880f789c9cd4244955f4426aa2b69c29f15770e5aa5",
    "e59f6eb10ea406813f4991b0b9e02f181edf4c7e17b480f66d34da35ee88c95e",
    "3c6052e41532a28a47aa3cbb89f223e8f3aaa976aecd48bc3e7d6165a55eff62",
    "b04a66f26c62fcd6c82de22a179ab65506ecf47f56245cd149966cfa9cec7a51",
];

#[test]
fn aka_14_tuak_stands_beside_milenage() {
    let [k, top, topc, topc_2] = TUAK;
    let text = format!(
        "impi,impus,algorithm,k,opc,top,topc,iterations,res_bits\n\
         a@b,sip:a@b,,{K1},{OPC},,,,\n\
         c@b,sip:c@b,TUAK,{k},,{top},,,32\n\
         d@b,sip:d@b,tuak,{k},,,{topc},1,32\n\
         e@b,sip:e@b,tuak,{k},,{top},,2,128\n\
         f@b,sip:f@b,tuak,{k},,,{topc_2},2,128\n\
         g@b,sip:g@b,tuak,{K1},,{top},,,\n"
    );
    let rows = rows(&text);
    let vector = |row: &Imported| {
        let sqn = Sqn::from_parts(9, 0).unwrap();
        row.subscriber.algorithm.vector(Rand::from_bytes([1; 16]), sqn, Amf::from_bytes([0, 0]))
    };
    let vectors: Vec<_> = rows.iter().map(vector).collect();
    let lengths: Vec<_> = vectors.iter().map(|vector| vector.xres.as_bytes().len()).collect();
    assert_eq!(lengths, [8, 4, 4, 16, 16, 8]);
    assert_eq!(vectors[1], vectors[2], "TOP and its TOPc");
    assert_eq!(vectors[3], vectors[4], "TOP and its TOPc with two iterations");
    assert_ne!(vectors[1].autn, vectors[3].autn);
    assert_ne!(vectors[0].autn, vectors[5].autn);
}

#[test]
fn aka_14_rows_of_tuak_are_refused_by_line_and_column() {
    let [k, top, topc, _] = TUAK;
    let value = |column, wanted| RowError::Value { column, wanted };
    let header = "impi,impus,algorithm,k,op,top,topc,iterations,res_bits";
    let wanted = "milenage or tuak";
    let other = |column, algorithm| RowError::OtherAlgorithm { column, algorithm };
    let cases = [
        (format!("comp128,{K1},{OP},,,,"), value("algorithm", wanted)),
        (format!("tuak,{K1},{OP},{top},,,"), other("op", "tuak")),
        (format!(",{K1},{OP},{top},,,"), other("top", "milenage")),
        (format!("milenage,{K1},{OP},,,2,"), other("iterations", "milenage")),
        (format!("tuak,{k}0,,{top},,,"), value("k", "32 or 64 hex digits")),
        (format!("tuak,,,{top},,,"), value("k", "32 or 64 hex digits")),
        (format!("milenage,{k},{OP},,,,"), value("k", "32 hex digits")),
        (format!("tuak,{k},,{OP},,,"), value("top", "64 hex digits")),
        (format!("tuak,{k},,,{OP},,"), value("topc", "64 hex digits")),
        (format!("tuak,{k},,{top},{topc},,"), RowError::BothTopAndTopc),
        (format!("tuak,{k},,,,,"), RowError::NeitherTopNorTopc),
        (format!("tuak,{k},,{top},,0,"), value("iterations", "1 to 255")),
        (format!("tuak,{k},,{top},,256,"), value("iterations", "1 to 255")),
        (format!("tuak,{k},,{top},,,256"), value("res_bits", "32, 64 or 128")),
    ];
    for (fields, error) in cases {
        let text = format!("{header}\na@b,sip:a@b,,{K1},{OP},,,,\nc@b,sip:c@b,{fields}\n");
        assert_eq!(parse(text.as_bytes()).map(|rows| rows.len()), Err((3, error)), "{fields}");
        assert!(!error.to_string().contains("1574"));
    }
}

#[test]
fn aka_13_errors_never_repeat_a_field() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.csv");
    for text in [
        format!("imsi,k,op\n001010000000001,{K1}g,{OP}\n"),
        format!("{K1},{OP}\n"),
        format!("k,op,imsi\n{K1},{OP}\n"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = import(&path).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("465b") && !shown.contains("cdc2"), "{shown}");
        assert!(shown.contains("s.csv"));
    }
}

proptest::proptest! {
    #[test]
    fn import_never_panics(text in "(imsi|impi|k|op|opc|top|topc|algorithm|tuak|iterations|,|\n|[0-9a-f]{1,64}|\"| |!|sip:a@b){0,40}") {
        let _ = parse(text.as_bytes());
    }
}

#[test]
fn prv_10_the_column_anonymous_reaches_the_profile() {
    let key = "00112233445566778899aabbccddeeff";
    let file = |word: &str| {
        format!("impi,k,opc,impus,anonymous\na@home.example,{key},{key},sip:a@home.example,{word}\n")
    };
    for (word, id, user) in
        [("", false, false), ("none", false, false), ("id", true, false), ("both", true, true)]
    {
        let rows = parse(file(word).as_bytes()).unwrap();
        let made = crate::subscriptions(rows).unwrap().remove(0).subscription;
        let data = made.user_data(&made.private()[0].impi, 0);
        assert_eq!(data.profiles[0].anonymity, Anonymity { id, user }, "{word}");
    }
    assert!(matches!(parse(file("yes").as_bytes()), Err((2, RowError::Value { column: "anonymous", .. }))));
}
