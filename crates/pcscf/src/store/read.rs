//! Reads a state file, whatever is in it.

use std::collections::HashMap;
use std::io::{self, BufRead};

use serde::{Deserialize, Serialize};

use super::line::DeviceLine;
use crate::core::{Device, SavedDevice};

/// Longer lines are not written and not read. A device has two sets, each with two headers of a SIP message.
pub(super) const MAX_LINE: usize = 256 << 10;

const FORMAT: &str = "pcscf state";
const VERSION: u32 = 1;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    akasec: String,
    version: u32,
    /// Of the start of the machine whose kernel has the keys, and whose clock counts the times.
    boot: String,
}

/// What a state file holds.
#[derive(Debug, Default)]
pub struct Found {
    /// What counts of each device that still has sets.
    pub devices: Vec<SavedDevice>,
    /// Lines that no run of ours can have written.
    pub damaged: usize,
    /// The end of the last line is missing: its writer was stopped in the middle.
    pub torn: bool,
    /// Devices of a file from before the machine was last started. Nothing of it is in the kernel any more.
    pub of_earlier_boot: usize,
}

pub(super) fn header(boot: &str) -> io::Result<Vec<u8>> {
    let header = Header { akasec: FORMAT.to_owned(), version: VERSION, boot: boot.to_owned() };
    let mut line = serde_json::to_vec(&header)?;
    line.push(b'\n');
    Ok(line)
}

/// Everything in a file; `None` when its first line says that it is something else. An empty file holds nothing.
pub fn read(mut file: impl BufRead, boot: &str) -> io::Result<Option<Found>> {
    let mut found = Found::default();
    let header = match next_line(&mut file)? {
        Line::End => return Ok(Some(found)),
        // Not even the first line was finished: nothing was ever kept in it.
        Line::Torn => return Ok(Some(Found { torn: true, ..found })),
        Line::TooLong => return Ok(None),
        Line::Whole(line) => serde_json::from_slice::<Header>(&line).ok(),
    };
    let Some(header) = header.filter(|header| header.akasec == FORMAT && header.version == VERSION) else {
        return Ok(None);
    };
    let mut devices: HashMap<Device, SavedDevice> = HashMap::new();
    loop {
        let line = match next_line(&mut file)? {
            Line::End => break,
            Line::Torn => {
                found.torn = true;
                break;
            }
            Line::TooLong => None,
            Line::Whole(line) => serde_json::from_slice(&line).ok().and_then(DeviceLine::into_saved),
        };
        match line {
            None => found.damaged += 1,
            Some(saved) if saved.sets.is_empty() => drop(devices.remove(&saved.device)),
            Some(saved) => drop(devices.insert(saved.device.clone(), saved)),
        }
    }
    if header.boot == boot {
        found.devices = devices.into_values().collect();
    } else {
        found.of_earlier_boot = devices.len();
    }
    Ok(Some(found))
}

enum Line {
    Whole(Vec<u8>),
    TooLong,
    Torn,
    End,
}

/// The next line without its end; never more of it in memory than [`MAX_LINE`].
fn next_line(file: &mut impl BufRead) -> io::Result<Line> {
    let (mut line, mut too_long) = (Vec::new(), false);
    loop {
        let there = file.fill_buf()?;
        if there.is_empty() {
            return Ok(if line.is_empty() && !too_long { Line::End } else { Line::Torn });
        }
        let end = there.iter().position(|octet| *octet == b'\n');
        let (part, used) = match end {
            Some(end) => (there.get(..end).unwrap_or_default(), end + 1),
            None => (there, there.len()),
        };
        too_long |= line.len() + part.len() >= MAX_LINE;
        if too_long {
            line.clear();
        } else {
            line.extend_from_slice(part);
        }
        file.consume(used);
        if end.is_some() {
            return Ok(if too_long { Line::TooLong } else { Line::Whole(line) });
        }
    }
}
