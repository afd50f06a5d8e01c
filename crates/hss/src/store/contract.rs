//! What every store must do, as tests that any store can be put to: each function wants an empty one.

use std::collections::HashSet;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use aka::{AkaError, Algorithm, Amf, Impi, Impu, IndRange, K, Opc, Sqn};
use cx::ServerName;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::{
    Change, Committed, Counts, Done, IfPresent, Inserted, Key, Loaded, Replacement, SqnTake, Store,
    SubscriptionId,
};
use crate::csv::Imported;
use crate::{
    NewSubscription, PrivateIdentity, State, StoreError, Subscriber, SubscriberImpu, Subscription, UnixTime,
};

/// One operation, waited for.
pub(crate) fn ask<T: Send + 'static>(operation: impl FnOnce(Done<T>)) -> Result<T, StoreError> {
    let (tell, told) = mpsc::channel();
    operation(Box::new(move |result| drop(tell.send(result))));
    told.recv_timeout(Duration::from_secs(60)).expect("a store answers, always")
}

pub(crate) fn impi(user: &str) -> Impi {
    Impi::new(&format!("{user}@home.example")).unwrap()
}

pub(crate) fn impu(user: &str) -> Impu {
    Impu::new(&format!("sip:{user}@home.example")).unwrap()
}

/// One private identity for each user, and the public ones they share.
pub(crate) fn subscription(users: &[&str], public: &[&str]) -> NewSubscription {
    let rows = users.iter().map(|user| {
        let impus = public.iter().map(|public| SubscriberImpu { impu: impu(public), barred: false });
        let octet = user.bytes().fold(0u8, u8::wrapping_add);
        let algorithm = Algorithm::milenage(K::from_bytes([octet; 16]), Opc::from_bytes([!octet; 16]));
        let subscriber = Subscriber {
            impi: impi(user),
            algorithm,
            amf: Amf::from_bytes([0x80, octet]),
            impus: impus.collect(),
            anonymity: cx::Anonymity::default(),
        };
        Imported { subscriber, sqn: Sqn::default() }
    });
    crate::subscriptions(rows.collect()).unwrap().remove(0)
}

pub(crate) fn load(store: &impl Store, user: &str) -> Option<Loaded> {
    ask(|done| store.load(Key::Impi(impi(user)), done)).unwrap()
}

pub(crate) fn insert(store: &impl Store, users: &[&str]) {
    let batch: Vec<_> = users.iter().map(|user| subscription(&[user], &[user])).collect();
    let inserted = ask(|done| store.insert(batch, IfPresent::Fail, done)).unwrap();
    assert_eq!(inserted.inserted, users.len());
}

pub(crate) fn take(user: &str, count: u32) -> SqnTake {
    SqnTake { impi: impi(user), count, range: IndRange::ALL, resynchronise: None }
}

pub(crate) fn commit(
    store: &impl Store,
    loaded: &Loaded,
    state: Option<State>,
    take: Option<SqnTake>,
) -> Result<Committed, StoreError> {
    let change = Change { id: loaded.id, revision: loaded.revision, state, take };
    ask(|done| store.commit(change, done))
}

/// The numbers of a take that must succeed.
pub(crate) fn numbers(store: &impl Store, user: &str, count: u32) -> Vec<Sqn> {
    let loaded = load(store, user).unwrap();
    match commit(store, &loaded, None, Some(take(user, count))).unwrap() {
        Committed::Done { sqns } => sqns,
        Committed::Conflict => panic!("nobody else changes {user}"),
    }
}

fn challenged(loaded: &Loaded, user: &str) -> State {
    let mut state = State::clone(&loaded.state);
    let name = ServerName::new("sip:scscf.home.example").unwrap();
    state.challenged([&impu(user)].into_iter(), &impu(user), &impi(user), &name, UnixTime(7));
    state
}

const DONE: Committed = Committed::Done { sqns: Vec::new() };

