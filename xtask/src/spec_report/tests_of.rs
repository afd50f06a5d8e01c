//! The tests of a Rust file and the ids they carry, read line by line: names and comments are all that matters.

use serde::Serialize;

use super::checklist::Id;

/// A test function that carries ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Test {
    pub name: String,
    pub file: String,
    pub line: usize,
    #[serde(skip)]
    pub ids: Vec<Id>,
}

/// What stands above the line that is read next.
#[derive(Default)]
struct Above {
    ids: Vec<Id>,
    is_test: bool,
    /// An attribute over several lines has not ended.
    open_attribute: bool,
}

/// Tests are functions under `#[test]`, `#[tokio::test]` and the like, also inside `proptest!`; and the names given to a
/// macro of the same file that makes tests.
pub fn find(file: &str, text: &str) -> Vec<Test> {
    let makers = test_making_macros(text);
    let mut tests = Vec::new();
    let mut above = Above::default();
    let mut in_block_comment = false;
    let mut in_macro = false;
    for (line, text) in (1..).zip(text.lines()) {
        let code = text.trim();
        if in_block_comment || code.starts_with("/*") {
            in_block_comment = !code.contains("*/");
        } else if let Some(comment) = comment_of(code) {
            above.ids.extend(ids_of_comment(comment));
        } else if above.open_attribute || code.starts_with("#[") {
            above.is_test |= is_test_attribute(code);
            above.open_attribute = !code.ends_with(']');
        } else {
            let begins_macro = makers.iter().any(|name| is_call(code, name));
            in_macro |= begins_macro;
            let name = match function_name(code) {
                Some(name) => Some(name).filter(|_| above.is_test),
                None if in_macro => name_in_macro(code),
                None => None,
            };
            if let Some(name) = name {
                let mut ids = ids_of_name(name);
                ids.append(&mut above.ids);
                if !ids.is_empty() {
                    tests.push(Test { name: name.to_owned(), file: file.to_owned(), line, ids });
                }
            }
            // A call over several lines ends with a line that only closes it; the name may come on a later line.
            let ends = code.ends_with(';') || code.ends_with('}') || code == ")";
            if !(begins_macro && name.is_none() && !ends) {
                above = Above::default();
            }
            in_macro &= !ends;
        }
    }
    tests
}

fn comment_of(code: &str) -> Option<&str> {
    let comment = code.strip_prefix("//")?;
    Some(comment.trim_start_matches(['/', '!']).trim())
}

/// The ids that a comment begins with: `SA-8: ...`, `SA-1, SEC-15: ...`, or nothing but ids.
fn ids_of_comment(comment: &str) -> Vec<Id> {
    let list = comment.split_once(':').map_or(comment.trim_end_matches('.'), |(list, _)| list);
    let ids: Option<Vec<Id>> =
        list.split([',', ' ']).filter(|word| !matches!(*word, "" | "and")).map(Id::parse).collect();
    ids.unwrap_or_default()
}

/// The ids that a name begins with: `aka_7_...`, `dig_12_reg_5_...`.
fn ids_of_name(name: &str) -> Vec<Id> {
    let mut words = name.split('_');
    let mut ids = Vec::new();
    while let (Some(family), Some(number)) = (words.next(), words.next()) {
        match Id::parse(&format!("{}-{number}", family.to_uppercase())) {
            Some(id) => ids.push(id),
            None => break,
        }
    }
    ids
}

/// `#[test]`, `#[tokio::test]`, `#[tokio::test(flavor = ...)]`.
fn is_test_attribute(code: &str) -> bool {
    let path: &str = code.trim_start_matches("#[").split(['(', ']']).next().unwrap_or_default();
    path.rsplit("::").next() == Some("test")
}

fn function_name(code: &str) -> Option<&str> {
    let at = if code.starts_with("fn ") { 0 } else { code.find(" fn ")? + 1 };
    let is_head = code.get(..at)?.split_whitespace().all(|word| matches!(word, "pub" | "async" | "unsafe"));
    let name = identifier(code.get(at + 3..)?);
    (is_head && !name.is_empty()).then_some(name)
}

/// Macros of this file whose expansion holds a test.
fn test_making_macros(text: &str) -> Vec<&str> {
    let mut macros = Vec::new();
    let mut current = "";
    for line in text.lines() {
        let code = line.trim();
        if let Some(name) = code.strip_prefix("macro_rules!") {
            current = identifier(name.trim_start());
        } else if line == "}" {
            current = "";
        } else if !current.is_empty() && is_test_attribute(code) && code.starts_with("#[") {
            macros.push(current);
        }
    }
    macros
}

fn is_call(code: &str, name: &str) -> bool {
    let rest = code.strip_prefix(name).and_then(|rest| rest.strip_prefix('!'));
    rest.is_some_and(|rest| rest.trim_start().starts_with(['(', '{', '[']))
}

/// The first word of a line inside a call, behind the macro's own name.
fn name_in_macro(code: &str) -> Option<&str> {
    let arguments = code.split_once('!').map_or(code, |(_, rest)| rest.trim_start());
    let name = identifier(arguments.trim_start_matches(['(', '{', '[', ' ']));
    (!ids_of_name(name).is_empty()).then_some(name)
}

fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}
