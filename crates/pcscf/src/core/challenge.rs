//! SM5 to SM6: takes IK and CK out of the challenge, agrees algorithms, gives the kernel a set, and lets the 401 go
//! only when the kernel has taken it.

use std::net::SocketAddr;
use std::time::Duration;

use aka::{Ck, Ik};
use rand_chacha::rand_core::Rng;
use sec_agree::{Associations, End, EspKeys, SaSet, SecurityServer, Setup};
use sip::header::{KeyParams, strip_keys};
use sip::{Challenge, Draft, Instant, Message, Name};

use super::sa_table::{NewSet, free_port};
use super::{Arrival, Event, Forwarded, Output, PCscf, Refusal, SetId, WaitingChallenge};

/// A challenge made ready for the UE.
struct Prepared {
    new: NewSet,
    sas: SaSet,
    response: Message,
}

impl PCscf {
    pub(super) fn challenge(&mut self, now: Instant, forwarded: Forwarded, response: &Message) {
        //= TS 33.203 7.4.2a: an earlier temporary set ends when a new challenge comes
        if let Some(earlier) = self.sets.attempt_of(&forwarded.device) {
            self.remove_set(earlier);
        }
        let reply = self.reply_flow(forwarded.flow, forwarded.arrival);
        let prepared = match self.prepare(&forwarded, response) {
            Ok(prepared) => prepared,
            Err(refusal) => {
                return self.refuse(now, forwarded.server, &forwarded.request, reply, refusal, None);
            }
        };
        let Prepared { new, sas, response } = prepared;
        let (set, lifetime): (SetId, Duration) = self.sets.insert(now, new, self.config.reg_await_auth);
        let Forwarded { server, request, .. } = forwarded;
        self.waiting.insert(set, WaitingChallenge { server, request, response, reply });
        self.outputs.push_back(Output::InstallSas { set, sas, lifetime });
    }

    fn prepare(&mut self, forwarded: &Forwarded, response: &Message) -> Result<Prepared, Refusal> {
        // An answer to a challenge that is challenged again has no new SPIs and ports to make a set of.
        let offer = forwarded.offer.clone().ok_or(Refusal::BadChallenge)?;
        let mode = self.mode(&forwarded.request, forwarded.flow, forwarded.arrival);
        let algorithms = self.config.policy.choose_in(mode, &offer).map_err(Refusal::of_offer)?;
        let (mut draft, keys, nonce) = without_keys(response)?;
        let flow = forwarded.flow;
        let gm = *self.config.gm_address(flow.local.ip()).ok_or(Refusal::BadChallenge)?;
        let ue = End { address: flow.remote.ip(), setup: offer.setup() };
        let in_use = self.sets.ports_in_use(SocketAddr::new(ue.address, ue.setup.port_s.get()));
        let port_c = free_port(gm.client_ports, &in_use, self.rng.next_u64()).ok_or(Refusal::NothingFree)?;
        let spis = self.sets.draw_spis([ue.setup.spi_c, ue.setup.spi_s]).ok_or(Refusal::NothingFree)?;
        let setup = Setup { spi_c: spis.0, spi_s: spis.1, port_c, port_s: gm.server_port };
        let p_cscf = End { address: gm.clear.ip(), setup };
        let outer = self.encapsulation(&forwarded.request, flow, forwarded.arrival, p_cscf.address);
        let agreed = Associations::new(&ue, &p_cscf, algorithms)
            .and_then(|plain| outer.map_or(Ok(plain), |outer| plain.encapsulated(outer)))
            .and_then(|associations| Ok((associations, SecurityServer::answer(&self.config.policy, setup)?)));
        let (associations, server) = match agreed {
            Ok(agreed) => agreed,
            Err(error) => {
                self.sets.give_back(spis);
                return Err(Refusal::BadSecurityClient(error));
            }
        };
        let esp_keys = EspKeys::expand(algorithms, &Ck::from_bytes(keys.ck), &Ik::from_bytes(keys.ik));
        draft.set(Name::SecurityServer, server.to_string());
        let initial = forwarded.arrival == Arrival::Unprotected;
        let device = forwarded.device.clone();
        let new = NewSet { device, associations, client: offer, server, initial, nonce };
        Ok(Prepared { new, sas: SaSet::new(associations, esp_keys), response: draft.finish() })
    }

    /// The kernel holds all four: SM6 may leave.
    pub(super) fn sas_installed(&mut self, now: Instant, set: SetId) {
        let (Some(waiting), Some(entry)) = (self.waiting.remove(&set), self.sets.installed(set)) else {
            return;
        };
        let (impi, associations) = (entry.device.impi.clone(), Box::new(entry.associations));
        if let Some(flow) = self.transactions.request_flow(waiting.server) {
            self.event(Event::Challenged { impi, ue: flow.remote, set, associations });
        }
        self.respond(now, waiting.server, waiting.reply, waiting.response);
    }

    /// The kernel holds none: the UE gets an error, the log the cause.
    pub(super) fn sas_failed(&mut self, now: Instant, set: SetId, cause: Box<str>) {
        let Some(waiting) = self.waiting.remove(&set) else { return };
        if let Some(entry) = self.sets.remove(set) {
            self.event(Event::SetRemoved { impi: entry.device.impi, set, stage: entry.stage });
        }
        let WaitingChallenge { server, request, reply, .. } = waiting;
        self.refuse(now, server, &request, reply, Refusal::Kernel, Some(cause));
    }
}

/// The challenge without IK and CK, the keys themselves, and the nonce they belong to. All WWW-Authenticate lines are
/// cleaned, and exactly one must hold the keys.
//= TS 24.229 5.2.2.2: ck and ik are removed before the 401 goes to the UE
fn without_keys(response: &Message) -> Result<(Draft<'_>, KeyParams, Box<str>), Refusal> {
    let mut draft = Draft::forward(response);
    draft.remove_first_value(Name::Via).remove(Name::WwwAuthenticate);
    let mut found = None;
    for line in response.lines(Name::WwwAuthenticate) {
        let (clean, keys) = strip_keys(line);
        if let Some(keys) = keys {
            let nonce = Challenge::parse(line).map_err(|_| Refusal::BadChallenge)?.nonce;
            if found.replace((keys, (&*nonce).into())).is_some() {
                return Err(Refusal::BadChallenge);
            }
        }
        draft.push(Name::WwwAuthenticate, clean);
    }
    let (keys, nonce) = found.ok_or(Refusal::BadChallenge)?;
    Ok((draft, keys, nonce))
}
