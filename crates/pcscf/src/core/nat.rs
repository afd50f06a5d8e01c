//! A NAT between a UE and us (TS 33.203 Annex M): how it is seen, and what a set is like then.

use std::net::{IpAddr, SocketAddr};

use sec_agree::{Encapsulation, Mode, SecurityClient, Side};
use sip::{Flow, Instant, Message};

use super::{Arrival, Device, Fate, PCscf, Refusal, SetId};

impl PCscf {
    /// What a set for the sender of this REGISTER must be like. A protected REGISTER leads to a set like the one it
    /// came over.
    pub(super) fn mode(&self, request: &Message, flow: Flow, arrival: Arrival) -> Mode {
        let natted = match arrival {
            //= TS 33.203 Annex M: the source address of SM1 differs from the address in its Via
            Arrival::Unprotected => {
                let sent_by = request.top_via().ok().and_then(|via| via.host.ip());
                sent_by.is_some_and(|sent_by| sent_by != flow.remote.ip())
            }
            Arrival::Over(set) => {
                self.sets.get(set).is_some_and(|entry| entry.associations.mode() == Mode::UdpEncTun)
            }
        };
        if natted { Mode::UdpEncTun } else { Mode::Trans }
    }

    /// The outer ends of a new set, for a UE at this address.
    pub(super) fn encapsulation(
        &self,
        request: &Message,
        flow: Flow,
        arrival: Arrival,
        p_cscf: IpAddr,
    ) -> Option<Encapsulation> {
        if self.mode(request, flow, arrival) == Mode::Trans {
            return None;
        }
        let earlier = match arrival {
            Arrival::Unprotected => None,
            Arrival::Over(set) => self.sets.get(set).and_then(|entry| entry.associations.encapsulation),
        };
        // The NAT's port of the set before is the best guess; without one the first protected packet tells it.
        Some(earlier.unwrap_or_else(|| Encapsulation::new(Side::PCscf, flow.remote.ip(), p_cscf)))
    }

    /// The first packet over a set, or the first after its NAT has forgotten it, tells the port that the NAT gives it.
    /// All sets of the device go through the same mapping.
    //= TS 33.203 Annex M: the P-CSCF learns the port of the NAT from the protected packets of the UE
    pub(super) fn mapped(&mut self, now: Instant, set: SetId, outer: SocketAddr) {
        let known = self.sets.get(set).and_then(|entry| entry.associations.encapsulation);
        let Some(known) = known.filter(|known| known.ue != outer) else { return };
        if known.ue.ip() != outer.ip() {
            // The kernel names a state by its addresses: such a UE has to register anew.
            return self.befall(set, Fate::Elsewhere { outer });
        }
        let changes = self.sets.follow_nat(now, set, outer.port());
        self.outputs.extend(changes);
        self.befall(set, Fate::Mapped { outer });
    }

    /// UEs behind one NAT have one address for us, so their server ports must differ too.
    //= TS 33.203 Annex M: the pair of UE address and protected server port is unique as well
    pub(super) fn check_server_port(
        &self,
        device: &Device,
        offer: &SecurityClient,
        flow: Flow,
    ) -> Result<(), Refusal> {
        let server = SocketAddr::new(flow.remote.ip(), offer.setup().port_s.get());
        let taken = self.sets.at_server(server).any(|(_, entry)| entry.device != *device);
        if taken { Err(Refusal::PortInUse) } else { Ok(()) }
    }
}
