//! Several operators, and a network of nobody's trust beside them: each operator is a [`Lab`], their borders meet on
//! one switch, and every link is recorded.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::lab::{Lab, Options};
use crate::links;
use crate::namespace::Namespace;
use crate::network::Network;
use crate::operator::Operator;
use crate::plan;
use crate::recorder::Recorder;
use crate::recording::Recording;

/// A link that is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Link {
    /// Between UEs and P-CSCF.
    Access(Operator),
    /// Of the P-CSCF towards the core.
    Pcscf(Operator),
    /// Of the I-CSCF towards the core.
    Icscf(Operator),
    /// Of the I-CSCF towards other networks.
    Border(Operator),
    /// Of the network of nobody's trust.
    Foreign,
}

/// Two operators and a stranger. Ends, and leaves nothing, when dropped.
#[derive(Debug)]
pub struct Operators {
    // Dropped in this order: the operators end before what joins them.
    labs: Vec<Lab>,
    recorders: Vec<(Link, Recorder)>,
    foreign: Namespace,
    _internet: Namespace,
}

/// Where a capture is written that a failed test leaves.
const FOLDER: &str = "AKASEC_CAPTURES";

impl Operators {
    /// What the first and the second operator are made of.
    pub fn start(options: [Options; 2]) -> Result<Self> {
        let (internet, foreign) = (Namespace::new("internet")?, Namespace::new("foreign")?);
        let operators = [(Operator::FIRST, "first"), (Operator::SECOND, "second")];
        links::join((&internet, "to-foreign"), (&foreign, "to-internet"))?;
        links::address(&foreign, "to-internet", &[(plan::FOREIGN, 24)])?;
        let mut recorders = vec![(Link::Foreign, Recorder::listen(&internet, "to-foreign")?)];
        let mut networks = Vec::new();
        for (operator, port) in operators {
            let network = Network::with_border(operator)?;
            links::join((&internet, port), (&network.icscf, "to-internet"))?;
            links::address(&network.icscf, "to-internet", &[(operator.border().ip(), 24)])?;
            let core = &network.core;
            recorders.extend([
                (Link::Access(operator), Recorder::listen(&network.access, plan::ACCESS_LINK)?),
                (Link::Pcscf(operator), Recorder::listen(core, "to-access")?),
                (Link::Icscf(operator), Recorder::listen(core, "to-icscf")?),
                (Link::Border(operator), Recorder::listen(&internet, port)?),
            ]);
            networks.push(network);
        }
        links::switch(&internet, "border", &["to-foreign", "first", "second"])?;
        let start = |(network, options)| Lab::start_in(network, options);
        let labs = networks.into_iter().zip(options).map(start).collect::<Result<_>>()?;
        Ok(Self { labs, recorders, foreign, _internet: internet })
    }

    /// The operator's UEs and its network.
    pub fn lab(&mut self, operator: Operator) -> Result<&mut Lab> {
        let found = self.labs.iter_mut().find(|lab| lab.network().operator == operator);
        found.context("there is no such operator")
    }

    /// Where a stranger may stand.
    pub fn foreign(&self) -> &Namespace {
        &self.foreign
    }

    /// What has crossed a link so far.
    pub fn recorded(&self, link: Link) -> Recording {
        // The tap reads behind the wire; what was sent is there a moment later.
        std::thread::sleep(Duration::from_millis(200));
        let recorder = self.recorders.iter().find(|(known, _)| *known == link);
        recorder.map(|(_, recorder)| recorder.recording()).unwrap_or_default()
    }

    /// Writes all links into one pcapng file.
    pub fn save(&self, file: &Path) -> Result<()> {
        let name = |link: &Link| format!("{link:?}");
        let links: Vec<_> =
            self.recorders.iter().map(|(link, recorder)| (name(link), recorder.frames())).collect();
        std::fs::write(file, crate::pcapng::file(&links)).with_context(|| format!("write {}", file.display()))
    }

    fn save_somewhere(&self) -> Result<PathBuf> {
        let folder = std::env::var_os(FOLDER).map_or_else(std::env::temp_dir, PathBuf::from);
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let name = std::thread::current().name().unwrap_or("operators").replace("::", "-");
        let file = folder.join(format!("{name}.pcapng"));
        self.save(&file)?;
        Ok(file)
    }
}

impl Drop for Operators {
    fn drop(&mut self) {
        if std::thread::panicking() {
            match self.save_somewhere() {
                Ok(file) => eprintln!("what crossed every link: {}", file.display()),
                Err(error) => eprintln!("no capture: {error:#}"),
            }
            eprintln!("{}", self.foreign.nsenter());
        }
    }
}
