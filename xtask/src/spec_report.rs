//! Which checklist ids have a test.

mod checklist;
mod tests_of;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;

use self::checklist::{Checklist, Id};
use self::tests_of::Test;
use crate::{cargo, tidy};

#[derive(Debug, Args)]
pub struct Options {
    /// One JSON document on standard output.
    #[arg(long)]
    json: bool,
}

/// Where tests lie.
const FOLDERS: [&str; 3] = ["crates", "netns-tests", "xtask"];

pub fn run(options: &Options) -> Result<ExitCode> {
    let report = report()?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.text());
    }
    Ok(if report.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Fails with what is missing.
pub fn check() -> Result<()> {
    let report = report()?;
    if report.faults.is_empty() {
        return Ok(());
    }
    bail!("spec-report found {} faults:\n  {}", report.faults.len(), report.faults.join("\n  "))
}

fn report() -> Result<Report> {
    let root = cargo::root();
    let read = |page: &str| fs::read_to_string(root.join(page)).with_context(|| format!("read {page}"));
    let checklists = checklist::parse(&read("docs/checklists.md")?)?;
    let deviations = read("docs/deviations.md")?;
    let reasons = Reasons { left: checklist::left(&deviations), in_part: checklist::in_part(&deviations) };
    let mut tests = Vec::new();
    for folder in FOLDERS {
        for file in tidy::rust_files(&root.join(folder))? {
            let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
            let name = file.strip_prefix(root).unwrap_or(&file).display().to_string();
            tests.extend(tests_of::find(&name, &text));
        }
    }
    let mut report = Report::new(checklists, &reasons, &tests);
    // The digests lie beside the repository or beside the folder of its worktrees, or nowhere.
    let digests = root.ancestors().skip(1).take(2).map(|folder| folder.join("shared/spec"));
    if let Some(folder) = digests.into_iter().find(|folder| folder.is_dir()) {
        report.compare(&digest_ids(&folder)?);
    }
    Ok(report)
}

fn digest_ids(folder: &Path) -> Result<BTreeSet<Id>> {
    let mut ids = BTreeSet::new();
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let text = fs::read_to_string(entry?.path())?;
        ids.extend(text.lines().filter_map(|line| Some(checklist::item(line)?.0)));
    }
    Ok(ids)
}

/// What docs/deviations.md says of ids.
#[derive(Debug)]
struct Reasons {
    left: Vec<(Id, String)>,
    in_part: Vec<(Id, String)>,
}

#[derive(Debug, Serialize)]
struct Report {
    checklists: Vec<Section>,
    /// Why the report fails.
    faults: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Section {
    title: String,
    due: bool,
    items: Vec<Item>,
}

#[derive(Debug, Serialize)]
struct Item {
    id: Id,
    title: String,
    tests: Vec<Test>,
    /// The reason why it deliberately has none.
    left: Option<String>,
    /// What the tests do not show, and why.
    missing_part: Option<String>,
}

impl Report {
    fn new(checklists: Vec<Checklist>, reasons: &Reasons, tests: &[Test]) -> Self {
        let mut faults = Vec::new();
        let section = |list: Checklist| Section {
            items: list.items.into_iter().map(|(id, title)| Item::new(id, title, reasons, tests)).collect(),
            title: list.title,
            due: list.due,
        };
        let checklists: Vec<Section> = checklists.into_iter().map(section).collect();
        for item in checklists.iter().filter(|section| section.due).flat_map(|section| &section.items) {
            match (item.tests.is_empty(), &item.left) {
                (true, None) => faults.push(format!("{} has no test and no reason for that", item.id)),
                (false, Some(_)) => faults.push(format!("{} has a test and is named as left", item.id)),
                (true, Some(_)) if item.missing_part.is_some() => {
                    faults.push(format!("{} is named as left and as shown in part", item.id));
                }
                _ => {}
            }
        }
        let known: BTreeSet<&Id> =
            checklists.iter().flat_map(|section| &section.items).map(|item| &item.id).collect();
        let families: BTreeSet<&str> = known.iter().map(|id| id.family.as_str()).collect();
        let is_unknown = |id: &&Id| families.contains(id.family.as_str()) && !known.contains(id);
        for test in tests {
            let unknown = test.ids.iter().filter(is_unknown);
            faults.extend(unknown.map(|id| format!("{}:{} carries {id}, in no list", test.file, test.line)));
        }
        let named = reasons.left.iter().chain(&reasons.in_part);
        let unknown = named.map(|(id, _)| id).filter(|id| !known.contains(id));
        faults.extend(unknown.map(|id| format!("{id} has a reason and is in no list")));
        Self { checklists, faults }
    }

    /// The ids here and those of the digests must be the same.
    fn compare(&mut self, digests: &BTreeSet<Id>) {
        let here: BTreeSet<Id> =
            self.checklists.iter().flat_map(|section| &section.items).map(|item| item.id.clone()).collect();
        let missing = digests.difference(&here).map(|id| format!("{id} is missing in docs/checklists.md"));
        let unknown = here.difference(digests).map(|id| format!("{id} is in none of the digests"));
        self.faults.extend(missing.chain(unknown));
    }

    fn text(&self) -> String {
        let mut lines = Vec::new();
        for section in &self.checklists {
            let with = section.items.iter().filter(|item| !item.tests.is_empty()).count();
            let left = section.items.iter().filter(|item| item.left.is_some()).count();
            let due = if section.due { "" } else { " (not yet due)" };
            let of = section.items.len();
            let in_part = section.items.iter().filter(|item| item.missing_part.is_some()).count();
            let in_part = if in_part > 0 { format!(" ({in_part} in part)") } else { String::new() };
            lines.push(format!("{}{due}: {with} of {of} with a test{in_part}, {left} left", section.title));
            for item in section.items.iter().filter(|_| section.due) {
                let state = match &item.left {
                    _ if !item.tests.is_empty() => "",
                    Some(_) => ": left",
                    None => ": NO TEST",
                };
                lines.push(format!("  {} {}{state}", item.id, item.title));
                lines.extend(item.left.iter().map(|reason| format!("    {reason}")));
                lines.extend(item.missing_part.iter().map(|part| format!("    in part: {part}")));
                let test = |test: &Test| format!("    {} ({}:{})", test.name, test.file, test.line);
                lines.extend(item.tests.iter().map(test));
            }
        }
        lines.extend(self.faults.iter().map(|fault| format!("fault: {fault}")));
        lines.push(format!("verdict: {}", if self.faults.is_empty() { "pass" } else { "fail" }));
        lines.join("\n") + "\n"
    }
}

impl Item {
    fn new(id: Id, title: String, reasons: &Reasons, tests: &[Test]) -> Self {
        let reason =
            |rows: &[(Id, String)]| rows.iter().find(|(of, _)| *of == id).map(|(_, reason)| reason.clone());
        let (left, missing_part) = (reason(&reasons.left), reason(&reasons.in_part));
        let tests = tests.iter().filter(|test| test.ids.contains(&id)).cloned().collect();
        Self { id, title, tests, left, missing_part }
    }
}

#[cfg(test)]
mod tests;
