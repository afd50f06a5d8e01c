//! The namespaces of one operator and its UEs, and the links between them.

use anyhow::Result;

use crate::links;
use crate::namespace::Namespace;
use crate::operator::Operator;
use crate::plan::{self, Family};

/// Namespaces, joined: `ue` -- `access` -- `core`, or with a NAT `ue` -- `nat-inside` | `nat-outside` -- `access` --
/// `core`; with a border, `core` -- `icscf` besides. Ends with its last user.
#[derive(Debug, Clone)]
pub struct Network {
    pub operator: Operator,
    /// UEs; every address of the UE prefixes is its own.
    pub ue: Namespace,
    /// The P-CSCF.
    pub access: Namespace,
    /// S-CSCF and HSS, and the I-CSCF of a network without a border.
    pub core: Namespace,
    /// The I-CSCF: the same as `core` where there is no border, else between core and border.
    pub icscf: Namespace,
    /// Both sides of the NAT, where there is one.
    pub nat: Option<(Namespace, Namespace)>,
}

/// The switch in `core` of a network with a border.
const CORE_SWITCH: &str = "core";

impl Network {
    pub fn new() -> Result<Self> {
        let network = Self::unjoined(Operator::FIRST)?;
        network.join_ues()?;
        Ok(network)
    }

    /// The network of one operator among several: the I-CSCF stands at its border, which has no link yet.
    pub(crate) fn with_border(operator: Operator) -> Result<Self> {
        let [ue, access, core, icscf] = ["ue", "access", "core", "icscf"].map(Namespace::new);
        let network = Self { operator, ue: ue?, access: access?, core: core?, icscf: icscf?, nat: None };
        network.join_ues()?;
        let Self { access, core, icscf, .. } = &network;
        let ports = [(access, "to-access", operator.p_cscf_mw()), (icscf, "to-icscf", operator.i_cscf())];
        for (namespace, port, address) in ports {
            links::join((core, port), (namespace, "to-core"))?;
            links::address(namespace, "to-core", &[(address.ip(), 24)])?;
        }
        links::switch(core, CORE_SWITCH, &ports.map(|(_, port, _)| port))?;
        links::address(core, CORE_SWITCH, &[(operator.s_cscf().ip(), 24)])?;
        Ok(network)
    }

    /// The same with the two sides of an IPv4 NAT on the way. Inside, the P-CSCF's address is the NAT's; outside, all
    /// UEs have the address [`plan::NAT`], and nobody knows theirs.
    pub fn behind_nat() -> Result<Self> {
        let (inside, outside) = (Namespace::new("nat-inside")?, Namespace::new("nat-outside")?);
        let operator = Operator::FIRST;
        let network = Self { nat: Some((inside.clone(), outside.clone())), ..Self::unjoined(operator)? };
        let Self { ue, access, .. } = &network;
        let ((near, far), (near_v6, _)) = (operator.link(Family::V4), operator.link(Family::V6));
        links::join((&inside, "to-ue"), (ue, "to-network"))?;
        links::address(&inside, "to-ue", &[near])?;
        links::address(ue, "to-network", &[far])?;
        links::own(ue, operator.ue_prefix(Family::V4))?;
        links::route(&inside, operator.ue_prefix(Family::V4), far.0)?;
        links::join((access, plan::ACCESS_LINK), (&outside, plan::NAT_LINK))?;
        links::address(access, plan::ACCESS_LINK, &[near, near_v6])?;
        links::address(&outside, plan::NAT_LINK, &[far, (plan::NAT, 32)])?;
        links::route(access, (plan::NAT, 32), far.0)?;
        Ok(network)
    }

    fn unjoined(operator: Operator) -> Result<Self> {
        let (ue, access, core) = (Namespace::new("ue")?, Namespace::new("access")?, Namespace::new("core")?);
        links::join((&access, "to-core"), (&core, "to-access"))?;
        links::address(&access, "to-core", &[(operator.p_cscf_mw().ip(), 24)])?;
        let core_addresses = [(operator.i_cscf().ip(), 24), (operator.s_cscf().ip(), 24)];
        links::address(&core, "to-access", &core_addresses)?;
        Ok(Self { operator, ue, access, icscf: core.clone(), core, nat: None })
    }

    fn join_ues(&self) -> Result<()> {
        let Self { operator, ue, access, .. } = self;
        links::join((access, plan::ACCESS_LINK), (ue, "to-network"))?;
        let ends = [Family::V4, Family::V6].map(|family| operator.link(family));
        links::address(access, plan::ACCESS_LINK, &ends.map(|(near, _)| near))?;
        links::address(ue, "to-network", &ends.map(|(_, far)| far))?;
        for family in [Family::V4, Family::V6] {
            let (_, host) = operator.link(family);
            links::own(ue, operator.ue_prefix(family))?;
            links::route(access, operator.ue_prefix(family), host.0)?;
        }
        Ok(())
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
        let all = [&self.ue, &self.access, &self.core, &self.icscf].into_iter().chain(nat);
        all.map(Namespace::nsenter).collect::<Vec<_>>().join("\n")
    }
}
