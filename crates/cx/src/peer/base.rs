//! The messages about the connection itself: CER/CEA, DWR/DWA, DPR/DPA (RFC 6733 clauses 5.3 to 5.5).

use std::net::IpAddr;

use super::Origin;
use crate::diameter::decode::{Fields, number, text, wrong};
use crate::diameter::dictionary as d;
use crate::diameter::{Application, Command, Header, Ids, Wire, Writer, decode, encode::failed_avp};
use crate::{BaseCode, CxError, FailedAvp};

const VENDOR_ETSI: u32 = 13019;
/// The Application-Id of relays, which carry every application.
const RELAY: u32 = 0xffff_ffff;
const NO_INBAND_SECURITY: u32 = 0;
const PRODUCT: &str = "akasec";

/// Disconnect-Cause.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cause {
    Rebooting = 0,
    DoNotWantToTalkToYou = 2,
}

fn writer(command: Command, request: bool, error: bool, application: Application, ids: Ids) -> Writer {
    let header = Header { request, proxiable: false, error, retransmitted: false, command, application, ids };
    Writer::new(header, 512)
}

fn identify(writer: &mut Writer, origin: &Origin) {
    writer.text(d::ORIGIN_HOST, &origin.host);
    writer.text(d::ORIGIN_REALM, &origin.realm);
}

fn capabilities(writer: &mut Writer, local: IpAddr) {
    let address = match local {
        IpAddr::V4(ip) => [&[0, 1], ip.octets().as_slice()].concat(),
        IpAddr::V6(ip) => [&[0, 2], ip.octets().as_slice()].concat(),
    };
    writer.octets(d::HOST_IP_ADDRESS, &address);
    writer.number(d::VENDOR_ID, 0);
    writer.text(d::PRODUCT_NAME, PRODUCT);
    // TLS, where it is, protects this message already.
    //= RFC 6733 6.10
    writer.number(d::INBAND_SECURITY_ID, NO_INBAND_SECURITY);
    writer.number(d::SUPPORTED_VENDOR_ID, d::VENDOR_3GPP);
    writer.number(d::SUPPORTED_VENDOR_ID, VENDOR_ETSI);
    writer.group(d::VENDOR_SPECIFIC_APPLICATION_ID, |group| {
        group.number(d::VENDOR_ID, d::VENDOR_3GPP);
        group.number(d::AUTH_APPLICATION_ID, Application::Cx.code());
    });
}

pub(super) fn capabilities_request(origin: &Origin, local: IpAddr, ids: Ids) -> Result<Wire, CxError> {
    let mut writer = writer(Command::CapabilitiesExchange, true, false, Application::Base, ids);
    identify(&mut writer, origin);
    capabilities(&mut writer, local);
    writer.finish()
}

pub(super) fn capabilities_answer(
    origin: &Origin,
    local: IpAddr,
    ids: Ids,
    code: BaseCode,
) -> Result<Wire, CxError> {
    let error = code.is_protocol_error();
    let mut writer = writer(Command::CapabilitiesExchange, false, error, Application::Base, ids);
    writer.number(d::RESULT_CODE, code.code());
    identify(&mut writer, origin);
    capabilities(&mut writer, local);
    writer.finish()
}

/// What a CER or CEA says of its sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Capabilities {
    pub(super) origin: Origin,
    /// Speaks Cx, or carries it.
    pub(super) cx: bool,
    /// Carries every application to others.
    pub(super) relay: bool,
    /// Wants to start TLS after this exchange and nothing else.
    pub(super) inband_tls_only: bool,
}

//= RFC 6733 5.3
pub(super) fn read_capabilities(avps: &[u8]) -> Result<Capabilities, CxError> {
    let fields = Fields::read_tolerantly(avps)?;
    let identity = |definition| {
        let avp = fields.one(definition)?;
        let text = text(avp)?;
        if is_identity(text) { Ok(text.to_owned()) } else { Err(wrong(avp)) }
    };
    let origin = Origin { host: identity(d::ORIGIN_HOST)?, realm: identity(d::ORIGIN_REALM)? };
    let mut applications = Vec::new();
    for avp in fields.all(d::AUTH_APPLICATION_ID).chain(fields.all(d::ACCT_APPLICATION_ID)) {
        applications.push(number(avp)?);
    }
    for avp in fields.all(d::VENDOR_SPECIFIC_APPLICATION_ID) {
        let group = Fields::read_tolerantly(avp.data)?;
        if let Some(avp) = group.optional(d::AUTH_APPLICATION_ID)? {
            applications.push(number(avp)?);
        }
    }
    let mut security = Vec::new();
    for avp in fields.all(d::INBAND_SECURITY_ID) {
        security.push(number(avp)?);
    }
    let relay = applications.contains(&RELAY);
    Ok(Capabilities {
        origin,
        cx: relay || applications.contains(&Application::Cx.code()),
        relay,
        inband_tls_only: !security.is_empty() && !security.contains(&NO_INBAND_SECURITY),
    })
}

/// A DiameterIdentity: a host or realm name. Visible, so it may stand in a log.
//= RFC 6733 4.3.1
pub(crate) fn is_identity(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

pub(super) fn watchdog_request(origin: &Origin, ids: Ids) -> Result<Wire, CxError> {
    let mut writer = writer(Command::DeviceWatchdog, true, false, Application::Base, ids);
    identify(&mut writer, origin);
    writer.finish()
}

pub(super) fn disconnect_request(origin: &Origin, ids: Ids, cause: Cause) -> Result<Wire, CxError> {
    let mut writer = writer(Command::DisconnectPeer, true, false, Application::Base, ids);
    identify(&mut writer, origin);
    writer.number(d::DISCONNECT_CAUSE, cause as u32);
    writer.finish()
}

/// DWA or DPA.
pub(super) fn success(command: Command, origin: &Origin, ids: Ids) -> Result<Wire, CxError> {
    let mut writer = writer(command, false, false, Application::Base, ids);
    writer.number(d::RESULT_CODE, BaseCode::Success.code());
    identify(&mut writer, origin);
    writer.finish()
}

/// The generic answer, for requests nobody here can read or wants to read.
//= RFC 6733 7.2
pub(super) fn protocol_error(
    header: &Header,
    avps: &[u8],
    origin: &Origin,
    code: BaseCode,
    failed: Option<&FailedAvp>,
) -> Result<Wire, CxError> {
    let (session_id, repeated) = decode::remains(avps);
    let header = Header { request: false, error: code.is_protocol_error(), retransmitted: false, ..*header };
    let mut writer = Writer::new(header, 512);
    if !session_id.is_empty() {
        writer.text(d::SESSION_ID, &session_id);
    }
    identify(&mut writer, origin);
    writer.number(d::RESULT_CODE, code.code());
    if let Some(failed) = failed {
        failed_avp(&mut writer, failed);
    }
    writer.raw(&repeated);
    writer.finish()
}
