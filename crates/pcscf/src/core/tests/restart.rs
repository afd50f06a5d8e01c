//! What outlives a run, and ends in the kernel.

use super::*;

/// The states that the kernel holds for these sets.
fn held(sets: &[Associations]) -> Vec<HeldState> {
    let states = sets.iter().flat_map(|set| set.iter().copied().collect::<Vec<_>>());
    states.map(|sa| HeldState { source: sa.source, destination: sa.destination, spi: sa.spi.get() }).collect()
}

impl Bench {
    fn saving() -> Self {
        let mut bench = Self::new();
        bench.pcscf.save_changes();
        bench
    }

    /// A new run `later`, of what this one has saved and what the kernel holds.
    fn restart(&self, later: Duration, held: &[HeldState]) -> (Self, Restored, Outcome) {
        let mut next = Self::new();
        next.now = self.now + later;
        next.cseq = self.cseq;
        let restored = next.pcscf.restore(next.now, self.pcscf.saved().collect(), held);
        next.pcscf.save_changes();
        let outcome = next.give(Input::Timeout);
        (next, restored, outcome)
    }

    fn fates(&self) -> Vec<String> {
        let fate = |event: &Event| match event {
            Event::SetFate { fate, .. } => Some(fate.to_string()),
            _ => None,
        };
        self.events.iter().filter_map(fate).collect()
    }
}

#[test]
fn a_confirmed_set_is_written_down_before_its_200_leaves() {
    let mut bench = Bench::saving();
    let (associations, verify) = bench.challenge(0);
    let forwarded = bench.sm7(&associations, 0, &verify);
    assert!(forwarded.saved.is_empty(), "nothing has confirmed it yet");
    let ok = answer(forwarded.only().1, 200, "", PROFILE);
    bench.pcscf.handle(bench.now, Input::Received { flow: from_core(), message: ok });
    let mut saved = None;
    loop {
        match bench.pcscf.poll() {
            Output::Save(device) => saved = Some(device),
            Output::Send(_) => break,
            Output::WaitUntil(_) => panic!("the 200 must leave"),
            _ => {}
        }
    }
    let saved = saved.expect("it comes before the 200");
    assert_eq!(saved.device, device());
    assert_eq!(saved.registration.as_ref().unwrap().associated_uris.len(), 2);
    let [set] = saved.sets.as_slice() else { panic!("one set") };
    assert_eq!((set.associations, set.stage), (associations, Stage::Current));
    assert_eq!(set.expires - bench.now, Duration::from_secs(600_030));
    assert_eq!(bench.pcscf.saved().collect::<Vec<_>>(), [*saved]);
}

