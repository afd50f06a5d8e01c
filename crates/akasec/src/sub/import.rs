//! Many subscribers from a CSV file.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use hss::control::{Added, MOST_ROWS, Request, Row};
use node::control::ask;
use node::control::protocol::LONGEST_REQUEST;
use zeroize::Zeroizing;

use super::{PATIENCE, words};
use crate::operate::{read, tell};

/// A file of a million subscribers has about a tenth of it.
const LARGEST: u64 = 2 * 1024 * 1024 * 1024;
/// What surrounds the rows of a request, generously.
const ROOM: usize = 8 * 1024;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The CSV file (its columns: README); `-` reads standard input.
    file: PathBuf,
    /// What happens with a subscriber that is there already.
    #[arg(long, value_enum, default_value_t = Present::Refuse)]
    existing: Present,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Present {
    /// The import stops before its batch.
    Refuse,
    /// It stays as it is.
    Keep,
    /// Keys and identities become the row's; sequence number, filter criteria and registration stay.
    Replace,
}

pub(super) fn run(options: &Options, socket: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let text = text(&options.file)?;
    let batches = batches(&text, options.existing)?;
    let rows: usize = batches.iter().map(|(_, rows)| rows).sum();
    let mut sum = Added { added: 0, replaced: 0, kept: 0 };
    let mut done = 0;
    for (request, rows_of_it) in &batches {
        match ask(socket, request, PATIENCE) {
            Ok(result) => {
                let added: Added = read(&result)?;
                sum.added += added.added;
                sum.replaced += added.replaced;
                sum.kept += added.kept;
            }
            Err(error) => {
                eprintln!(
                    "{done} of {rows} rows are in; go on with --existing keep once the cause is mended"
                );
                return tell(Err(error), json, |_| Ok(String::new()));
            }
        }
        done += rows_of_it;
        progress(done, rows);
    }
    tell(Ok(serde_json::to_value(sum)?), json, |_| Ok(words::added(&sum)))
}

/// A file, or standard input. It may hold keys.
pub(super) fn text(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    if path == Path::new("-") {
        let mut text = Zeroizing::new(String::new());
        std::io::stdin().lock().take(LARGEST).read_to_string(&mut text).context("read standard input")?;
        return Ok(text);
    }
    let file = std::fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
    // In one piece: a buffer that grows leaves copies behind.
    let length = file.metadata().map_or(0, |found| found.len()).min(LARGEST);
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(length).unwrap_or(0) + 1));
    file.take(LARGEST).read_to_string(&mut text).with_context(|| format!("read {}", path.display()))?;
    Ok(text)
}

/// The requests, each with the number of its rows.
fn batches(text: &str, existing: Present) -> anyhow::Result<Vec<(Request, usize)>> {
    let text = text.trim_start_matches('\u{feff}');
    let numbered = (1u64..).zip(text.lines()).map(|(line, text)| (line, text.trim_end()));
    let mut lines = numbered.filter(|(_, text)| !text.trim().is_empty() && !text.starts_with('#'));
    let Some((_, header)) = lines.next() else {
        bail!("the file is empty: its first line names the columns")
    };
    let mut batches = Vec::new();
    let (mut rows, mut octets) = (Vec::new(), 0);
    for (line, text) in lines {
        let size = text.len() + 64;
        if size + ROOM + header.len() > LONGEST_REQUEST {
            bail!("line {line} is too long for a subscriber");
        }
        if rows.len() == MOST_ROWS || octets + size + ROOM + header.len() > LONGEST_REQUEST {
            batches.push(batch(header, std::mem::take(&mut rows), existing));
            octets = 0;
        }
        octets += size;
        rows.push(Row { line, text: Zeroizing::new(text.to_owned()) });
    }
    if !rows.is_empty() {
        batches.push(batch(header, rows, existing));
    }
    Ok(batches)
}

fn batch(header: &str, rows: Vec<Row>, existing: Present) -> (Request, usize) {
    let count = rows.len();
    (Request::Add { header: header.to_owned(), rows, existing: existing.into() }, count)
}

/// On a terminal only: a log has no use for it.
fn progress(done: usize, rows: usize) {
    if std::io::stderr().is_terminal() && rows > MOST_ROWS {
        let end = if done == rows { "\n" } else { "" };
        eprint!("\r{done} of {rows} rows{end}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_lines_and_batches_their_bounds() {
        let rows: String = (0..600).map(|n| format!("user{n}@home.example,00\n")).collect();
        let text = format!("# cards\n\nimpi,k\n{rows}\n# end\n");
        let batches = batches(&text, Present::Keep).unwrap();
        assert_eq!(batches.iter().map(|(_, rows)| *rows).collect::<Vec<_>>(), [256, 256, 88]);
        let Request::Add { header, rows, .. } = &batches[0].0 else { panic!("an add") };
        assert_eq!(
            (header.as_str(), rows[0].line, rows[0].text.as_str()),
            ("impi,k", 4, "user0@home.example,00")
        );
        for (request, _) in &batches {
            assert!(node::control::protocol::line(request).len() <= LONGEST_REQUEST);
        }
        let long = format!("impi,k\n{},00\n", "x".repeat(20_000).as_str());
        let wide: String = (0..10).map(|_| format!("{},00\n", "x".repeat(20_000))).collect();
        assert_eq!(super::batches(&long, Present::Keep).unwrap().len(), 1);
        assert_eq!(super::batches(&format!("impi,k\n{wide}"), Present::Keep).unwrap().len(), 5);
    }

    #[test]
    fn what_is_no_import_is_told() {
        assert!(batches("", Present::Keep).is_err());
        assert!(batches("# nothing\n", Present::Keep).is_err());
        assert!(batches(&format!("impi,k\n{}\n", "x".repeat(70_000)), Present::Keep).is_err());
        assert!(batches("impi,k\n", Present::Keep).unwrap().is_empty());
        assert!(!format!("{:?}", batches("impi,k\na@b,0123\n", Present::Keep).unwrap()).contains("0123"));
    }
}