pub(crate) fn finds_by_both_identities_and_lists(store: &impl Store) {
    assert_eq!(ask(|done| store.count(done)).unwrap(), Counts::default());
    let batch = vec![subscription(&["c", "d"], &["shared", "x"]), subscription(&["a"], &["a"])];
    let expected = Inserted { inserted: 2, ..Default::default() };
    assert_eq!(ask(|done| store.insert(batch, IfPresent::Fail, done)).unwrap(), expected);
    let loaded = load(store, "d").unwrap();
    assert_eq!(
        loaded.subscription.private().iter().map(|one| &one.impi).collect::<Vec<_>>(),
        [&impi("c"), &impi("d")]
    );
    assert_eq!(loaded.subscription.private()[1].amf, Amf::from_bytes([0x80, b'd']));
    assert_eq!(*loaded.state, State::default());
    for public in ["shared", "x"] {
        let found = ask(|done| store.load(Key::Impu(impu(public)), done)).unwrap().unwrap();
        assert_eq!((found.id, found.revision), (loaded.id, loaded.revision));
    }
    assert!(load(store, "nobody").is_none());
    assert!(ask(|done| store.load(Key::Impu(impu("nobody")), done)).unwrap().is_none());
    let counts = Counts { subscriptions: 2, private_identities: 3, public_identities: 3 };
    assert_eq!(ask(|done| store.count(done)).unwrap(), counts);

    let page = |after| ask(|done| store.list(after, 1, done)).unwrap();
    let first = page(None).remove(0).id;
    let second = page(Some(first)).remove(0).id;
    assert!(first < second);
    assert!(page(Some(second)).is_empty());
    assert_eq!(ask(|done| store.list(None, usize::MAX, done)).unwrap().len(), 2);
}

pub(crate) fn a_stale_revision_changes_nothing(store: &impl Store) {
    insert(store, &["a"]);
    let before = load(store, "a").unwrap();
    assert_eq!(commit(store, &before, Some(challenged(&before, "a")), None).unwrap(), DONE);
    let now = load(store, "a").unwrap();
    assert!(now.revision > before.revision);
    assert_eq!(*now.state, challenged(&before, "a"));

    let stale = commit(store, &before, Some(State::default()), Some(take("a", 3)));
    assert_eq!(stale.unwrap(), Committed::Conflict);
    assert_eq!(commit(store, &before, None, Some(take("a", 3))).unwrap(), Committed::Conflict);
    let replacement = Replacement {
        id: before.id,
        revision: before.revision,
        subscription: subscription(&["a"], &["b"]),
        state: State::default(),
    };
    assert_eq!(ask(|done| store.replace(replacement, done)).unwrap(), Committed::Conflict);
    assert_eq!(ask(|done| store.remove(before.id, before.revision, done)).unwrap(), Committed::Conflict);
    let after = load(store, "a").unwrap();
    assert_eq!(
        (after.revision, &after.state, &after.sqns),
        (now.revision, &now.state, &vec![Sqn::default()])
    );

    // Numbers alone leave the revision: two challenges of one user do not disturb each other.
    assert_eq!(numbers(store, "a", 2).len(), 2);
    assert_eq!(load(store, "a").unwrap().revision, now.revision);

    assert_eq!(ask(|done| store.remove(now.id, now.revision, done)).unwrap(), DONE);
    assert!(load(store, "a").is_none());
    assert!(ask(|done| store.load(Key::Impu(impu("a")), done)).unwrap().is_none());
    assert_eq!(ask(|done| store.count(done)).unwrap(), Counts::default());
    assert_eq!(commit(store, &now, None, Some(take("a", 1))).unwrap(), Committed::Conflict);
    let gone = SubscriptionId(now.id.0 + 1000);
    assert_eq!(ask(|done| store.remove(gone, 1, done)).unwrap(), Committed::Conflict);
}

pub(crate) fn identities_belong_to_one_subscription(store: &impl Store) {
    insert(store, &["a", "b"]);
    let batch = || vec![subscription(&["new"], &["new"]), subscription(&["c"], &["b", "c"])];
    let error = ask(|done| store.insert(batch(), IfPresent::Fail, done)).unwrap_err();
    assert!(matches!(&error, StoreError::IdentityTaken(taken) if **taken == *impu("b").as_str()), "{error}");
    assert!(load(store, "new").is_none(), "all or none");
    let skipped = ask(|done| store.insert(batch(), IfPresent::Skip, done)).unwrap();
    assert_eq!(skipped, Inserted { inserted: 1, present: 1, in_part: 1 });
    let again = ask(|done| store.insert(vec![subscription(&["a"], &["z"])], IfPresent::Skip, done)).unwrap();
    assert_eq!(again, Inserted { inserted: 0, present: 1, in_part: 0 });
    assert!(load(store, "c").is_none());

    let loaded = load(store, "a").unwrap();
    let with = |subscription| Replacement {
        id: loaded.id,
        revision: loaded.revision,
        subscription,
        state: State::default(),
    };
    for new in [subscription(&["a", "b"], &["a"]), subscription(&["a"], &["a", "b"])] {
        let error = ask(|done| store.replace(with(new), done)).unwrap_err();
        assert!(matches!(error, StoreError::IdentityTaken(_)), "{error}");
    }
    let after = load(store, "a").unwrap();
    assert_eq!(after.revision, loaded.revision);
    assert_eq!(after.subscription.profile(), loaded.subscription.profile());
    assert!(load(store, "b").is_some());
}

