//! The namespaces `ue`, `access` and `core` and the links between them.

use anyhow::Result;

use crate::links;
use crate::namespace::Namespace;
use crate::plan::{self, Family};

/// Three namespaces, joined: `ue` -- `access` -- `core`. Ends with its last user.
#[derive(Debug, Clone)]
pub struct Network {
    /// UEs; every address of the UE prefixes is its own.
    pub ue: Namespace,
    /// The P-CSCF.
    pub access: Namespace,
    /// I-CSCF, S-CSCF and HSS.
    pub core: Namespace,
}

impl Network {
    pub fn new() -> Result<Self> {
        let (ue, access, core) = (Namespace::new("ue")?, Namespace::new("access")?, Namespace::new("core")?);
        links::join((&access, plan::ACCESS_LINK), (&ue, "to-network"))?;
        links::join((&access, "to-core"), (&core, "to-access"))?;
        let ends = [Family::V4, Family::V6].map(plan::link);
        links::address(&access, plan::ACCESS_LINK, &ends.map(|(near, _)| near))?;
        links::address(&ue, "to-network", &ends.map(|(_, far)| far))?;
        links::address(&access, "to-core", &[(plan::P_CSCF_MW.ip(), 24)])?;
        links::address(&core, "to-access", &[(plan::I_CSCF.ip(), 24), (plan::S_CSCF.ip(), 24)])?;
        for family in [Family::V4, Family::V6] {
            let (_, host) = plan::link(family);
            links::own(&ue, plan::ue_prefix(family))?;
            links::route(&access, plan::ue_prefix(family), host.0)?;
        }
        Ok(Self { ue, access, core })
    }

    /// Lines for a person who wants to look into a network that stands still.
    pub fn nsenter(&self) -> String {
        [&self.ue, &self.access, &self.core].map(|namespace| namespace.nsenter()).join("\n")
    }
}
