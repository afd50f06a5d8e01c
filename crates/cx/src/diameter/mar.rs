//! MAR and MAA (TS 29.229 clauses 6.1.7 and 6.1.8).

use aka::{AuthVector, Autn, Auts, Ck, Ik, Rand, Res};

use super::dictionary as d;
use super::fields::{Fields, group, number, text, wrong, wrong_secret};
use super::outcome::Outcome;
use super::{Avp, Writer};
use crate::{AuthScheme, CxError, CxFailure, MultimediaAuth, MultimediaAuthRequest};

pub(super) fn write_request(writer: &mut Writer, mar: &MultimediaAuthRequest) {
    writer.text(d::USER_NAME, mar.impi.as_str());
    writer.text(d::PUBLIC_IDENTITY, mar.impu.as_str());
    writer.group(d::SIP_AUTH_DATA_ITEM, |group| {
        group.text(d::SIP_AUTHENTICATION_SCHEME, mar.scheme.as_str());
        if let Some((rand, auts)) = &mar.resync {
            //= TS 29.229 6.3.11
            let octets = [rand.as_bytes().as_slice(), auts.as_bytes().as_slice()].concat();
            group.octets(d::SIP_AUTHORIZATION, &octets);
        }
    });
    writer.number(d::SIP_NUMBER_AUTH_ITEMS, mar.items);
    writer.text(d::SERVER_NAME, mar.server_name.as_str());
}

pub(super) fn read_request(fields: &Fields<'_>) -> Result<MultimediaAuthRequest, CxError> {
    let (scheme, resync) = group(fields.one(d::SIP_AUTH_DATA_ITEM)?, |item| {
        let resync = item.optional(d::SIP_AUTHORIZATION)?.map(read_resync).transpose()?;
        Ok((AuthScheme::from(item.text(d::SIP_AUTHENTICATION_SCHEME)?), resync))
    })?;
    Ok(MultimediaAuthRequest {
        impi: fields.impi()?,
        impu: fields.impu()?,
        server_name: fields.server_name()?,
        items: fields.number(d::SIP_NUMBER_AUTH_ITEMS)?,
        scheme,
        resync,
    })
}

fn read_resync(avp: Avp<'_>) -> Result<(Rand, Auts), CxError> {
    let (rand, auts) = avp.data.split_first_chunk().ok_or_else(|| wrong(avp))?;
    Ok((Rand::from_bytes(*rand), Auts::try_from(auts).map_err(|_| wrong(avp))?))
}

pub(super) fn write_answer(writer: &mut Writer, maa: &MultimediaAuth) {
    let count = u32::try_from(maa.vectors.len()).unwrap_or(u32::MAX);
    writer.number(d::SIP_NUMBER_AUTH_ITEMS, count);
    for (number, vector) in (1u32..).zip(&maa.vectors) {
        writer.group(d::SIP_AUTH_DATA_ITEM, |group| write_vector(group, number, vector));
    }
}

//= TS 29.229 6.3.10
//= TS 29.229 6.3.11
fn write_vector(group: &mut Writer, number: u32, vector: &AuthVector) {
    // Lowest first; always there, so that a receiver need not guess from the order of AVPs.
    //= TS 29.229 6.3.14
    group.number(d::SIP_ITEM_NUMBER, number);
    group.text(d::SIP_AUTHENTICATION_SCHEME, AuthScheme::DigestAka.as_str());
    let challenge = [vector.rand.as_bytes().as_slice(), vector.autn.as_bytes().as_slice()].concat();
    group.octets(d::SIP_AUTHENTICATE, &challenge);
    group.octets(d::SIP_AUTHORIZATION, vector.xres.as_bytes());
    group.octets(d::CONFIDENTIALITY_KEY, vector.ck.as_bytes());
    group.octets(d::INTEGRITY_KEY, vector.ik.as_bytes());
}

pub(super) fn read_answer(
    fields: &Fields<'_>,
    outcome: Outcome,
) -> Result<Result<MultimediaAuth, CxFailure>, CxError> {
    // Those of the request again.
    fields.optional(d::USER_NAME)?;
    fields.optional(d::PUBLIC_IDENTITY)?;
    if !matches!(outcome, Outcome::Base(code) if code.is_success()) {
        return Ok(Err(outcome.failure(fields)?));
    }
    // What is there counts, not what this says.
    fields.optional(d::SIP_NUMBER_AUTH_ITEMS)?;
    let mut items = Vec::new();
    for avp in fields.all(d::SIP_AUTH_DATA_ITEM) {
        items.push(group(avp, |item| {
            let place = item.optional(d::SIP_ITEM_NUMBER)?.map(number).transpose()?.unwrap_or(0);
            Ok((place, read_vector(item)?))
        })?);
    }
    // Stable: items without a number keep the order they came in.
    items.sort_by_key(|(place, _)| *place);
    Ok(Ok(MultimediaAuth { vectors: items.into_iter().map(|(_, vector)| vector).collect() }))
}

fn read_vector(item: &Fields<'_>) -> Result<AuthVector, CxError> {
    let scheme = item.one(d::SIP_AUTHENTICATION_SCHEME)?;
    if text(scheme)? != AuthScheme::DigestAka.as_str() {
        return Err(wrong(scheme));
    }
    let challenge = item.one(d::SIP_AUTHENTICATE)?;
    let (rand, autn) = challenge.data.split_first_chunk().ok_or_else(|| wrong(challenge))?;
    let xres = item.one(d::SIP_AUTHORIZATION)?;
    let ck = item.one(d::CONFIDENTIALITY_KEY)?;
    let ik = item.one(d::INTEGRITY_KEY)?;
    Ok(AuthVector {
        rand: Rand::from_bytes(*rand),
        autn: Autn::try_from(autn).map_err(|_| wrong(challenge))?,
        xres: Res::new(xres.data).map_err(|_| wrong_secret(xres))?,
        ck: Ck::try_from(ck.data).map_err(|_| wrong_secret(ck))?,
        ik: Ik::try_from(ik.data).map_err(|_| wrong_secret(ik))?,
    })
}