pub(crate) fn a_replacement_keeps_sequence_numbers(store: &impl Store) {
    insert(store, &["a"]);
    let last = numbers(store, "a", 5).pop().unwrap();
    let loaded = load(store, "a").unwrap();
    let mut new = subscription(&["n", "a"], &["x", "y"]);
    let first = Sqn::from_parts(77, 3).unwrap();
    new.sqns = vec![first, Sqn::from_parts(9999, 0).unwrap()];
    let state = challenged(&loaded, "x");
    let replacement =
        Replacement { id: loaded.id, revision: loaded.revision, subscription: new, state: state.clone() };
    assert_eq!(ask(|done| store.replace(replacement, done)).unwrap(), DONE);
    let after = load(store, "n").unwrap();
    assert_eq!(after.id, loaded.id);
    assert_eq!(after.sqns, [first, last], "who stays counts on");
    assert_eq!(*after.state, state);
    assert!(ask(|done| store.load(Key::Impu(impu("a")), done)).unwrap().is_none(), "no longer of it");
    assert_eq!(numbers(store, "a", 1)[0].seq(), last.seq() + 1);
    assert_eq!(numbers(store, "n", 1)[0].seq(), 78);
}

pub(crate) fn numbers_follow_the_rule(store: &impl Store) {
    insert(store, &["a", "b"]);
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let mut last = Sqn::default();
    for round in 0..400 {
        let below = |rng: &mut ChaCha20Rng, end: u64| rng.next_u64() % end;
        let ind = |rng: &mut ChaCha20Rng| u8::try_from(rng.next_u32() % 32).unwrap();
        if below(&mut rng, 5) == 0 {
            last = Sqn::from_parts(below(&mut rng, 1 << 43), ind(&mut rng)).unwrap();
            assert!(ask(|done| store.set_sqn(impi("a"), last, done)).unwrap());
        }
        let (one, other) = (ind(&mut rng), ind(&mut rng));
        let near = (last.seq() + below(&mut rng, 1 << 29)).saturating_sub(1 << 28).min(Sqn::MAX_SEQ);
        let resynchronise = match below(&mut rng, 4) {
            0 => Some(Sqn::from_parts(near, ind(&mut rng)).unwrap()),
            1 => Some(Sqn::from_parts(below(&mut rng, 1 << 43), ind(&mut rng)).unwrap()),
            _ => None,
        };
        let take = SqnTake {
            impi: impi("a"),
            count: 1 + u32::try_from(below(&mut rng, 70)).unwrap(),
            range: IndRange::new(one.min(other), one.max(other)).unwrap(),
            resynchronise,
        };
        let loaded = load(store, "a").unwrap();
        assert_eq!(loaded.sqns, [last], "round {round}");
        let taken = commit(store, &loaded, None, Some(take.clone()));
        match take.apply(last) {
            Ok(new) => {
                assert_eq!(
                    taken.unwrap(),
                    Committed::Done { sqns: take.taken(new).unwrap() },
                    "round {round}"
                );
                last = new;
            }
            Err(_) => assert!(matches!(taken, Err(StoreError::Aka(AkaError::SqnExhausted))), "round {round}"),
        }
    }
    assert_eq!(load(store, "b").unwrap().sqns, [Sqn::default()], "his neighbour's are his own");
    assert!(!ask(|done| store.set_sqn(impi("nobody"), last, done)).unwrap());
}

