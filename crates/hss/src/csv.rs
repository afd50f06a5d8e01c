//! Import of subscribers from a CSV file with a header line.
//!
//! | Column | Content | Default |
//! |---|---|---|
//! | `imsi` or `impi` | 14 or 15 digits, or `user@realm`; one of the two in each row | – |
//! | `algorithm` | `milenage` or `tuak` | `milenage` |
//! | `k` | 32 hex digits; with TUAK 32 or 64 | – |
//! | `op` or `opc` | Milenage: 32 hex digits; one of the two in each row, told by the column, never guessed | – |
//! | `top` or `topc` | TUAK: 64 hex digits; one of the two in each row | – |
//! | `iterations` | TUAK: how often Keccak runs, 1 to 255 | 1 |
//! | `res_bits` | TUAK: length of RES, `32`, `64` or `128` | 64 |
//! | `amf` | 4 hex digits | `0000` |
//! | `sqn` | 12 hex digits: the last sequence number that was used | 0 |
//! | `impus` | URIs separated by spaces or `\|`; a leading `!` marks a barred one; the first other one is the default | from the IMSI |
//! | `anonymous` | `none`, `id`, `user` or `both`: the Privacy that the S-CSCF adds to the user's requests | `none` |
//! | `mnc_digits` | `2` or `3`: how many digits of the IMSI are the MNC | 2 |
//!
//! From an IMSI come the private identity `<imsi>@ims.mnc<MNC>.mcc<MCC>.3gppnetwork.org` and the public identity
//! `sip:` with the same. That public identity is what a phone without ISIM registers first, so a row with `imsi` and
//! `impus` still has it: at the end and barred, unless `impus` names it.

use std::collections::HashMap;
use std::path::Path;

use aka::{Algorithm, Amf, Impi, Impu, K, Op, Opc, Sqn, Top, Topc, Tuak, TuakK, TuakSettings};
use cx::Anonymity;
use zeroize::Zeroizing;

use crate::{HssError, RowError, Subscriber, SubscriberImpu};

/// One row: a subscriber and the last sequence number that was used before the import.
#[derive(Debug)]
pub struct Imported {
    pub subscriber: Subscriber,
    pub sqn: Sqn,
}

/// Reads the whole file, or says which line is wrong.
pub fn import(path: &Path) -> Result<Vec<Imported>, HssError> {
    let open = |source| HssError::Open { path: path.to_owned(), source };
    let octets = Zeroizing::new(std::fs::read(path).map_err(open)?);
    parse(&octets).map_err(|(line, error)| HssError::Import { path: path.to_owned(), line, error })
}

/// Like [`import`], from octets. The number in the error is the line.
pub fn parse(octets: &[u8]) -> Result<Vec<Imported>, (u64, RowError)> {
    let octets = octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets);
    let mut reader = ::csv::ReaderBuilder::new()
        .has_headers(true)
        .trim(::csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(octets);
    let first = line_of(octets, &::csv::Position::new());
    let header = reader.headers().map_err(|_| (first, RowError::Malformed))?;
    let columns = Columns::read(header).map_err(|error| (first, error))?;
    let mut imported = Vec::new();
    let mut lines = HashMap::new();
    let mut record = ::csv::StringRecord::new();
    loop {
        let line = line_of(octets, reader.position());
        match reader.read_record(&mut record) {
            Ok(false) => return Ok(imported),
            Ok(true) => {}
            Err(_) => return Err((line, RowError::Malformed)),
        }
        let row = Row { columns: &columns, record: &record }.read().map_err(|error| (line, error))?;
        if let Some(first) = lines.insert(row.subscriber.impi.clone(), line) {
            return Err((line, RowError::RepeatedSubscriber { first }));
        }
        imported.push(row);
    }
}

/// The line of the record that is read next: the reader's position still has blank lines and comments before it.
fn line_of(octets: &[u8], position: &::csv::Position) -> u64 {
    let start = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let rest = octets.get(start..).unwrap_or_default();
    let is_passed_over = |line: &&[u8]| matches!(line, [] | [b'\r'] | [b'#', ..]);
    let passed_over = rest.split(|octet| *octet == b'\n').take_while(is_passed_over).count();
    position.line() + passed_over as u64
}

