//! SCSCF-Restoration-Info of SAR and SAA (TS 29.229 clause 6.3.39).

use super::dictionary as d;
use super::fields::{group, number};
use super::{Avp, FailedAvp, Writer};
use crate::{CxError, RestorationInfo, RestoredContact, RestoredSubscription};

pub(super) fn write_restoration(writer: &mut Writer, info: &RestorationInfo) {
    writer.group(d::SCSCF_RESTORATION_INFO, |group| {
        group.text(d::USER_NAME, info.impi.as_str());
        for contact in &info.contacts {
            group.group(d::RESTORATION_INFO, |group| write_contact(group, contact));
        }
    });
}

fn write_contact(group: &mut Writer, contact: &RestoredContact) {
    group.text(d::PATH, &contact.path);
    group.text(d::CONTACT, &contact.contact);
    if let Some(cseq) = contact.initial_cseq {
        group.number(d::INITIAL_CSEQ_SEQUENCE_NUMBER, cseq);
    }
    if let Some(call_id) = &contact.call_id {
        group.text(d::CALL_ID_SIP_HEADER, call_id);
    }
    let subscriptions = [
        (d::SUBSCRIPTION_INFO, &contact.subscription),
        (d::P_CSCF_SUBSCRIPTION_INFO, &contact.p_cscf_subscription),
    ];
    for (definition, subscription) in subscriptions {
        let Some(subscription) = subscription else { continue };
        group.group(definition, |group| {
            group.text(d::CALL_ID_SIP_HEADER, &subscription.call_id);
            group.text(d::FROM_SIP_HEADER, &subscription.from);
            group.text(d::TO_SIP_HEADER, &subscription.to);
            // The grammar of the P-CSCF's has no place of its own for it.
            //= TS 29.229 6.3.70
            if definition == d::SUBSCRIPTION_INFO || !subscription.record_route.is_empty() {
                group.text(d::RECORD_ROUTE, &subscription.record_route);
            }
            group.text(d::CONTACT, &subscription.contact);
        });
    }
}

pub(super) fn read_restoration(avp: Avp<'_>) -> Result<RestorationInfo, CxError> {
    group(avp, |fields| {
        let contacts = fields.all(d::RESTORATION_INFO).map(read_contact).collect::<Result<Vec<_>, _>>()?;
        if contacts.is_empty() {
            return Err(CxError::AvpMissing(FailedAvp::example(d::RESTORATION_INFO)));
        }
        Ok(RestorationInfo { impi: fields.impi()?, contacts })
    })
}

fn read_contact(avp: Avp<'_>) -> Result<RestoredContact, CxError> {
    group(avp, |fields| {
        let subscription = |definition| fields.optional(definition)?.map(read_subscription).transpose();
        Ok(RestoredContact {
            path: fields.text(d::PATH)?.to_owned(),
            contact: fields.text(d::CONTACT)?.to_owned(),
            initial_cseq: fields.optional(d::INITIAL_CSEQ_SEQUENCE_NUMBER)?.map(number).transpose()?,
            call_id: fields.optional_text(d::CALL_ID_SIP_HEADER)?,
            subscription: subscription(d::SUBSCRIPTION_INFO)?,
            p_cscf_subscription: subscription(d::P_CSCF_SUBSCRIPTION_INFO)?,
        })
    })
}

fn read_subscription(avp: Avp<'_>) -> Result<RestoredSubscription, CxError> {
    group(avp, |fields| {
        let text = |definition| fields.text(definition).map(str::to_owned);
        Ok(RestoredSubscription {
            call_id: text(d::CALL_ID_SIP_HEADER)?,
            from: text(d::FROM_SIP_HEADER)?,
            to: text(d::TO_SIP_HEADER)?,
            record_route: fields.optional_text(d::RECORD_ROUTE)?.unwrap_or_default(),
            contact: text(d::CONTACT)?,
        })
    })
}
