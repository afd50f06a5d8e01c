//! Many MARs at once, and a judge of the sequence numbers that come back.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use aka::{Algorithm, Amf, Impi, Impu, K, Opc, Sqn};
use cx::{Answer, AuthScheme, Link, LinkError, MultimediaAuthRequest, Request, ServerName};
use tokio::sync::oneshot;

pub(crate) const SUBSCRIBERS: usize = 100;

/// One vector that came back.
pub(crate) struct Got {
    pub(crate) subscriber: usize,
    pub(crate) asked: Instant,
    pub(crate) answered: Instant,
    pub(crate) sqn: Sqn,
}

pub(crate) fn impi(n: usize) -> String {
    format!("0010100000{n:05}@ims.mnc001.mcc001.3gppnetwork.org")
}

fn keys(n: usize) -> ([u8; 16], [u8; 16]) {
    let mut k = [0x46; 16];
    k[..8].copy_from_slice(&(n as u64).to_be_bytes());
    (k, [0xcd; 16])
}

/// K and OPc as octets and as an operator writes them.
pub(crate) fn key_texts(n: usize) -> Vec<Vec<u8>> {
    let (k, opc) = keys(n);
    [k, opc]
        .iter()
        .flat_map(|key| [key.to_vec(), hex::encode(key).into_bytes(), hex::encode_upper(key).into_bytes()])
        .collect()
}

/// The subscribers as an operator writes them down.
pub(crate) fn csv() -> String {
    let rows = (0..SUBSCRIBERS).map(|n| {
        let (k, opc) = keys(n);
        format!("{},{},{},sip:u{n}@home.example\n", impi(n), hex::encode(k), hex::encode(opc))
    });
    "impi,k,opc,impus\n".chars().chain(rows.collect::<String>().chars()).collect()
}

fn algorithm(n: usize) -> Algorithm {
    let (k, opc) = keys(n);
    Algorithm::milenage(K::from_bytes(k), Opc::from_bytes(opc))
}

pub(crate) fn mar(n: usize) -> Request {
    Request::Mar(MultimediaAuthRequest {
        impi: Impi::new(&impi(n)).unwrap(),
        impu: Impu::new(&format!("sip:u{n}@home.example")).unwrap(),
        server_name: ServerName::new("sip:scscf.home.example").unwrap(),
        items: 1,
        scheme: AuthScheme::DigestAka,
        resync: None,
    })
}

pub(crate) async fn ask(link: &dyn Link, request: Request) -> Result<Answer, LinkError> {
    let (tell, told) = oneshot::channel();
    link.call(request, Box::new(move |answer| drop(tell.send(answer))));
    told.await.expect("a reply is called exactly once")
}

/// Says why an MAR failed, the first time only: in a crash there are many of them.
fn tell(failed: &Result<Answer, LinkError>) {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| eprintln!("the first MAR that failed: {failed:?}"));
}

/// One MAR. None when it failed, which during a crash it may.
pub(crate) async fn vector(link: &dyn Link, subscriber: usize) -> Option<Got> {
    let asked = Instant::now();
    let maa = match ask(link, mar(subscriber)).await {
        Ok(Answer::Maa(Ok(maa))) => maa,
        failed => {
            tell(&failed);
            return None;
        }
    };
    let answered = Instant::now();
    let [vector] = maa.vectors.as_slice() else { panic!("one vector was asked for") };
    // SQN stands in AUTN under AK, and AK alone stands where SQN is zero.
    let masked = vector.autn.as_bytes();
    let zero = algorithm(subscriber).vector(vector.rand, Sqn::from_bytes([0; 6]), Amf::from_bytes([0; 2]));
    let mut sqn = [0; 6];
    for (octet, (masked, ak)) in sqn.iter_mut().zip(masked.iter().zip(zero.autn.as_bytes())) {
        *octet = masked ^ ak;
    }
    let sqn = Sqn::from_bytes(sqn);
    // And it is that subscriber's vector.
    let amf = vector.autn.amf();
    assert_eq!(algorithm(subscriber).vector(vector.rand, sqn, amf).autn, vector.autn);
    Some(Got { subscriber, asked, answered, sqn })
}

/// No number twice, and none that was asked for after another had come is below it.
pub(crate) fn judge(all: &[Got]) -> HashMap<usize, Vec<u64>> {
    let mut of_subscriber: HashMap<usize, Vec<&Got>> = HashMap::new();
    for got in all {
        of_subscriber.entry(got.subscriber).or_default().push(got);
    }
    let mut seqs = HashMap::new();
    for (subscriber, mut gots) in of_subscriber {
        let unique: HashSet<u64> = gots.iter().map(|got| got.sqn.seq()).collect();
        assert_eq!(unique.len(), gots.len(), "subscriber {subscriber}: a number came twice");
        gots.sort_by_key(|got| got.asked);
        let mut answered: Vec<&Got> = gots.clone();
        answered.sort_by_key(|got| got.answered);
        let (mut before, mut highest) = (answered.into_iter().peekable(), 0);
        for got in &gots {
            while let Some(earlier) = before.next_if(|earlier| earlier.answered < got.asked) {
                highest = highest.max(earlier.sqn.seq());
            }
            assert!(got.sqn.seq() > highest, "subscriber {subscriber}: {} after {highest}", got.sqn.seq());
        }
        let mut sorted: Vec<u64> = unique.into_iter().collect();
        sorted.sort_unstable();
        seqs.insert(subscriber, sorted);
    }
    seqs
}

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
