//! Requests within dialogs: along the Route, whoever is registered or not.

use super::{Leg, Stop};
use crate::Refusal;
use crate::core::Scscf;
use sip::proxy::Sender;
use sip::routing::{NextHop, next_hop, strict_next_hop};
use sip::{Draft, Hop, Uri};

impl Scscf {
    //= RFC 3261 16.6
    pub(super) fn within(&self, draft: Draft<'_>, sender: Sender<'_>) -> Result<(Hop, Leg), Stop> {
        let loose = draft.finish();
        let strict = strict_next_hop(&loose)?;
        let hop = match &strict {
            Some(message) => {
                let uri = Uri::parse(message.request_uri().unwrap_or_default());
                NextHop::of(&uri.map_err(sip::routing::Refusal::from)?)?
            }
            None => next_hop(&loose)?,
        };
        let to = self.address(&hop).filter(|to| *to != sender.address).ok_or(Refusal::NextHopForeign)?;
        let draft = strict.as_ref().map_or(draft, Draft::forward);
        Ok((self.hop(draft, sender, to, hop.transport), Leg::transparent()))
    }
}
