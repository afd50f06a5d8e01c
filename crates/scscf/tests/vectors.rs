//! Authentication vectors: how many are asked for, in which order they are used, and when they go unused.

mod net;

use aka::{Auts, Impi, Isim, Nonce, SqnArray};
use net::{IMPI, Net, Register, config, credentials, nonce};
use scscf::{Command, Initiator, Removal, User};
use sip::Message;
use std::time::Duration;

fn three() -> Net {
    Net::new(scscf::Config { vectors_per_request: 3, ..config() })
}

/// The HSS counts its RANDs: this is the number of the one in the challenge.
fn number(challenge: &Message) -> u64 {
    let rand = Nonce::decode(&nonce(challenge)).unwrap().rand;
    u64::from_be_bytes(rand.as_bytes()[..8].try_into().unwrap())
}

fn register_again(net: &mut Net, register: &Register) -> (Register, u64) {
    let first = register.next();
    let challenge = net.register(&first);
    assert_eq!(challenge.status(), Some(401));
    let second = net.protected(&first, &challenge);
    assert_eq!(net.register(&second).status(), Some(200));
    (second, number(&challenge))
}

#[test]
fn aka_9_vectors_are_used_in_their_order_and_each_once() {
    let mut net = three();
    let mut register = Register { cseq: 0, ..Register::first() };
    for expected in 1..=7 {
        let used;
        (register, used) = register_again(&mut net, &register);
        assert_eq!(used, expected);
    }
    assert_eq!(net.mars(), 3, "7 challenges of 3 batches");
}

#[test]
fn aka_9_leftovers_go_at_resynchronisation() {
    let mut net = three();
    // The card has seen far more than the HSS: every vector of the first batch is stale.
    let mut stale = SqnArray::starting_at(aka::Sqn::from_parts(5000, 3).unwrap());
    for ind in 0..32 {
        stale.accept(aka::Sqn::from_parts(5001 + u64::from(ind), ind).unwrap());
    }
    let algorithm =
        aka::Algorithm::milenage(aka::K::from_bytes([0x46; 16]), aka::Opc::from_bytes([0xcd; 16]));
    net.card = Isim::new(algorithm, stale);
    let first = Register::first();
    let challenge = net.register(&first);
    assert_eq!(number(&challenge), 1);
    let second = Register { authorization: Some(net.answer(&challenge)), ..first.next() };
    let challenge = net.register(&second);
    assert_eq!(challenge.status(), Some(401), "{:?}", net.events);
    assert_eq!(number(&challenge), 4, "2 and 3 are never used");
    let third = net.protected(&second, &challenge);
    assert_eq!(net.register(&third).status(), Some(200));
    let (_, used) = register_again(&mut net, &third);
    assert_eq!((used, net.mars()), (5, 2));
}

type Way = fn(&mut Net, &Register);

#[test]
fn aka_9_leftovers_go_at_de_registration() {
    let by_user: Way = |net: &mut Net, register: &Register| {
        assert_eq!(net.register(&Register { expires: Some(0), ..register.next() }).status(), Some(200));
    };
    let by_operator: Way = |net: &mut Net, _: &Register| {
        let user = User::Impi(Impi::new(IMPI).unwrap());
        net.command(Command::Deregister { user, removal: Removal::Deactivated, by: Initiator::Operator })
            .unwrap();
    };
    let by_time: Way = |net: &mut Net, _: &Register| {
        net.advance(Duration::from_secs(700_000));
    };
    let ways: [Way; 3] = [by_user, by_operator, by_time];
    for way in ways {
        let mut net = three();
        let second = net.registered();
        way(&mut net, &second);
        assert_eq!(net.scscf.registered(), 0);
        let challenge = net.register(&Register { call_id: "later".into(), ..Register::first() });
        assert_eq!((number(&challenge), net.mars()), (4, 2));
    }
}

#[test]
fn aka_9_leftovers_go_when_the_hss_forgets_us() {
    // A failed first authentication: the next vectors may go to another S-CSCF.
    let mut net = three();
    let challenge = net.register(&Register::first());
    let wrong = credentials(&nonce(&challenge), "response=\"0123456789abcdef0123456789abcdef\"");
    let wrong = Register { authorization: Some(wrong), protected: Some("yes"), ..Register::first().next() };
    assert_eq!(net.register(&wrong).status(), Some(403));
    assert_eq!(number(&net_again(&mut net)), 4);
    // Nobody answered.
    let mut net = three();
    net.register(&Register::first());
    net.advance(Duration::from_secs(240));
    assert_eq!(number(&net_again(&mut net)), 4);
}