const NAMES: [&str; 15] = [
    "imsi",
    "impi",
    "algorithm",
    "k",
    "op",
    "opc",
    "top",
    "topc",
    "iterations",
    "res_bits",
    "amf",
    "sqn",
    "impus",
    "anonymous",
    "mnc_digits",
];

/// Where each column stands.
struct Columns(HashMap<&'static str, usize>);

impl Columns {
    fn read(header: &::csv::StringRecord) -> Result<Self, RowError> {
        let mut columns = HashMap::new();
        for (index, title) in header.iter().enumerate() {
            // A title that is no column may be a key of a file without a header: only its place is told.
            let unknown = RowError::UnknownColumn { position: index + 1 };
            let name = NAMES.into_iter().find(|name| name.eq_ignore_ascii_case(title)).ok_or(unknown)?;
            if columns.insert(name, index).is_some() {
                return Err(RowError::RepeatedColumn { column: name });
            }
        }
        let columns = Self(columns);
        let needed: [(&str, &[&str]); 3] = [
            ("k", &["k"]),
            ("op or opc", &["op", "opc", "top", "topc"]),
            ("imsi or impi", &["imsi", "impi"]),
        ];
        for (column, alternatives) in needed {
            if !alternatives.iter().any(|name| columns.0.contains_key(name)) {
                return Err(RowError::MissingColumn { column });
            }
        }
        Ok(columns)
    }
}

struct Row<'a> {
    columns: &'a Columns,
    record: &'a ::csv::StringRecord,
}

impl<'a> Row<'a> {
    fn read(&self) -> Result<Imported, RowError> {
        let (impi, derived) = match (self.field("imsi"), self.field("impi")) {
            (Some(_), Some(_)) => return Err(RowError::BothIdentities),
            (None, None) => return Err(RowError::NoIdentity),
            (Some(imsi), None) => {
                let (impi, impu) = identities_of(imsi, self.mnc_digits()?)?;
                (impi, Some(impu))
            }
            (None, Some(impi)) => {
                let wanted = "user@realm, without sip:,";
                (Impi::new(impi).map_err(|_| RowError::Value { column: "impi", wanted })?, None)
            }
        };
        Ok(Imported {
            subscriber: Subscriber {
                impi,
                algorithm: self.algorithm()?,
                amf: self.value("amf", "4 hex digits", Amf::from_hex)?.unwrap_or(Amf::from_bytes([0, 0])),
                impus: self.impus(derived)?,
                anonymity: self.anonymity()?,
            },
            sqn: self.value("sqn", "12 hex digits", Sqn::from_hex)?.unwrap_or_default(),
        })
    }

    fn algorithm(&self) -> Result<Algorithm, RowError> {
        match self.field("algorithm").map(str::to_ascii_lowercase).as_deref() {
            None | Some("milenage") => self.milenage(),
            Some("tuak") => self.tuak(),
            Some(_) => Err(RowError::Value { column: "algorithm", wanted: "milenage or tuak" }),
        }
    }

    fn milenage(&self) -> Result<Algorithm, RowError> {
        self.none_of("milenage", ["top", "topc", "iterations", "res_bits"])?;
        let digits = "32 hex digits";
        let k = self.value("k", digits, K::from_hex)?;
        let k = k.ok_or(RowError::Value { column: "k", wanted: digits })?;
        let op = self.value("op", digits, Op::from_hex)?;
        let opc = self.value("opc", digits, Opc::from_hex)?;
        match (op, opc) {
            (Some(op), None) => Ok(Algorithm::milenage_with_op(k, &op)),
            (None, Some(opc)) => Ok(Algorithm::milenage(k, opc)),
            (Some(_), Some(_)) => Err(RowError::BothOpAndOpc),
            (None, None) => Err(RowError::NeitherOpNorOpc),
        }
    }

