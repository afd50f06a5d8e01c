//! Any sequence of events: nothing panics, every call is answered once, and nothing grows without bound.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Event {
    Call,
    CallHost(u8),
    Pass(u64),
    Kill(usize),
    Listen(usize),
    Freeze(usize, bool),
    Hold(usize, bool),
    Answer(usize),
    Drop(usize),
    Octets(usize, Vec<u8>),
    /// A message with this header and no AVPs, or the last one again with one octet changed.
    Header(usize, u8, u32, u32),
    Stop(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let node = 0..3usize;
    prop_oneof![
        8 => Just(Event::Call),
        2 => (0..4u8).prop_map(Event::CallHost),
        6 => (0..20_000u64).prop_map(Event::Pass),
        2 => (1..3usize).prop_map(Event::Kill),
        3 => (1..3usize).prop_map(Event::Listen),
        2 => (1..3usize, any::<bool>()).prop_map(|(node, on)| Event::Freeze(node, on)),
        2 => (node.clone(), any::<bool>()).prop_map(|(node, on)| Event::Hold(node, on)),
        3 => node.clone().prop_map(Event::Answer),
        1 => node.clone().prop_map(Event::Drop),
        1 => (node.clone(), prop::collection::vec(any::<u8>(), 0..64)).prop_map(|(n, o)| Event::Octets(n, o)),
        2 => (node, any::<u8>(), prop_oneof![Just(257u32), Just(280), Just(282), 300..306u32], any::<u32>())
            .prop_map(|(n, flags, command, id)| Event::Header(n, flags, command, id)),
    ]
}

impl World {
    fn happen(&mut self, event: Event) {
        match event {
            Event::Call => {
                self.call(0, Target::Configured);
            }
            Event::CallHost(number) => {
                let to = origin(if number == 0 { "scscf" } else { "relay" });
                self.call(1 + usize::from(number) % 2, Target::Host(to));
            }
            Event::Pass(millis) => self.pass(Duration::from_millis(millis)),
            Event::Kill(node) => self.kill(node),
            Event::Listen(node) => self.listens[node] = true,
            Event::Freeze(node, on) => self.freeze(node, on),
            Event::Hold(node, on) => self.holds[node] = on,
            Event::Answer(node) => self.answer_held(node),
            Event::Drop(node) => {
                for asked in std::mem::take(&mut self.held[node]) {
                    self.nodes[node].answered(asked.ticket, None);
                }
            }
            Event::Octets(node, octets) => self.inject(node, &octets),
            Event::Header(node, flags, command, id) => {
                let mut message = vec![1, 0, 0, 20, flags];
                message.extend_from_slice(&command.to_be_bytes()[1..]);
                message.extend_from_slice(&16_777_216u32.to_be_bytes());
                message.extend_from_slice(&id.to_be_bytes());
                message.extend_from_slice(&id.to_be_bytes());
                self.inject(node, &message);
            }
            Event::Stop(node) => {
                let now = self.now;
                self.nodes[node].stop(now);
            }
        }
        self.settle();
        for node in &self.nodes {
            assert!(node.calls.len() <= 100);
            assert!(node.duplicates.size().0 <= 1000);
            assert!(node.connections.values().all(|one| one.in_progress <= 10));
            assert!(node.connections.len() <= 64, "connections pile up");
        }
    }

    fn inject(&mut self, node: usize, message: &[u8]) {
        let id = self.nodes[node].connections.keys().next().copied();
        if let Some(id) = id {
            let now = self.now;
            self.nodes[node].received(now, id, message);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn cx_12_every_call_is_answered_once_whatever_happens(events in prop::collection::vec(event(), 0..120)) {
        let mut world = World::new(2);
        for event in events {
            world.happen(event);
        }
        // The last of the deadlines passes.
        world.pass(Duration::from_secs(61));
        for node in &world.nodes {
            prop_assert_eq!(node.calls.len(), 0);
        }
        let mut answered: Vec<u32> = world.replies.iter().map(|(to, _)| *to).collect();
        answered.sort_unstable();
        prop_assert_eq!(answered, (1..=world.next_call).collect::<Vec<_>>());
        for node in 0..world.nodes.len() {
            world.happen(Event::Stop(node));
        }
        world.pass(Duration::from_secs(11));
        for node in &world.nodes {
            prop_assert!(node.is_over());
        }
    }
}
