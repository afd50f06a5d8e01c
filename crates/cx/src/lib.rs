//! Cx: what I-CSCF and S-CSCF ask the HSS (TS 29.228, TS 29.229), as types, as Diameter, and as links that carry it.
//!
//! The types, the codec and the user-data XML are pure: octets in, values out. Only [`peer`] opens sockets.
//! What it never does: decide anything about a subscriber, or show a key. CK, IK and XRES have no `Debug` text,
//! and errors name an AVP by its number, never by its content.
//!
//! Where to start reading: [`Request`] and [`Answer`] are the conversation, [`Link`] is who carries it,
//! [`diameter`] how it looks on the wire.
#![forbid(unsafe_code)]

pub mod diameter;
mod error;
mod link;
pub mod peer;
mod result;
mod types;
mod user_data;

pub use diameter::FailedAvp;
pub use error::CxError;
pub use link::{AnswerWith, Link, LinkError, Local, LocalPeers, PeerLink, Reply, Server};
pub use peer::{ClientConfig, DiameterClient, Origin, Peers, ServerConfig};
pub use result::{BaseCode, CxFailure, ExperimentalCode};
pub use types::{
    Answer, AuthScheme, ChargingInformation, LocationInfo, LocationInfoRequest, MultimediaAuth,
    MultimediaAuthRequest, PushProfileRequest, ReasonCode, RegistrationTermination,
    RegistrationTerminationRequest, Request, RestorationInfo, RestoredContact, RestoredSubscription,
    ServerAssignment, ServerAssignmentRequest, ServerAssignmentType, ServerCapabilities, ServerName,
    UserAuthorization, UserAuthorizationRequest, UserAuthorizationType, VisitedNetwork,
};
pub use user_data::{
    Anonymity, CriteriaSummary, DefaultHandling, FilterCriteria, IdentityType, PublicIdentity,
    ServiceProfile, UserData, Wildcard,
};