    fn tuak(&self) -> Result<Algorithm, RowError> {
        self.none_of("tuak", ["op", "opc"])?;
        let wanted = "32 or 64 hex digits";
        let k = self.value("k", wanted, TuakK::from_hex)?.ok_or(RowError::Value { column: "k", wanted })?;
        let top = self.value("top", "64 hex digits", Top::from_hex)?;
        let topc = self.value("topc", "64 hex digits", Topc::from_hex)?;
        let default = TuakSettings::default();
        let settings = TuakSettings {
            res_length: self.value("res_bits", "32, 64 or 128", str::parse)?.unwrap_or(default.res_length),
            iterations: self.value("iterations", "1 to 255", str::parse)?.unwrap_or(default.iterations),
        };
        match (top, topc) {
            (Some(top), None) => Ok(Algorithm::Tuak(Tuak::with_top(k, &top, settings))),
            (None, Some(topc)) => Ok(Algorithm::Tuak(Tuak::new(k, topc, settings))),
            (Some(_), Some(_)) => Err(RowError::BothTopAndTopc),
            (None, None) => Err(RowError::NeitherTopNorTopc),
        }
    }

    /// A value the algorithm has no use for is a row in the wrong columns.
    fn none_of<const N: usize>(
        &self,
        algorithm: &'static str,
        columns: [&'static str; N],
    ) -> Result<(), RowError> {
        let filled = columns.into_iter().find(|column| self.field(column).is_some());
        filled.map_or(Ok(()), |column| Err(RowError::OtherAlgorithm { column, algorithm }))
    }

    fn anonymity(&self) -> Result<Anonymity, RowError> {
        let wrong = RowError::Value { column: "anonymous", wanted: "none, id, user or both" };
        self.field("anonymous").map_or(Ok(Anonymity::default()), |word| Anonymity::parse(word).ok_or(wrong))
    }

    fn mnc_digits(&self) -> Result<usize, RowError> {
        match self.field("mnc_digits") {
            None | Some("2") => Ok(2),
            Some("3") => Ok(3),
            Some(_) => Err(RowError::Value { column: "mnc_digits", wanted: "2 or 3" }),
        }
    }

    fn impus(&self, derived: Option<Impu>) -> Result<Vec<SubscriberImpu>, RowError> {
        let mut impus: Vec<SubscriberImpu> = Vec::new();
        let listed = self.field("impus").unwrap_or_default();
        for text in listed.split([' ', '|']).filter(|text| !text.is_empty()) {
            let (barred, uri) = match text.strip_prefix('!') {
                Some(uri) => (true, uri),
                None => (false, text),
            };
            let wanted =
                "sip, sips or tel URIs, separated by spaces or '|', barred ones after '!', none twice,";
            let wrong = RowError::Value { column: "impus", wanted };
            let impu = Impu::new(uri).map_err(|_| wrong)?;
            if impus.iter().any(|held| held.impu == impu) {
                return Err(wrong);
            }
            impus.push(SubscriberImpu { impu, barred });
        }
        let alone = impus.is_empty();
        match derived {
            Some(impu) if !impus.iter().any(|held| held.impu == impu) => {
                //= TS 23.003 13.4B
                impus.push(SubscriberImpu { impu, barred: !alone });
            }
            None if alone => return Err(RowError::NoImpu),
            _ => {}
        }
        Ok(impus)
    }

    fn value<T, E>(
        &self,
        column: &'static str,
        wanted: &'static str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, RowError> {
        self.field(column).map(|text| read(text).map_err(|_| RowError::Value { column, wanted })).transpose()
    }

    /// None when the column is absent or the field empty.
    fn field(&self, column: &'static str) -> Option<&'a str> {
        let text = self.record.get(*self.columns.0.get(column)?)?;
        (!text.is_empty()).then_some(text)
    }
}

/// The private identity and the temporary public identity of a phone without ISIM.
//= TS 23.003 13.3
//= TS 23.003 13.4B
fn identities_of(imsi: &str, mnc_digits: usize) -> Result<(Impi, Impu), RowError> {
    let wrong = RowError::Value { column: "imsi", wanted: "14 or 15 digits" };
    if !(14..=15).contains(&imsi.len()) || !imsi.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(wrong);
    }
    let mcc = imsi.get(..3).ok_or(wrong)?;
    let mnc = imsi.get(3..3 + mnc_digits).ok_or(wrong)?;
    let nai = format!("{imsi}@ims.mnc{mnc:0>3}.mcc{mcc}.3gppnetwork.org");
    Ok((Impi::new(&nai).map_err(|_| wrong)?, Impu::new(&format!("sip:{nai}")).map_err(|_| wrong)?))
}

#[cfg(test)]
mod tests;
