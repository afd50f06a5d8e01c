//! Initial filter criteria: kept as they came, and summed up for whoever wants to see them.

use std::fmt;

use quick_xml::Reader;
use quick_xml::events::BytesStart;

use super::{Child, Document};
use crate::CxError;

/// Groups that one condition may stand in; a bound on the line, ours.
const MOST_GROUPS: usize = 16;

/// One InitialFilterCriteria element as it came, tags included. Kept for whoever evaluates it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterCriteria {
    pub xml: Vec<u8>,
}

/// What an InitialFilterCriteria says, as far as it could be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CriteriaSummary {
    /// The lowest is evaluated first.
    pub priority: Option<u32>,
    pub application_server: Option<String>,
    pub default_handling: Option<DefaultHandling>,
    pub service_info: Option<String>,
    /// One line; None where the criteria match every request.
    pub trigger: Option<String>,
}

/// What becomes of a request whose application server does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultHandling {
    SessionContinued,
    SessionTerminated,
}

impl FilterCriteria {
    /// Never fails: what cannot be read is left out.
    pub fn summary(&self) -> CriteriaSummary {
        let mut summary = CriteriaSummary::default();
        if let Ok(text) = std::str::from_utf8(&self.xml) {
            // What came before a fault in the element still counts.
            let _ = Document { text, reader: Reader::from_str(text) }.criteria(&mut summary);
        }
        summary
    }
}

impl fmt::Display for CriteriaSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.priority {
            Some(priority) => write!(f, "{priority}: ")?,
            None => f.write_str("?: ")?,
        }
        write!(f, "{} -> ", self.trigger.as_deref().unwrap_or("everything"))?;
        f.write_str(self.application_server.as_deref().unwrap_or("?"))?;
        match self.default_handling {
            Some(DefaultHandling::SessionTerminated) => f.write_str(", or the session ends"),
            Some(DefaultHandling::SessionContinued) | None => Ok(()),
        }
    }
}

/// TriggerPoint while it is read.
#[derive(Default)]
struct Trigger {
    /// Groups are joined by AND and hold what is joined by OR; the other way round in DNF.
    cnf: bool,
    conditions: Vec<(u32, String)>,
}

impl Trigger {
    fn into_line(self) -> Option<String> {
        let mut groups: Vec<u32> = self.conditions.iter().map(|(group, _)| *group).collect();
        groups.sort_unstable();
        groups.dedup();
        let (outer, inner) = if self.cnf { (" and ", " or ") } else { (" or ", " and ") };
        let of = |group| self.conditions.iter().filter(move |found| found.0 == group).map(|found| &*found.1);
        let parts: Vec<String> = groups
            .iter()
            .map(|group| {
                let members: Vec<&str> = of(*group).collect();
                match &members[..] {
                    [one] => (*one).to_owned(),
                    several if groups.len() == 1 => several.join(inner),
                    several => format!("({})", several.join(inner)),
                }
            })
            .collect();
        (!parts.is_empty()).then(|| parts.join(outer))
    }
}

impl<'a> Document<'a> {
    fn criteria(mut self, summary: &mut CriteriaSummary) -> Result<(), CxError> {
        if !matches!(self.child()?, Child::Element(_)) {
            return Err(self.not_well_formed());
        }
        while let Some(child) = self.next_element()? {
            match child.local_name().as_ref() {
                "Priority" => summary.priority = self.content(&child)?.trim().parse().ok(),
                "TriggerPoint" => summary.trigger = self.trigger_point()?.into_line(),
                "ApplicationServer" => self.application_server(summary)?,
                _ => self.skip(&child)?,
            }
        }
        Ok(())
    }

    fn application_server(&mut self, summary: &mut CriteriaSummary) -> Result<(), CxError> {
        while let Some(child) = self.next_element()? {
            match child.local_name().as_ref() {
                "ServerName" => summary.application_server = Some(self.line(&child)?),
                "ServiceInfo" => summary.service_info = Some(self.line(&child)?),
                "DefaultHandling" => {
                    summary.default_handling = match self.content(&child)?.trim() {
                        "0" => Some(DefaultHandling::SessionContinued),
                        "1" => Some(DefaultHandling::SessionTerminated),
                        _ => None,
                    };
                }
                _ => self.skip(&child)?,
            }
        }
        Ok(())
    }

    fn trigger_point(&mut self) -> Result<Trigger, CxError> {
        let mut trigger = Trigger::default();
        while let Some(child) = self.next_element()? {
            match child.local_name().as_ref() {
                "ConditionTypeCNF" => trigger.cnf = self.truth(&child)?,
                "SPT" => self.service_point(&mut trigger)?,
                _ => self.skip(&child)?,
            }
        }
        Ok(trigger)
    }

    fn service_point(&mut self, trigger: &mut Trigger) -> Result<(), CxError> {
        let (mut negated, mut groups, mut condition) = (false, Vec::new(), None);
        while let Some(child) = self.next_element()? {
            match child.local_name().as_ref() {
                "ConditionNegated" => negated = self.truth(&child)?,
                "Group" => groups.extend(self.content(&child)?.trim().parse::<u32>()),
                "RequestURI" => condition = Some(format!("request-URI {}", self.line(&child)?)),
                "Method" => condition = Some(format!("method {}", self.line(&child)?)),
                "SIPHeader" => condition = Some(self.named("header", "Header")?),
                "SessionDescription" => condition = Some(self.named("SDP line", "Line")?),
                "SessionCase" => condition = Some(session_case(self.content(&child)?.trim()).to_owned()),
                _ => self.skip(&child)?,
            }
        }
        let condition = condition.unwrap_or_else(|| "something unknown".to_owned());
        let condition = if negated { format!("not {condition}") } else { condition };
        if groups.is_empty() {
            groups.push(0);
        }
        // Each repeats the condition in the line.
        groups.truncate(MOST_GROUPS);
        trigger.conditions.extend(groups.into_iter().map(|group| (group, condition.clone())));
        Ok(())
    }

    /// A header or SDP line, and the pattern of its content.
    fn named(&mut self, what: &str, name: &str) -> Result<String, CxError> {
        let mut text = what.to_owned();
        while let Some(child) = self.next_element()? {
            match child.local_name().as_ref() {
                "Content" => text = format!("{text} = \"{}\"", self.line(&child)?),
                found if found == name => text = format!("{text} {}", self.line(&child)?),
                _ => self.skip(&child)?,
            }
        }
        Ok(text)
    }

    fn truth(&mut self, start: &BytesStart<'a>) -> Result<bool, CxError> {
        Ok(matches!(self.content(start)?.trim(), "1" | "true"))
    }

    /// Content for one line of a terminal: nothing in it may move the cursor.
    fn line(&mut self, start: &BytesStart<'a>) -> Result<String, CxError> {
        let content = self.content(start)?;
        Ok(content.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
    }
}

fn session_case(code: &str) -> &'static str {
    match code {
        "0" => "originating, registered",
        "1" => "terminating, registered",
        "2" => "terminating, unregistered",
        "3" => "originating, unregistered",
        "4" => "originating after diversion",
        _ => "an unknown session case",
    }
}
