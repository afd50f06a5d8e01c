//! LIR/LIA: which S-CSCF serves this identity.

use aka::Impu;

use super::{ServerCapabilities, ServerName};

/// LIR: asked by an I-CSCF for a request that is no REGISTER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocationInfoRequest {
    pub impu: Impu,
    /// Originating-Request: the request comes from the user's side.
    pub originating: bool,
    /// User-Authorization-Type REGISTRATION_AND_CAPABILITIES: the S-CSCF that is stored does not answer.
    pub capabilities: bool,
}

/// LIA, when the answer is yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocationInfo {
    /// DIAMETER_SUCCESS with the S-CSCF that serves the user.
    Served { server_name: ServerName },
    /// DIAMETER_SUCCESS to a question for capabilities.
    Capabilities { capabilities: ServerCapabilities },
    /// DIAMETER_UNREGISTERED_SERVICE: nobody serves the user, but somebody may.
    UnregisteredService { capabilities: ServerCapabilities },
}
