//! `kill -9` at any moment: no sequence number comes twice, and they keep their order.

mod process;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aka::{AuthVector, Isim, Sqn, SqnArray};
use process::{Daemon, algorithm, impi, subscribers, vectors, write_files};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const SUBSCRIBERS: usize = 5;
const ASKING: usize = 8;
const ROUNDS: u64 = 20;

/// The number in a vector: a card that has seen nothing takes it, as long as it lies below 2^28.
fn number(vector: &AuthVector) -> Sqn {
    let mut card = Isim::new(algorithm(), SqnArray::new());
    card.authenticate(&vector.rand, &vector.autn).expect("a fresh card accepts");
    card.sqn().highest()
}

#[tokio::test]
async fn aka_5_no_number_leaves_twice_over_many_kills() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_files(folder.path(), &subscribers(SUBSCRIBERS));
    let mut rng = ChaCha20Rng::seed_from_u64(11);
    let seen: Arc<Mutex<Vec<HashSet<u64>>>> = Arc::new(Mutex::new(vec![HashSet::new(); SUBSCRIBERS]));
    for _ in 0..ROUNDS {
        // What comes now comes after all that came before.
        let highest: Vec<u64> =
            seen.lock().unwrap().iter().map(|seqs| seqs.iter().max().copied().unwrap_or_default()).collect();
        let daemon = Daemon::start(&config);
        let client = Arc::new(daemon.client_with(Duration::from_millis(300)).await);
        let asking: Vec<_> = (0..ASKING)
            .map(|n| {
                let (client, seen) = (Arc::clone(&client), Arc::clone(&seen));
                let whose = n % SUBSCRIBERS;
                let mut last = highest[whose];
                tokio::spawn(async move {
                    while let Ok(given) = vectors(&client, &impi(whose + 1), 3).await {
                        for vector in given {
                            let seq = number(&vector).seq();
                            assert!(seen.lock().unwrap()[whose].insert(seq), "{seq} of {whose} left twice");
                            // Answers of one who waits for each before he asks again come in order.
                            assert!(seq > last, "{seq} after {last}");
                            last = seq;
                        }
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_micros(u64::from(rng.next_u32() % 60_000))).await;
        drop(daemon);
        for task in asking {
            task.await.unwrap();
        }
    }
    let total: usize = seen.lock().unwrap().iter().map(HashSet::len).sum();
    assert!(total > 500, "only {total} vectors: nothing was tried");
    eprintln!("{total} vectors over {ROUNDS} kills, none twice");
}
