//! The store by itself: what the trait promises, against a real server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aka::{AkaError, Algorithm, Amf, Impi, Impu, IndRange, K, Opc, Sqn};
use cx::IdentityType;
use hss::store::seal::MasterKey;
use hss::store::{
    Change, Committed, Done, IfPresent, Inserted, Key, Loaded, PostgresConfig, PostgresStore, Replacement,
    SqnTake, Store,
};
use hss::{HeldIdentity, NewSubscription, PrivateIdentity, Profile, State, StoreError, Subscription};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio::time::{sleep, timeout};

use crate::server::{PASSWORD, Postgres, USER};

const KEY: [u8; 32] = [7; 32];

async fn connect(postgres: &Postgres, key: [u8; 32]) -> Result<PostgresStore, StoreError> {
    let mut server = tokio_postgres::Config::new();
    server.host_path(postgres.socket()).user(USER).password(PASSWORD).dbname("postgres");
    let config = PostgresConfig { connections: 4, ..PostgresConfig::new(server) };
    PostgresStore::connect(config, MasterKey::from_bytes(&key)).await
}

/// Waits for what a store answers.
async fn told<T: Send + 'static>(ask: impl FnOnce(Done<T>)) -> Result<T, StoreError> {
    let (tell, told) = tokio::sync::oneshot::channel();
    ask(Box::new(move |result| drop(tell.send(result))));
    told.await.expect("exactly once")
}

fn impi(name: &str) -> Impi {
    Impi::new(&format!("{name}@home.example")).unwrap()
}

fn impu(name: &str) -> Impu {
    Impu::new(&format!("sip:{name}@home.example")).unwrap()
}

/// A user with an identity of the same name, and some more.
fn user(names: &[&str], more: &[&str]) -> NewSubscription {
    let private = names.iter().map(|name| PrivateIdentity {
        impi: impi(name),
        algorithm: Arc::new(Algorithm::milenage(K::from_bytes([1; 16]), Opc::from_bytes([2; 16]))),
        amf: Amf::from_bytes([0x80, 0]),
    });
    let held_by: Vec<Impi> = names.iter().map(|name| impi(name)).collect();
    let public = names.iter().chain(more).map(|name| HeldIdentity {
        impu: impu(name),
        barred: false,
        kind: IdentityType::DistinctUser,
        set: 0,
        held_by: held_by.clone(),
    });
    let profile = Profile { public: public.collect(), ..Profile::default() };
    NewSubscription { subscription: Subscription::new(private.collect(), profile).unwrap(), sqns: Vec::new() }
}

async fn load(store: &PostgresStore, key: Key) -> Option<Loaded> {
    told(|done| store.load(key, done)).await.unwrap()
}

async fn insert(
    store: &PostgresStore,
    new: Vec<NewSubscription>,
    present: IfPresent,
) -> Result<Inserted, StoreError> {
    told(|done| store.insert(new, present, done)).await
}

async fn commit(store: &PostgresStore, change: Change) -> Result<Committed, StoreError> {
    told(|done| store.commit(change, done)).await
}

fn take(name: &str, count: u32) -> SqnTake {
    SqnTake { impi: impi(name), count, range: IndRange::ALL, resynchronise: None }
}

