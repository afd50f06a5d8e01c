//! A ladder of the messages between the roles, drawn in text.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

/// A column of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Party {
    Ue,
    Pcscf,
    Icscf,
    Scscf,
    Hss,
}

impl Party {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Ue, "UE"),
        (Self::Pcscf, "P-CSCF"),
        (Self::Icscf, "I-CSCF"),
        (Self::Scscf, "S-CSCF"),
        (Self::Hss, "HSS"),
    ];

    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(party, _)| *party == self).map_or("", |(_, name)| name)
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, own)| *own == name).map(|(party, _)| party)
    }

    fn column(self) -> usize {
        Self::ALL.iter().position(|(party, _)| *party == self).unwrap_or(0)
    }
}

/// Something to draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rung {
    Message { from: Party, to: Party, label: String, esp: bool },
    Note { at: Party, text: String },
}

/// Which address is whose, and which of its ports are protected.
#[derive(Debug, Clone, Default)]
pub struct Map {
    pub parties: Vec<(IpAddr, Party)>,
    pub protected: HashSet<u16>,
}

impl Map {
    pub fn party(&self, address: IpAddr) -> Option<Party> {
        // A UE address is every address that is nobody else's.
        let known = self.parties.iter().find(|(known, _)| *known == address).map(|(_, party)| *party);
        known.or(Some(Party::Ue))
    }

    pub fn message(&self, from: SocketAddr, to: SocketAddr, label: String) -> Option<Rung> {
        let (sender, receiver) = (self.party(from.ip())?, self.party(to.ip())?);
        let on_gm = sender == Party::Ue || receiver == Party::Ue;
        let esp = on_gm && self.protected.contains(&from.port()) && self.protected.contains(&to.port());
        Some(Rung::Message { from: sender, to: receiver, label, esp })
    }
}

const WIDTH: usize = 24;

/// The ladder, one line a rung; arrows of `=` are inside ESP.
pub fn draw(rungs: &[Rung]) -> String {
    let mut out = String::new();
    for (_, name) in Party::ALL {
        out.push_str(&format!("{name:<WIDTH$}"));
    }
    trim(&mut out);
    for rung in rungs {
        match rung {
            Rung::Message { from, to, label, esp } => out.push_str(&arrow(*from, *to, label, *esp)),
            Rung::Note { at, text } => {
                let mut line = rails();
                line.truncate(at.column() * WIDTH + 1);
                out.push_str(&format!("{line} * {text}"));
            }
        }
        trim(&mut out);
    }
    out
}

fn arrow(from: Party, to: Party, label: &str, esp: bool) -> String {
    let (left, right) = (from.column().min(to.column()) * WIDTH, from.column().max(to.column()) * WIDTH);
    let mut line: Vec<char> = rails().chars().collect();
    let stroke = if esp { '=' } else { '-' };
    for place in line.iter_mut().take(right).skip(left + 1) {
        *place = stroke;
    }
    let head = if from.column() < to.column() { (right.saturating_sub(1), '>') } else { (left + 1, '<') };
    if let Some(place) = line.get_mut(head.0) {
        *place = head.1;
    }
    let text = format!(" {label} ");
    let room = (right - left).saturating_sub(3);
    let start = left + 2 + room.saturating_sub(text.chars().count()) / 2;
    for (place, letter) in line.iter_mut().skip(start).zip(text.chars().take(room)) {
        *place = letter;
    }
    line.into_iter().collect()
}

fn rails() -> String {
    let mut line = String::new();
    for _ in Party::ALL {
        line.push_str(&format!("{:<WIDTH$}", "|"));
    }
    line
}

fn trim(out: &mut String) {
    out.truncate(out.trim_end().len());
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_point_where_messages_go() {
        let rungs = [
            Rung::Message { from: Party::Ue, to: Party::Pcscf, label: "REGISTER".into(), esp: false },
            Rung::Message { from: Party::Icscf, to: Party::Hss, label: "UAR".into(), esp: false },
            Rung::Note { at: Party::Pcscf, text: "four SAs".into() },
            Rung::Message { from: Party::Pcscf, to: Party::Ue, label: "200 OK".into(), esp: true },
        ];
        let drawn = draw(&rungs);
        let lines: Vec<&str> = drawn.lines().collect();
        assert!(lines[1].starts_with("|----") && lines[1].contains("REGISTER") && lines[1].contains(">|"));
        assert_eq!(lines[2].find("UAR").map(|at| at > 2 * WIDTH), Some(true));
        assert!(lines[3].ends_with("* four SAs"));
        assert!(lines[4].starts_with("|<===") && lines[4].contains("200 OK"));
    }
}
