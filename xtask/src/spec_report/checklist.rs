//! Ids, the lists of them, and the table of those deliberately left.

use std::fmt;

use anyhow::{Result, bail};
use serde::{Serialize, Serializer};

/// An id of a checklist, such as AKA-7.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    pub family: String,
    pub number: u16,
}

impl Id {
    /// Two to four capital letters, a hyphen, a number.
    pub fn parse(text: &str) -> Option<Self> {
        let (family, number) = text.split_once('-')?;
        let is_family = (2..=4).contains(&family.len()) && family.bytes().all(|b| b.is_ascii_uppercase());
        let is_number = !number.starts_with('0') && number.bytes().all(|b| b.is_ascii_digit());
        if !is_family || !is_number {
            return None;
        }
        Some(Self { family: family.to_owned(), number: number.parse().ok()? })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.family, self.number)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One part of `docs/checklists.md`.
#[derive(Debug)]
pub struct Checklist {
    pub title: String,
    pub due: bool,
    pub items: Vec<(Id, String)>,
}

const NOT_YET_DUE: &str = " (not yet due)";

/// Each `## ` begins a list, each `- ID title` is an item of it.
pub fn parse(page: &str) -> Result<Vec<Checklist>> {
    let mut lists: Vec<Checklist> = Vec::new();
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            let title = heading.strip_suffix(NOT_YET_DUE);
            let due = title.is_none();
            lists.push(Checklist { title: title.unwrap_or(heading).to_owned(), due, items: Vec::new() });
        } else if let Some((id, title)) = item(line) {
            if lists.iter().flat_map(|list| &list.items).any(|(known, _)| *known == id) {
                bail!("docs/checklists.md has {id} twice");
            }
            let Some(list) = lists.last_mut() else {
                bail!("docs/checklists.md has {id} before any heading")
            };
            list.items.push((id, title.to_owned()));
        }
    }
    Ok(lists)
}

/// `- ID title`.
pub fn item(line: &str) -> Option<(Id, &str)> {
    let (id, title) = line.strip_prefix("- ")?.split_once(' ')?;
    Some((Id::parse(id)?, title))
}

/// Ids that have no test.
pub fn left(page: &str) -> Vec<(Id, String)> {
    rows(page, "## Checklist ids deliberately left")
}

/// Ids whose tests show a part only.
pub fn in_part(page: &str) -> Vec<(Id, String)> {
    rows(page, "## Checklist ids shown in part")
}

/// The rows `| ID | reason |` under this heading. A row may name several ids, with commas.
fn rows(page: &str, heading: &str) -> Vec<(Id, String)> {
    let lines = page.lines().skip_while(|line| *line != heading).skip(1);
    let lines = lines.take_while(|line| !line.starts_with("## "));
    let mut left = Vec::new();
    for row in lines.filter_map(|line| line.strip_prefix('|')?.trim_end().strip_suffix('|')) {
        let Some((ids, reason)) = row.split_once('|') else { continue };
        let ids = ids.split(',').filter_map(|id| Id::parse(id.trim()));
        left.extend(ids.map(|id| (id, reason.trim().to_owned())));
    }
    left
}