#[tokio::test]
#[ignore = "needs PostgreSQL; cargo xtask test runs it"]
async fn what_comes_in_is_found_and_a_stale_revision_changes_nothing() {
    let postgres = Postgres::started();
    let store = connect(&postgres, KEY).await.unwrap();
    let batch = vec![user(&["a"], &["a2"]), user(&["b", "c"], &[])];
    assert_eq!(
        insert(&store, batch.clone(), IfPresent::Fail).await.unwrap(),
        Inserted { inserted: 2, ..Default::default() }
    );
    let a = load(&store, Key::Impi(impi("a"))).await.unwrap();
    assert_eq!(load(&store, Key::Impu(impu("a2"))).await.unwrap().id, a.id);
    assert_eq!(a.subscription.public().len(), 2);
    let c = load(&store, Key::Impi(impi("c"))).await.unwrap();
    assert_eq!((c.subscription.private().len(), c.sqns.len()), (2, 2));
    assert!(load(&store, Key::Impi(impi("nobody"))).await.is_none());

    // Batches: all or nothing, or what is new.
    let more = vec![user(&["d"], &[]), user(&["e"], &["a2"])];
    assert!(matches!(insert(&store, more.clone(), IfPresent::Fail).await, Err(StoreError::IdentityTaken(_))));
    assert!(load(&store, Key::Impi(impi("d"))).await.is_none());
    assert_eq!(
        insert(&store, more, IfPresent::Skip).await.unwrap(),
        Inserted { inserted: 1, present: 1, in_part: 1 }
    );
    let twice = vec![user(&["f"], &[]), user(&["g"], &["f"])];
    assert_eq!(
        insert(&store, twice, IfPresent::Skip).await.unwrap(),
        Inserted { inserted: 1, present: 1, in_part: 1 }
    );

    // Revisions.
    let state = Some(State::default());
    let change = Change { id: a.id, revision: a.revision, state, take: Some(take("a", 2)) };
    let Committed::Done { sqns } = commit(&store, change.clone()).await.unwrap() else { panic!("done") };
    assert_eq!(sqns.iter().map(|sqn| sqn.seq()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(commit(&store, change.clone()).await.unwrap(), Committed::Conflict);
    let only_take = Change { state: None, ..change };
    assert_eq!(
        commit(&store, only_take.clone()).await.unwrap(),
        Committed::Conflict,
        "a take looks at it too"
    );
    let now = load(&store, Key::Impi(impi("a"))).await.unwrap();
    assert_eq!((now.revision, now.sqns[0].seq()), (a.revision + 1, 2), "and has taken nothing");
    let fresh = Change { revision: now.revision, ..only_take };
    assert!(matches!(commit(&store, fresh).await.unwrap(), Committed::Done { .. }));
    assert_eq!(
        load(&store, Key::Impi(impi("a"))).await.unwrap().revision,
        now.revision,
        "leaves the revision"
    );

    // Replacement: who stays keeps its number, another's identity is not taken.
    let replacement = |new: NewSubscription| Replacement {
        id: now.id,
        revision: now.revision,
        subscription: new,
        state: State::default(),
    };
    let stolen = told(|done| store.replace(replacement(user(&["a"], &["b"])), done)).await;
    assert!(matches!(stolen, Err(StoreError::IdentityTaken(_))));
    let put = told(|done| store.replace(replacement(user(&["a", "h"], &["a3"])), done)).await.unwrap();
    assert!(matches!(put, Committed::Done { .. }));
    let after = load(&store, Key::Impu(impu("a3"))).await.unwrap();
    assert_eq!(after.sqns.iter().map(|sqn| sqn.seq()).collect::<Vec<_>>(), [4, 0]);
    assert!(load(&store, Key::Impu(impu("a2"))).await.is_none());
    let stale = told(|done| store.replace(replacement(user(&["a"], &[])), done)).await.unwrap();
    assert_eq!(stale, Committed::Conflict);

    // Listing, counting, removing.
    let all = told(|done| store.list(None, 2, done)).await.unwrap();
    let rest = told(|done| store.list(Some(all[1].id), 100, done)).await.unwrap();
    assert_eq!((all.len(), rest.len()), (2, 2));
    let counts = told(|done| store.count(done)).await.unwrap();
    assert_eq!((counts.subscriptions, counts.private_identities, counts.public_identities), (4, 6, 7));
    assert_eq!(
        told(|done| store.remove(after.id, after.revision - 1, done)).await.unwrap(),
        Committed::Conflict
    );
    told(|done| store.remove(after.id, after.revision, done)).await.unwrap();
    assert!(load(&store, Key::Impi(impi("h"))).await.is_none());
    assert!(told(|done| store.set_sqn(impi("d"), Sqn::from_parts(9, 3).unwrap(), done)).await.unwrap());
    assert!(!told(|done| store.set_sqn(impi("a"), Sqn::default(), done)).await.unwrap());
    let d = load(&store, Key::Impi(impi("d"))).await.unwrap();
    assert_eq!((d.sqns[0].seq(), d.sqns[0].ind()), (9, 3));

    // Another key is told at the start.
    let error = connect(&postgres, [8; 32]).await.unwrap_err().to_string();
    assert!(error.contains("another key"), "{error}");
    assert!(connect(&postgres, KEY).await.is_ok());
}

/// AKA-5, AKA-6: the statement and the generator agree.
#[tokio::test]
#[ignore = "needs PostgreSQL; cargo xtask test runs it"]
async fn aka_5_the_statement_takes_what_the_generator_would() {
    let postgres = Postgres::started();
    let store = connect(&postgres, KEY).await.unwrap();
    insert(&store, vec![user(&["a"], &[])], IfPresent::Fail).await.unwrap();
    let a = load(&store, Key::Impi(impi("a"))).await.unwrap();
    let seed = std::env::var("AKASEC_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut last = Sqn::default();
    let mut revision = a.revision;
    for round in 0..600 {
        if rng.next_u32() % 16 == 0 {
            let near_the_end = rng.next_u32() % 4 == 0;
            let seq = if near_the_end {
                Sqn::MAX_SEQ - u64::from(rng.next_u32() % 9)
            } else {
                u64::from(rng.next_u32())
            };
            last = Sqn::from_parts(seq, (rng.next_u32() % 32) as u8).unwrap();
            assert!(told(|done| store.set_sqn(impi("a"), last, done)).await.unwrap());
        }
        let first = (rng.next_u32() % 32) as u8;
        let range = IndRange::new(
            first,
            u8::try_from(u32::from(first) + rng.next_u32() % (32 - u32::from(first))).unwrap(),
        )
        .unwrap();
        let resynchronise = (rng.next_u32() % 3 == 0).then(|| {
            let near = last.seq().saturating_add(u64::from(rng.next_u32() % 5)).saturating_sub(2);
            let far = near.saturating_sub(1 << (rng.next_u32() % 30));
            let ms = if rng.next_u32() % 2 == 0 { near } else { far };
            Sqn::from_parts(ms.min(Sqn::MAX_SEQ), (rng.next_u32() % 32) as u8).unwrap()
        });
        let take = SqnTake { impi: impi("a"), count: 1 + rng.next_u32() % 5, range, resynchronise };
        let state = (rng.next_u32() % 2 == 0).then(State::default);
        let with_state = state.is_some();
        let change = Change { id: a.id, revision, state, take: Some(take.clone()) };
        match (commit(&store, change).await, take.apply(last)) {
            (Ok(Committed::Done { sqns }), Ok(expected)) => {
                assert_eq!(
                    sqns,
                    take.taken(expected).unwrap(),
                    "seed {seed} round {round}: {take:?} after {last:?}"
                );
                last = expected;
                revision += u64::from(with_state);
            }
            (Err(StoreError::Aka(AkaError::SqnExhausted)), Err(AkaError::SqnExhausted)) => {}
            (got, expected) => {
                panic!("seed {seed} round {round}: {got:?}, not {expected:?}; {take:?} after {last:?}")
            }
        }
        let now = load(&store, Key::Impi(impi("a"))).await.unwrap();
        assert_eq!(
            (now.sqns[0], now.revision),
            (last, revision),
            "seed {seed} round {round}: both or neither"
        );
    }
}

/// A server that hangs holds nobody up for ever, and is used again when it goes on.
#[tokio::test]
#[ignore = "needs PostgreSQL; cargo xtask test runs it"]
async fn a_job_that_hangs_is_given_up_and_the_store_comes_back() {
    let postgres = Postgres::started();
    let mut server = tokio_postgres::Config::new();
    server.host_path(postgres.socket()).user(USER).password(PASSWORD).dbname("postgres");
    let job_patience = Duration::from_millis(500);
    let config = PostgresConfig { connections: 1, job_patience, ..PostgresConfig::new(server) };
    let store = PostgresStore::connect(config, MasterKey::from_bytes(&KEY)).await.unwrap();
    insert(&store, vec![user(&["a"], &[])], IfPresent::Fail).await.unwrap();

    postgres.freeze(true);
    let hung = told(|done| store.load(Key::Impi(impi("a")), done));
    let hung = timeout(Duration::from_secs(20), hung).await.expect("an answer in time");
    assert!(hung.is_err());
    postgres.freeze(false);
    let until = Instant::now() + Duration::from_secs(30);
    while told(|done| store.load(Key::Impi(impi("a")), done)).await.is_err() {
        assert!(Instant::now() < until, "the store must come back");
        sleep(Duration::from_millis(100)).await;
    }
}
