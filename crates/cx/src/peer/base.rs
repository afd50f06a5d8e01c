//! The messages about the connection itself: CER/CEA, DWR/DWA, DPR/DPA (RFC 6733 clauses 5.3 to 5.5).

use std::net::IpAddr;

use super::Origin;
use crate::diameter::decode::{Fields, number};
use crate::diameter::dictionary as d;
use crate::diameter::{Application, Command, Header, Ids, Wire, Writer, encode::failed_avp};
use crate::{BaseCode, CxError};

const VENDOR_ETSI: u32 = 13019;
/// The Application-Id of relays, which carry every application.
const RELAY: u32 = 0xffff_ffff;
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
    let mut writer = writer(Command::CapabilitiesExchange, false, false, Application::Base, ids);
    writer.number(d::RESULT_CODE, code.code());
    identify(&mut writer, origin);
    capabilities(&mut writer, local);
    writer.finish()
}

/// Who the peer is, from its CER or CEA, and whether it speaks Cx.
//= RFC 6733 5.3
pub(super) fn read_capabilities(avps: &[u8]) -> Result<(Origin, bool), CxError> {
    let fields = Fields::read_tolerantly(avps)?;
    let origin = Origin {
        host: fields.text(d::ORIGIN_HOST)?.to_owned(),
        realm: fields.text(d::ORIGIN_REALM)?.to_owned(),
    };
    let mut applications = Vec::new();
    for avp in fields.all(d::AUTH_APPLICATION_ID) {
        applications.push(number(avp)?);
    }
    for avp in fields.all(d::VENDOR_SPECIFIC_APPLICATION_ID) {
        let group = Fields::read_tolerantly(avp.data)?;
        if let Some(avp) = group.optional(d::AUTH_APPLICATION_ID)? {
            applications.push(number(avp)?);
        }
    }
    let speaks_cx = applications.iter().any(|id| *id == Application::Cx.code() || *id == RELAY);
    Ok((origin, speaks_cx))
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

/// The generic answer with the E bit, for requests nobody here can read.
//= RFC 6733 7.2
pub(super) fn protocol_error(
    header: &Header,
    session_id: &str,
    origin: &Origin,
    error: &CxError,
) -> Result<Wire, CxError> {
    let code = error.code();
    let mut writer = writer(header.command, false, code.is_protocol_error(), header.application, header.ids);
    if !session_id.is_empty() {
        writer.text(d::SESSION_ID, session_id);
    }
    identify(&mut writer, origin);
    writer.number(d::RESULT_CODE, code.code());
    if let Some(failed) = error.failed_avp() {
        failed_avp(&mut writer, &failed);
    }
    writer.finish()
}
