//! A request that a user of ours makes (TS 24.229 5.4.3.2).

use super::{BESIDE_CALLER, Leg, Stop, Told, record_route};
use crate::Refusal;
use crate::core::Scscf;
use crate::registrar::Registration;
use aka::Impu;
use cx::Anonymity;
use sip::header::PChargingVector;
use sip::proxy::Sender;
use sip::{Draft, Hop, Message, Name, Scheme, Uri};
use std::net::SocketAddr;
use trust::OnBehalf;

impl Scscf {
    pub(super) fn originating(
        &self,
        request: &Message,
        asked: Option<Told>,
        mut draft: Draft<'_>,
        sender: Sender<'_>,
    ) -> Result<(Hop, Leg), Stop> {
        // After us the way is ours to choose.
        if draft.first(Name::Route).is_some() {
            return Err(Refusal::RouteBeyond.into());
        }
        let (impu, user) = self.served_user(request, asked)?;
        assert_alias(request, &mut draft, &impu, user);
        hide(request, &mut draft, user.identities.anonymity)?;
        self.charge(request, &mut draft);
        record_route(request, &mut draft, sender, BESIDE_CALLER);
        let to = self.toward(request, sender.address)?;
        draft.push_front(Name::Route, format!("<sip:{to};lr>"));
        Ok((self.hop(draft, sender, to, None), Leg::transparent()))
    }

    /// Who makes the request, by the word of the P-CSCF and by nothing else.
    //= TS 24.229 5.4.3.2
    fn served_user(&self, request: &Message, asked: Option<Told>) -> Result<(Impu, &Registration), Stop> {
        let asserted: Vec<Impu> = request
            .addresses(Name::PAssertedIdentity)
            .filter_map(|one| Impu::new(&one.ok()?.parse_uri().ok()?.identity()).ok())
            .collect();
        let first = asserted.first().ok_or(Refusal::NobodyAsserted)?;
        let Some(impu) = asserted.iter().find(|impu| self.registrar.is_registered(impu)) else {
            return Err(self.unless_asked(first, asked, Refusal::CallerNotRegistered));
        };
        let mut owners = self.registrar.owners(impu).map(|(_, user)| user);
        let user = owners.find(|user| user.identities.associated.contains(impu));
        Ok((impu.clone(), user.ok_or(Refusal::CallerBarred)?))
    }

    /// Asks the HSS for whom it knows, once.
    pub(super) fn unless_asked(&self, impu: &Impu, asked: Option<Told>, refusal: Refusal) -> Stop {
        if asked.is_none() && self.config.restoration.is_some() {
            Stop::Ask(impu.clone())
        } else {
            Stop::Refuse(refusal)
        }
    }

    /// The I-CSCF that finds users of ours, or the one that leads out of our network.
    fn toward(&self, request: &Message, local: SocketAddr) -> Result<SocketAddr, Stop> {
        let uri = Uri::parse(request.request_uri().unwrap_or_default());
        let uri = uri.map_err(sip::routing::Refusal::from)?;
        if uri.scheme != Scheme::Tel && self.is_own(&uri, local) {
            return Err(Refusal::AimedAtUs.into());
        }
        let inside = uri.scheme == Scheme::Tel || self.is_home(uri.host);
        let to = if inside { self.config.icscf } else { self.config.exit.or(self.config.icscf) };
        Ok(to.ok_or(Refusal::NoInterrogating)?)
    }

    /// Whose network the request comes from.
    //= TS 24.229 5.4.3.2
    fn charge(&self, request: &Message, draft: &mut Draft<'_>) {
        let vector = request.first(Name::PChargingVector).map(PChargingVector::parse);
        if let Some(Ok(mut vector)) = vector {
            vector.orig_ioi = Some(self.config.home_domain.as_str().into());
            vector.term_ioi = None;
            draft.set(Name::PChargingVector, vector.value());
        }
    }
}

/// What the subscription wants withheld, unless the user says `none` this time.
//= TS 33.203 5.3
fn hide(request: &Message, draft: &mut Draft<'_>, wanted: Anonymity) -> Result<(), Refusal> {
    if wanted == Anonymity::default() {
        return Ok(());
    }
    let wanted = OnBehalf { id: wanted.id, user: wanted.user };
    trust::on_behalf(request, draft, wanted).map_err(|_| Refusal::PrivacyMalformed)
}

/// A SIP URI asserted alone gets the telephone number of its set beside it.
//= TS 24.229 5.4.3.2
fn assert_alias(request: &Message, draft: &mut Draft<'_>, impu: &Impu, user: &Registration) {
    let is_alone = request.values(Name::PAssertedIdentity).count() == 1;
    let tel = user.identities.associated.iter().find(|other| other.as_str().starts_with("tel:"));
    if let Some(tel) = tel.filter(|tel| is_alone && *tel != impu) {
        draft.push(Name::PAssertedIdentity, format!("<{tel}>"));
    }
}