pub(crate) fn state_and_numbers_are_written_both_or_neither(store: &impl Store) {
    insert(store, &["a", "b"]);
    let end = Sqn::from_parts(Sqn::MAX_SEQ - 1, 0).unwrap();
    assert!(ask(|done| store.set_sqn(impi("a"), end, done)).unwrap());
    let before = load(store, "a").unwrap();
    let state = challenged(&before, "a");
    let exhausted = commit(store, &before, Some(state.clone()), Some(take("a", 2)));
    assert!(matches!(exhausted, Err(StoreError::Aka(AkaError::SqnExhausted))));
    let strange = commit(store, &before, Some(state.clone()), Some(take("b", 2)));
    if let Ok(Committed::Done { sqns }) = strange {
        assert_eq!(sqns.len(), 2, "a store may give numbers of another subscription, but not half of it");
    } else {
        let after = load(store, "a").unwrap();
        assert_eq!((after.revision, after.sqns), (before.revision, vec![end]));
        assert_eq!(*after.state, State::default());
        assert!(commit(store, &before, Some(state), Some(take("a", 1))).is_ok());
    }
}

pub(crate) fn many_at_once_never_get_the_same_number<S: Store>(store: &Arc<S>) {
    insert(&**store, &["a"]);
    let loaded = load(&**store, "a").unwrap();
    let (threads, rounds) = (8, 50);
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            let (store, loaded) = (Arc::clone(store), loaded.clone());
            std::thread::spawn(move || {
                let mut mine: Vec<Sqn> = Vec::new();
                for _ in 0..rounds {
                    let committed = commit(&*store, &loaded, None, Some(take("a", 3))).unwrap();
                    let Committed::Done { sqns } = committed else { panic!("no state changes") };
                    assert!(mine.last().is_none_or(|last| sqns[0].seq() > last.seq()), "in order");
                    mine.extend(sqns);
                }
                mine
            })
        })
        .collect();
    let all: Vec<Sqn> = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
    assert_eq!(all.len(), threads * rounds * 3);
    assert_eq!(all.iter().map(|sqn| sqn.seq()).collect::<HashSet<_>>().len(), all.len());
}

pub(crate) fn too_many_at_once_are_refused(store: &impl Store) {
    let one = subscription(&["a"], &["a"]);
    let batch = vec![one; Subscription::MOST_AT_ONCE + 1];
    assert!(matches!(ask(|done| store.insert(batch, IfPresent::Skip, done)), Err(StoreError::TooMany)));
    assert!(load(store, "a").is_none());
}

/// The keys come back as they were given.
pub(crate) fn keys_are_kept(store: &impl Store) {
    let new = subscription(&["a"], &["a"]);
    let vector =
        |one: &PrivateIdentity| one.algorithm.vector(aka::Rand::from_bytes([5; 16]), Sqn::default(), one.amf);
    let expected = vector(&new.subscription.private()[0]);
    ask(|done| store.insert(vec![new], IfPresent::Fail, done)).unwrap();
    assert_eq!(vector(&load(store, "a").unwrap().subscription.private()[0]), expected);
}

/// The tests above for a store that `$make` gives an empty one of, as an `Arc`; `$keep` lives as long.
macro_rules! contract {
    ($make:expr) => {
        use $crate::store::contract as c;

        #[test]
        fn finds_by_both_identities_and_lists() {
            let (_keep, store) = $make;
            c::finds_by_both_identities_and_lists(&*store);
        }

        #[test]
        fn a_stale_revision_changes_nothing() {
            let (_keep, store) = $make;
            c::a_stale_revision_changes_nothing(&*store);
        }

        #[test]
        fn identities_belong_to_one_subscription() {
            let (_keep, store) = $make;
            c::identities_belong_to_one_subscription(&*store);
        }

        #[test]
        fn a_replacement_keeps_sequence_numbers() {
            let (_keep, store) = $make;
            c::a_replacement_keeps_sequence_numbers(&*store);
        }

        /// AKA-5, AKA-6: SEQ grows, and a resynchronisation moves it only when it must.
        #[test]
        fn numbers_follow_the_rule() {
            let (_keep, store) = $make;
            c::numbers_follow_the_rule(&*store);
        }

        #[test]
        fn state_and_numbers_are_written_both_or_neither() {
            let (_keep, store) = $make;
            c::state_and_numbers_are_written_both_or_neither(&*store);
        }

        #[test]
        fn many_at_once_never_get_the_same_number() {
            let (_keep, store) = $make;
            c::many_at_once_never_get_the_same_number(&store);
        }

        #[test]
        fn too_many_at_once_are_refused() {
            let (_keep, store) = $make;
            c::too_many_at_once_are_refused(&*store);
        }

        #[test]
        fn keys_are_kept() {
            let (_keep, store) = $make;
            c::keys_are_kept(&*store);
        }
    };
}
pub(crate) use contract;

mod memory {
    super::contract!(((), std::sync::Arc::new(crate::MemoryStore::new())));
}
