//! One subscriber, its keys from the file that a UE's card has too.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use hss::control::{Existing, Request, Row};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::import;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// 14 or 15 digits; the private identity is made from it.
    #[arg(long, required_unless_present = "impi", conflicts_with = "impi")]
    imsi: Option<String>,
    /// The private identity, user@realm.
    #[arg(long)]
    impi: Option<String>,
    /// TOML with k, and opc or op (TUAK: topc or top), in hex; `-` reads standard input. Keys never stand on the
    /// command line: other users of the machine could read them there.
    #[arg(long, value_name = "FILE")]
    card: PathBuf,
    /// A public identity; several times for a set, the default one first, barred ones after an exclamation mark.
    #[arg(long, value_name = "IMPU")]
    impu: Vec<String>,
    /// Privacy that the S-CSCF adds to the subscriber's requests, unless they say none: id, user or both.
    #[arg(long, value_name = "WHAT", default_value = "none", value_parser = ["none", "id", "user", "both"])]
    anonymous: String,
    /// 4 hex digits.
    #[arg(long, default_value = "0000")]
    amf: String,
    /// The last sequence number that was used, 12 hex digits.
    #[arg(long, default_value = "000000000000")]
    sqn: String,
    /// How many digits of the IMSI are the MNC.
    #[arg(long, default_value_t = 2)]
    mnc_digits: u8,
    /// Replace the subscriber if it is there already.
    #[arg(long)]
    replace: bool,
}

/// As the UE reads it too; its `sqn` is what the card has seen, which says nothing here.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Card {
    k: Zeroizing<String>,
    opc: Option<Zeroizing<String>>,
    op: Option<Zeroizing<String>>,
    topc: Option<Zeroizing<String>>,
    top: Option<Zeroizing<String>>,
    iterations: Option<u32>,
    res_bits: Option<u32>,
    #[serde(rename = "sqn")]
    _sqn: Option<String>,
}

impl Options {
    pub(super) fn request(&self) -> anyhow::Result<Request> {
        let card = Card::read(&self.card)?;
        let digits = self.mnc_digits.to_string();
        let numbers = [card.iterations, card.res_bits].map(|number| number.map(|number| number.to_string()));
        let [iterations, res_bits] = &numbers;
        let algorithm = if card.top.is_some() || card.topc.is_some() { "tuak" } else { "milenage" };
        let impus = self.impu.join("|");
        let secret = |key: &'_ Option<Zeroizing<String>>| key.as_ref().map(|key| key.as_str().to_owned());
        let keys = [&card.op, &card.opc, &card.top, &card.topc]
            .map(|key| Zeroizing::new(secret(key).unwrap_or_default()));
        let [op, opc, top, topc] = &keys;
        let columns: [(&str, &str); 15] = [
            ("imsi", self.imsi.as_deref().unwrap_or_default()),
            ("impi", self.impi.as_deref().unwrap_or_default()),
            ("algorithm", algorithm),
            ("k", &card.k),
            ("op", op),
            ("opc", opc),
            ("top", top),
            ("topc", topc),
            ("iterations", iterations.as_deref().unwrap_or_default()),
            ("res_bits", res_bits.as_deref().unwrap_or_default()),
            ("amf", &self.amf),
            ("sqn", &self.sqn),
            ("impus", &impus),
            ("anonymous", &self.anonymous),
            ("mnc_digits", &digits),
        ];
        if columns.iter().any(|(_, value)| value.contains([',', '"', '\n', '\r', '#'])) {
            bail!("an identity or a key has a comma, a quotation mark, a number sign or a line end in it");
        }
        let header = columns.map(|(name, _)| name).join(",");
        let text = Zeroizing::new(columns.map(|(_, value)| value).join(","));
        let existing = if self.replace { Existing::Replace } else { Existing::Refuse };
        Ok(Request::Add { header, rows: vec![Row { line: 1, text }], existing })
    }
}

impl Card {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = import::text(path)?;
        toml::from_str(&text)
            .map_err(|error| {
                // Its own words would repeat the line, and with it a key.
                let line =
                    error.span().map_or(0, |span| text.get(..span.start).unwrap_or_default().lines().count());
                anyhow::anyhow!("line {} is no line of a card", line.max(1))
            })
            .with_context(|| {
                format!(
                    "read {}: a card has k, and opc or op (TUAK: topc or top), as quoted hex digits",
                    path.display()
                )
            })
    }
}