#[test]
fn sa_17_a_registered_ue_goes_on_after_a_restart() {
    let mut bench = Bench::saving();
    let (associations, verify, _) = bench.registered_with_profile(0);
    let pause = Duration::from_secs(100);
    let (mut next, restored, outcome) = bench.restart(pause, &held(&[associations]));
    assert_eq!(restored, Restored { adopted: 1, forgotten: 0, orphans: Vec::new() });
    assert_eq!(next.fates(), ["of an earlier run goes on"]);
    // The run before may not have got so far; from the registration on the set lives 30 s longer, the kernel 60 s.
    assert_eq!(outcome.extended, [(associations, Duration::from_secs(600_030 - 100 + 60))]);
    assert_eq!(next.pcscf.registration(&device()), bench.pcscf.registration(&device()));
    // It hears of the registration again.
    let [(_, subscribe)] = outcome.sent.as_slice() else { panic!("{:?}", outcome.sent) };
    assert_eq!((subscribe.method(), subscribe.expires()), (Method::Subscribe, Some(600_030 - 100 + 600)));

    // A re-registration over the old set leads to a new one with other SPIs and another client port.
    let (second, second_verify) = next.re_challenge(&associations, 1, &verify, "n2");
    assert!(second.iter().all(|new| associations.iter().all(|old| new.spi != old.spi)));
    assert_ne!(second.pc_to_us.source, associations.pc_to_us.source);
    let forwarded = next.over_set(&second, 1, &second_verify, r#"nonce="n2", response="0123""#);
    let outcome = next.receive(from_core(), answer(forwarded.only().1, 200, "", PROFILE));
    assert_eq!(outcome.saved.last().unwrap().sets.len(), 2, "the old and the new one");
}

#[test]
fn the_lifetime_goes_on_where_it_was() {
    let mut bench = Bench::saving();
    let (associations, ..) = bench.registered_with_profile(0);
    let (mut next, ..) = bench.restart(Duration::from_secs(600_000), &held(&[associations]));
    assert!(next.wait(Duration::from_secs(29)).removed.is_empty());
    let ended = next.wait(Duration::from_secs(2));
    assert_eq!(ended.removed, [associations]);
    assert!(ended.saved[0].sets.is_empty(), "there is nothing to keep any more");
    assert_eq!(next.pcscf.registration(&device()), None);
}

#[test]
fn sa_17_what_only_one_of_file_and_kernel_knows_ends_and_is_told() {
    let mut bench = Bench::saving();
    let (associations, ..) = bench.registered_with_profile(0);
    let pause = Duration::from_secs(1);

    // The kernel holds nothing of it.
    let (next, restored, _) = bench.restart(pause, &[]);
    assert_eq!(restored, Restored { adopted: 0, forgotten: 1, orphans: Vec::new() });
    assert_eq!(
        next.fates(),
        ["of an earlier run cannot go on: the kernel does not hold all four of its states"]
    );
    assert_eq!((next.pcscf.sets(), next.pcscf.registration(&device())), (0, None));

    // One of four is gone, or is another one: the rest goes as well.
    for broken in 0..4 {
        let mut states = held(&[associations]);
        states.remove(broken);
        let (next, restored, _) = bench.restart(pause, &states);
        assert_eq!(restored, Restored { adopted: 0, forgotten: 1, orphans: vec![0, 1, 2] });
        assert_eq!(next.pcscf.sets(), 0);
        let mut states = held(&[associations]);
        states[broken].source.set_port(7777);
        let (_, restored, _) = bench.restart(pause, &states);
        assert_eq!((restored.adopted, restored.forgotten), (0, 1));
        assert!(restored.orphans.len() >= 3, "{restored:?}");
    }

    // Its time is over.
    let (next, restored, _) = bench.restart(Duration::from_secs(600_031), &held(&[associations]));
    assert_eq!(restored, Restored { adopted: 0, forgotten: 1, orphans: vec![0, 1, 2, 3] });
    assert_eq!(next.fates(), ["of an earlier run cannot go on: its time is over"]);

    // Nobody has written it down; what is at other ports than ours is somebody else's.
    let mut foreign = held(&[associations])[0];
    foreign.source = "10.9.0.9:1".parse().unwrap();
    foreign.destination = "10.9.0.1:9".parse().unwrap();
    let mut states = held(&[associations]);
    states.push(foreign);
    let restored = Bench::new().pcscf.restore(bench.now, Vec::new(), &states);
    assert_eq!(restored, Restored { adopted: 0, forgotten: 0, orphans: vec![0, 1, 2, 3] });
}

#[test]
fn a_set_that_nobody_has_confirmed_does_not_go_on() {
    let mut bench = Bench::saving();
    let (associations, _) = bench.challenge(0);
    assert_eq!(bench.pcscf.saved().count(), 0);
    let (next, restored, _) = bench.restart(Duration::from_secs(1), &held(&[associations]));
    assert_eq!(restored, Restored { adopted: 0, forgotten: 0, orphans: vec![0, 1, 2, 3] });
    assert_eq!(next.pcscf.sets(), 0);
}

#[test]
fn a_set_of_ports_that_are_not_served_any_more_leaves_the_kernel() {
    let mut bench = Bench::saving();
    let (associations, ..) = bench.registered_with_profile(0);
    let mut moved = config();
    moved.gm[0].server_port = sec_agree::Port::new(6200).unwrap();
    moved.gm[0].client_ports = sec_agree::ClientPorts::new(6008, 4).unwrap();
    let mut next = PCscf::new(moved, [7; 32]);
    let restored = next.restore(bench.now, bench.pcscf.saved().collect(), &held(&[associations]));
    assert_eq!(restored, Restored { adopted: 0, forgotten: 1, orphans: vec![0, 1, 2, 3] });
}

#[test]
fn a_de_registration_is_written_down() {
    let mut bench = Bench::saving();
    let (associations, verify, _) = bench.registered_with_profile(0);
    let forwarded = bench.over_set(&associations, 1, &verify, r#"nonce="n", response="0123""#);
    let outcome = bench.receive(from_core(), answer(forwarded.only().1, 200, "", "Expires: 0\r\n"));
    let saved = outcome.saved.last().unwrap();
    assert_eq!((&saved.registration, saved.sets.len()), (&None, 1), "the set lives a little longer");
    assert!(saved.sets[0].expires <= bench.now + Duration::from_secs(128));
    assert!(bench.wait(Duration::from_secs(129)).saved[0].sets.is_empty());
}

#[test]
fn a_hard_end_in_the_kernel_ends_the_set_and_the_registration() {
    for at in 0..4 {
        let mut bench = Bench::saving();
        let (associations, ..) = bench.registered_with_profile(0);
        let sa = *associations.iter().nth(at).unwrap();
        let told = |hard| {
            Input::Kernel(KernelTold::Expired { destination: sa.destination.ip(), spi: sa.spi.get(), hard })
        };
        let soft = bench.give(told(false));
        assert!(soft.removed.is_empty() && bench.pcscf.registration(&device()).is_some());
        let hard = bench.give(told(true));
        assert_eq!(hard.removed, [associations]);
        assert!(hard.saved[0].sets.is_empty());
        assert_eq!((bench.pcscf.sets(), bench.pcscf.registration(&device())), (0, None));
        assert!(bench.fates()[1].starts_with("has expired in the kernel"), "{:?}", bench.fates());
        // The other three tell the same a moment later.
        assert!(bench.give(told(true)).removed.is_empty());
        assert_eq!(bench.fates().len(), 2);
    }
}

#[test]
fn the_end_of_an_old_set_in_the_kernel_leaves_the_registration() {
    let mut bench = Bench::new();
    let (first, verify, _) = bench.registered_with_profile(0);
    let (second, second_verify) = bench.re_challenge(&first, 1, &verify, "n2");
    let forwarded = bench.over_set(&second, 1, &second_verify, r#"nonce="n2", response="0123""#);
    bench.receive(from_core(), answer(forwarded.only().1, 200, "", PROFILE));
    let (destination, spi) = (first.uc_to_ps.destination.ip(), first.uc_to_ps.spi.get());
    let outcome = bench.give(Input::Kernel(KernelTold::Expired { destination, spi, hard: true }));
    assert_eq!(outcome.removed, [first]);
    assert!(bench.pcscf.registration(&device()).is_some());
}

#[test]
fn after_an_overflow_only_whole_sets_stay() {
    let mut bench = Bench::new();
    let (associations, ..) = bench.registered_with_profile(0);
    let names = |states: &[HeldState]| states.iter().map(|held| (held.destination.ip(), held.spi)).collect();
    let mut states = held(&[associations]);
    let outcome = bench.give(Input::Kernel(KernelTold::Holds(names(&states))));
    assert!(outcome.removed.is_empty());
    states.pop();
    let outcome = bench.give(Input::Kernel(KernelTold::Holds(names(&states))));
    assert_eq!((outcome.removed, bench.pcscf.sets()), (vec![associations], 0));
    assert_eq!(bench.fates(), ["is not whole in the kernel any more"]);
}