fn net_again(net: &mut Net) -> Message {
    net.register(&Register { call_id: "again".into(), ..Register::first() })
}

#[test]
fn aka_9_no_more_are_kept_than_were_asked_for_and_fewer_are_enough() {
    for (asked, given, second) in [(1, 5, 6), (3, 1, 2), (3, 9, 2)] {
        let mut net = Net::new(scscf::Config { vectors_per_request: asked, ..config() });
        net.hss.gives = Some(given);
        let registered = net.registered();
        let (_, used) = register_again(&mut net, &registered);
        assert_eq!(used, second, "asked for {asked}, got {given}");
    }
    let mut net = three();
    net.hss.gives = Some(0);
    assert_eq!(net.register(&Register::first()).status(), Some(500));
}

#[test]
fn aka_8_two_challenges_never_carry_the_same_rand_and_a_repeated_one_does() {
    let mut net = three();
    let mut seen = Vec::new();
    for n in 0..8 {
        let register = Register { call_id: format!("c{n}"), branch: Some(n), ..Register::first() };
        let challenge = net.register(&register);
        // The same transaction, the same 401, byte for byte, and no vector.
        assert_eq!(net.register(&register).bytes(), challenge.bytes());
        seen.push(number(&challenge));
    }
    assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(net.mars(), 3);
}

#[test]
fn aka_8_a_batch_that_comes_for_a_replaced_attempt_is_not_used() {
    let mut net = three();
    net.held = Some(Vec::new());
    assert!(net.send(net::flow(), &Register::first()).is_empty());
    assert!(net.send(net::flow(), &Register { call_id: "call-2".into(), ..Register::first() }).is_empty());
    let answers = net.release();
    assert_eq!((answers[0].status(), number(&answers[1])), (Some(500), 4));
    let next = net.register(&Register { call_id: "call-3".into(), ..Register::first() });
    assert_eq!(number(&next), 5, "the batch of the attempt that counts goes on");
}

#[test]
fn aka_7_resynchronisation_uses_the_rand_that_was_stored() {
    let mut net = Net::new(config());
    let first = Register::first();
    let challenge = net.register(&first);
    let sent = Nonce::decode(&nonce(&challenge)).unwrap().rand;
    // Another RAND in the nonce: no answer to our challenge at all, and no MAR with it.
    let mut forged = Nonce::decode(&nonce(&challenge)).unwrap();
    forged.rand = aka::Rand::from_bytes([0xee; 16]);
    let auts = Auts::from_bytes([9; 14]);
    let other = Register { authorization: Some(net.sync_failure(&forged.encode(), &auts)), ..first.next() };
    assert_eq!(net.register(&other).status(), Some(401));
    assert!(net.resync_rands.is_empty());

    let mut net = Net::new(config());
    net.register(&first);
    let other = Register { authorization: Some(net.sync_failure(&nonce(&challenge), &auts)), ..first.next() };
    net.register(&other);
    assert_eq!(net.resync_rands, [sent]);
}

#[test]
fn sec_an_auts_with_a_wrong_mac_s_changes_nothing_for_a_registered_user() {
    let mut net = Net::new(config());
    let second = net.registered();
    let before: Vec<_> = net.scscf.registrations(net.now).collect();
    let third = second.next();
    let challenge = net.register(&third);
    let forged = net.sync_failure(&nonce(&challenge), &Auts::from_bytes([9; 14]));
    let forged = Register { authorization: Some(forged), ..third.next() };
    assert_eq!(net.register(&forged).status(), Some(403));
    assert_eq!(net.scscf.registrations(net.now).collect::<Vec<_>>(), before);
    assert_eq!(net.asked.last().map(String::as_str), Some("MAR+AUTS"), "nothing is reported");
    // The attempt is over, the next one works.
    let answer = net.protected(&third, &challenge);
    let late = Register { cseq: forged.cseq + 1, ..answer };
    assert_ne!(net.register(&late).status(), Some(200));
    register_again(&mut net, &late);
}
