//! Require, Proxy-Require, Supported, Unsupported: lists of option tags over any number of lines.

use crate::{Message, Name};

/// The tags in order, as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OptionTags<'a>(Vec<&'a str>);

impl<'a> OptionTags<'a> {
    /// All tags of that header in the message.
    pub fn of(message: &'a Message, name: Name) -> Self {
        Self(message.values(name).collect())
    }

    pub fn contains(&self, tag: &str) -> bool {
        self.0.iter().any(|found| found.eq_ignore_ascii_case(tag))
    }

    /// Whether the tag was there.
    pub fn remove(&mut self, tag: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|found| !found.eq_ignore_ascii_case(tag));
        before != self.0.len()
    }

    /// Adds the tag unless it is there.
    pub fn insert(&mut self, tag: &'a str) {
        if !self.contains(tag) {
            self.0.push(tag);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &'a str> {
        self.0.iter().copied()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The header value, `None` when no tag is left: then the header goes.
    pub fn value(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.join(", "))
    }
}
