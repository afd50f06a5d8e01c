use std::net::{IpAddr, SocketAddr};

use netlink_packet_xfrm::policy::{DelGetMessage, ModifyMessage};
use netlink_packet_xfrm::{
    Id, LifetimeConfig, Selector, UserPolicyId, UserPolicyInfo, UserTemplate, XFRM_MODE_TRANSPORT,
    XFRM_POLICY_ALLOW, XFRM_POLICY_IN, XFRM_POLICY_OUT, XfrmAttrs, XfrmMessage,
};
use sec_agree::{ClientPorts, Port};

use crate::selector::{self, Direction};

/// What is protected on a local address: four policies for ever, however many UEs come. The states carry the exact
/// selectors; the policies only say that nothing passes these ports outside ESP.
///
/// They also fail closed: clear text to a protected port is dropped by the kernel (XfrmInTmplMismatch), and so is a
/// clear packet that would leave from one (XfrmOutNoStates).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protection {
    pub local: IpAddr,
    /// 32 or 128 for one address; shorter where a host answers for a whole prefix, as a UE simulator does.
    pub prefix: u8,
    pub server: Port,
    pub clients: ClientPorts,
}

impl Protection {
    pub fn of_address(local: IpAddr, server: Port, clients: ClientPorts) -> Self {
        Self { local, prefix: selector::host_prefix(local), server, clients }
    }

    fn selectors(&self) -> impl Iterator<Item = (Direction, u16, u16)> {
        let (server, clients) = ((self.server.get(), 0xffff), (self.clients.first(), self.clients.mask()));
        [
            (Direction::Out, clients),
            (Direction::Out, server),
            (Direction::In, clients),
            (Direction::In, server),
        ]
        .into_iter()
        .map(|(direction, (port, mask))| (direction, port, mask))
    }

    /// Each message with the local end it is about.
    pub(crate) fn add_messages(&self) -> Vec<(SocketAddr, XfrmMessage)> {
        self.selectors()
            .map(|(direction, port, mask)| {
                let selector = selector::of_local_port(direction, self.local, self.prefix, port, mask);
                let template = template(XFRM_MODE_TRANSPORT, selector::family(self.local));
                let message =
                    update(direction, selector, PRIORITY, LifetimeConfig::default(), Some(template));
                (SocketAddr::new(self.local, port), message)
            })
            .collect()
    }

    pub(crate) fn delete_messages(&self) -> Vec<(SocketAddr, XfrmMessage)> {
        self.selectors()
            .map(|(direction, port, mask)| {
                let selector = selector::of_local_port(direction, self.local, self.prefix, port, mask);
                (SocketAddr::new(self.local, port), delete(direction, selector))
            })
            .collect()
    }
}

/// What asks for ESP, between whichever addresses the packet has.
pub(crate) fn template(mode: u8, family: u16) -> UserTemplate {
    UserTemplate {
        id: Id { proto: netlink_packet_xfrm::IPPROTO_ESP, ..Id::default() },
        family,
        mode,
        aalgos: u32::MAX,
        ealgos: u32::MAX,
        calgos: u32::MAX,
        ..UserTemplate::default()
    }
}

/// An update creates what is not there and replaces what a dead run of ours left. Without a template packets pass in
/// clear.
pub(crate) fn update(
    direction: Direction,
    selector: Selector,
    priority: u32,
    lifetime_cfg: LifetimeConfig,
    template: Option<UserTemplate>,
) -> XfrmMessage {
    let user_policy_info = UserPolicyInfo {
        selector,
        priority,
        direction: direction_code(direction),
        action: XFRM_POLICY_ALLOW,
        lifetime_cfg,
        ..UserPolicyInfo::default()
    };
    let nlas = template.map(|template| XfrmAttrs::Template(vec![template])).into_iter().collect();
    XfrmMessage::UpdatePolicy(ModifyMessage { user_policy_info, nlas })
}

pub(crate) fn delete(direction: Direction, selector: Selector) -> XfrmMessage {
    let user_policy_id =
        UserPolicyId { selector, direction: direction_code(direction), ..UserPolicyId::default() };
    XfrmMessage::DeletePolicy(DelGetMessage { user_policy_id, nlas: Vec::new() })
}

pub(crate) const PRIORITY: u32 = 1024;

/// `None` for what is forwarded, which nothing of ours is.
pub(crate) fn direction_of(code: u8) -> Option<Direction> {
    [Direction::In, Direction::Out].into_iter().find(|direction| direction_code(*direction) == code)
}

fn direction_code(direction: Direction) -> u8 {
    match direction {
        Direction::In => XFRM_POLICY_IN,
        Direction::Out => XFRM_POLICY_OUT,
    }
}
