//! A request to a user of ours (TS 24.229 5.4.3.3).

use super::{BESIDE_CALLEE, Leg, Stop, Told, record_route};
use crate::Refusal;
use crate::binding::Binding;
use crate::core::Scscf;
use aka::Impu;
use sip::proxy::Sender;
use sip::routing::NextHop;
use sip::{Draft, Hop, Message, Name, NameAddr, Scheme, Uri};
use std::collections::VecDeque;

/// Where a user is reached.
#[derive(Debug, Clone)]
pub(super) struct Target {
    contact: String,
    path: Vec<String>,
}

impl Scscf {
    pub(super) fn terminating(
        &self,
        request: &Message,
        asked: Option<Told>,
        draft: Draft<'_>,
        sender: Sender<'_>,
    ) -> Result<(Hop, Leg), Stop> {
        let uri = Uri::parse(request.request_uri().unwrap_or_default());
        let uri = uri.map_err(sip::routing::Refusal::from)?;
        if uri.scheme != Scheme::Tel && self.is_own(&uri, sender.address) {
            return Err(Refusal::AimedAtUs.into());
        }
        let mut targets = self.targets(&uri, asked)?;
        self.to_next(request, draft, sender, &mut targets)
            .map(|hop| (hop, Leg::to_user(targets)))
            .ok_or(Stop::Refuse(Refusal::ContactUnreachable))
    }

    /// To the first of these contacts that lies behind a CSCF of ours.
    pub(super) fn to_next(
        &self,
        request: &Message,
        mut draft: Draft<'_>,
        sender: Sender<'_>,
        targets: &mut VecDeque<Target>,
    ) -> Option<Hop> {
        let (target, to, transport) = loop {
            let target = targets.pop_front()?;
            let first = target.path.first().and_then(|first| NameAddr::parse(first));
            let uri = first.and_then(|first| first.parse_uri().ok());
            let hop = uri.and_then(|uri| NextHop::of(&uri).ok());
            let reached = hop.and_then(|hop| Some((self.address(&hop)?, hop.transport)));
            if let Some((to, transport)) = reached.filter(|(to, _)| *to != sender.address) {
                break (target, to, transport);
            }
        };
        //= TS 24.229 5.4.3.3: what was called, the contact, and the way that its REGISTER came
        draft.set(Name::PCalledPartyId, format!("<{}>", request.request_uri().unwrap_or_default()));
        draft.set_request_uri(target.contact);
        draft.replace_values(Name::Route, target.path);
        record_route(request, &mut draft, sender, BESIDE_CALLEE);
        Some(self.hop(draft, sender, to, transport))
    }

    /// The contacts of whom the request is for: the highest q first, then the most recent.
    fn targets(&self, uri: &Uri<'_>, asked: Option<Told>) -> Result<VecDeque<Target>, Stop> {
        let (first, second) = called(uri);
        let first = first.ok_or(Refusal::CalleeUnknown)?;
        let known = [Some(&first), second.as_ref()].into_iter().flatten();
        let Some(impu) = known.into_iter().find(|impu| self.registrar.is_registered(impu)) else {
            let unknown = asked == Some(Told::Nobody);
            let refusal = if unknown { Refusal::CalleeUnknown } else { Refusal::CalleeNotRegistered };
            return Err(self.unless_asked(&first, asked, refusal));
        };
        let owners = self.registrar.owners(impu).map(|(_, user)| user);
        let owners: Vec<_> = owners.filter(|user| user.identities.associated.contains(impu)).collect();
        if owners.is_empty() {
            return Err(Refusal::CalleeBarred.into());
        }
        let mut bindings: Vec<&Binding> = owners.iter().flat_map(|user| &user.bindings).collect();
        bindings.sort_by(|one, two| {
            let newer = (two.since(), two.number).cmp(&(one.since(), one.number));
            two.q().total_cmp(&one.q()).then(newer)
        });
        let target =
            |binding: &&Binding| Target { contact: binding.uri().to_owned(), path: binding.path.clone() };
        Ok(bindings.iter().map(target).collect())
    }
}

/// Whom the Request-URI means; a telephone number in a SIP URI also as such.
fn called(uri: &Uri<'_>) -> (Option<Impu>, Option<Impu>) {
    let identity = Impu::new(&uri.identity()).ok();
    let is_number = uri.params.value("user").is_some_and(|user| user.eq_ignore_ascii_case("phone"));
    let number = uri.user.filter(|user| is_number && user.starts_with('+'));
    let number = number.and_then(|user| Impu::new(&Uri::parse(&format!("tel:{user}")).ok()?.identity()).ok());
    (identity, number)
}
