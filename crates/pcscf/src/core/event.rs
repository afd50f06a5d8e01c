use std::net::SocketAddr;

use aka::Impi;
use sec_agree::Associations;
use sip::Flow;

use super::{Fate, Refusal, SetId, Stage};

/// What an operator may want to know. Holds no key.
#[derive(Debug)]
pub enum Event {
    Challenged {
        impi: Impi,
        ue: SocketAddr,
        set: SetId,
        associations: Box<Associations>,
    },
    Registered {
        impi: Impi,
        ue: SocketAddr,
        set: SetId,
        expires: u32,
        initial: bool,
    },
    Refreshed {
        impi: Impi,
        set: SetId,
        expires: u32,
    },
    Deregistered {
        impi: Impi,
    },
    /// A request of a UE was turned down; a kernel's or peer's own words stand in `cause`.
    Refused {
        ue: SocketAddr,
        impi: Option<Impi>,
        refusal: Refusal,
        cause: Option<Box<str>>,
    },
    /// The core network turned the registration down.
    Rejected {
        impi: Impi,
        status: u16,
    },
    /// The network has shortened the registration, to have the UE authenticate again.
    Shortened {
        impi: Impi,
        expires: u32,
    },
    /// We shall not hear of it when the network ends or shortens this registration.
    NotSubscribed {
        impi: Impi,
        reason: &'static str,
    },
    SetRemoved {
        impi: Impi,
        set: SetId,
        stage: Stage,
    },
    /// Something befell a set without any message.
    SetFate {
        impi: Impi,
        ue: SocketAddr,
        fate: Fate,
    },
    /// A message that nothing here is entitled to was dropped.
    Dropped {
        flow: Flow,
        reason: &'static str,
    },
}
