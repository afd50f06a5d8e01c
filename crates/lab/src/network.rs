//! The namespaces `ue`, `access` and `core` and the links between them.

use anyhow::Result;

use crate::links;
use crate::namespace::Namespace;
use crate::plan::{self, Family};

/// Namespaces, joined: `ue` -- `access` -- `core`, or with a NAT `ue` -- `nat-inside` | `nat-outside` -- `access` --
/// `core`. Ends with its last user.
#[derive(Debug, Clone)]
pub struct Network {
    /// UEs; every address of the UE prefixes is its own.
    pub ue: Namespace,
    /// The P-CSCF.
    pub access: Namespace,
    /// I-CSCF, S-CSCF and HSS.
    pub core: Namespace,
    /// Both sides of the NAT, where there is one.
    pub nat: Option<(Namespace, Namespace)>,
}

impl Network {
    pub fn new() -> Result<Self> {
        let network = Self::unjoined()?;
        let Self { ue, access, .. } = &network;
        links::join((access, plan::ACCESS_LINK), (ue, "to-network"))?;
        let ends = [Family::V4, Family::V6].map(plan::link);
        links::address(access, plan::ACCESS_LINK, &ends.map(|(near, _)| near))?;
        links::address(ue, "to-network", &ends.map(|(_, far)| far))?;
        for family in [Family::V4, Family::V6] {
            let (_, host) = plan::link(family);
            links::own(ue, plan::ue_prefix(family))?;
            links::route(access, plan::ue_prefix(family), host.0)?;
        }
        Ok(network)
    }

    /// The same with the two sides of an IPv4 NAT on the way. Inside, the P-CSCF's address is the NAT's; outside, all
    /// UEs have the address [`plan::NAT`], and nobody knows theirs.
    pub fn behind_nat() -> Result<Self> {
        let (inside, outside) = (Namespace::new("nat-inside")?, Namespace::new("nat-outside")?);
        let network = Self { nat: Some((inside.clone(), outside.clone())), ..Self::unjoined()? };
        let Self { ue, access, .. } = &network;
        let ((near, far), (near_v6, _)) = (plan::link(Family::V4), plan::link(Family::V6));
        links::join((&inside, "to-ue"), (ue, "to-network"))?;
        links::address(&inside, "to-ue", &[near])?;
        links::address(ue, "to-network", &[far])?;
        links::own(ue, plan::ue_prefix(Family::V4))?;
        links::route(&inside, plan::ue_prefix(Family::V4), far.0)?;
        links::join((access, plan::ACCESS_LINK), (&outside, plan::NAT_LINK))?;
        links::address(access, plan::ACCESS_LINK, &[near, near_v6])?;
        links::address(&outside, plan::NAT_LINK, &[far, (plan::NAT, 32)])?;
        links::route(access, (plan::NAT, 32), far.0)?;
        Ok(network)
    }

    fn unjoined() -> Result<Self> {
        let (ue, access, core) = (Namespace::new("ue")?, Namespace::new("access")?, Namespace::new("core")?);
        links::join((&access, "to-core"), (&core, "to-access"))?;
        links::address(&access, "to-core", &[(plan::P_CSCF_MW.ip(), 24)])?;
        links::address(&core, "to-access", &[(plan::I_CSCF.ip(), 24), (plan::S_CSCF.ip(), 24)])?;
        Ok(Self { ue, access, core, nat: None })
    }

    /// Where the way between UEs and P-CSCF is seen as strangers see it. Behind a NAT that is not at the P-CSCF: there
    /// the kernel shows also what it has taken out of a tunnel.
    pub(crate) fn wire(&self) -> (&Namespace, &'static str) {
        match &self.nat {
            None => (&self.access, plan::ACCESS_LINK),
            Some((_, outside)) => (outside, plan::NAT_LINK),
        }
    }

    /// Lines for a person who wants to look into a network that stands still.
    pub fn nsenter(&self) -> String {
        let nat = self.nat.iter().flat_map(|(inside, outside)| [inside, outside]);
        let all = [&self.ue, &self.access, &self.core].into_iter().chain(nat);
        all.map(Namespace::nsenter).collect::<Vec<_>>().join("\n")
    }
}
