//! A UE and its P-CSCF in one, without ESP: REGISTERs straight to an I-CSCF, with a card of its own.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use aka::{
    Algorithm, DigestAlgorithm, DigestInput, Isim, IsimFailure, K, Nonce, Opc, Password, QopInput, Sqn,
    SqnArray,
};
use anyhow::{Context, Result, bail, ensure};
use lab::{Network, plan};
use sip::text::quote;
use sip::{Challenge, Draft, Message, Method, Name};

#[derive(Debug)]
pub struct Registrant {
    number: u16,
    impi: String,
    impu: String,
    isim: Isim,
    socket: UdpSocket,
    call_id: String,
    cseq: u32,
    synchronised: usize,
}

const MOST_CHALLENGES: usize = 6;

/// How a challenge is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// With RES; or with AUTS, where the card says so.
    Right,
    WrongRes,
}

impl Registrant {
    /// The n-th; its card has seen every sequence number up to SEQ `seen`.
    pub fn new(network: &Network, number: u16, seen: u64) -> Result<Self> {
        let socket = network.access.run(|| Ok(UdpSocket::bind((plan::P_CSCF_MW.ip(), 0))?))?;
        let (k, opc) = keys(number);
        let algorithm = Algorithm::milenage(K::from_bytes(k), Opc::from_bytes(opc));
        let mut sqn = SqnArray::new();
        for ind in 0..32 {
            sqn.accept(Sqn::from_parts(seen, ind)?);
        }
        let isim = Isim::new(algorithm, sqn);
        Ok(Self {
            number,
            impi: plan::impi(number),
            impu: plan::impu(number),
            isim,
            socket,
            call_id: format!("call-{number}-{}", std::process::id()),
            cseq: 0,
            synchronised: 0,
        })
    }

    /// The same with another user's names.
    pub fn named(self, impi: &str, impu: &str) -> Self {
        Self { impi: impi.to_owned(), impu: impu.to_owned(), ..self }
    }

    /// K and OPc of the n-th.
    pub fn keys_as_hex(number: u16) -> [String; 2] {
        let (k, opc) = keys(number);
        [k, opc].map(|key| key.iter().map(|octet| format!("{octet:02x}")).collect())
    }

    /// The subscriber file of `count` registrants.
    pub fn csv(count: u16) -> String {
        let row = |number| {
            let [k, opc] = Self::keys_as_hex(number);
            let (impi, impu, tel) = (plan::impi(number), plan::impu(number), plan::tel(number));
            format!("{impi},{k},{opc},0000,000000000000,{impu} {tel}\n")
        };
        "impi,k,opc,amf,sqn,impus\n".to_owned() + &(0..count).map(row).collect::<String>()
    }

    /// REGISTER, and after a challenge its answer. What the network says at the end, and how often it challenged.
    pub fn register(&mut self, expires: u32, answer: Answer) -> Result<(Message, usize)> {
        let (impi, domain) = (&self.impi, plan::HOME_DOMAIN);
        let mut authorization = format!(
            "Digest username={}, realm=\"{domain}\", uri=\"sip:{domain}\", nonce=\"\", response=\"\", \
             integrity-protected=\"no\"",
            quote(impi)
        );
        for challenges in 0..MOST_CHALLENGES {
            let response = self.exchange(expires, &authorization)?;
            if response.status() != Some(401) {
                return Ok((response, challenges));
            }
            authorization = self.answer(&response, answer)?;
            // Kamailio keeps a vector only after the 401 has left, and challenges anew when the answer is faster.
            std::thread::sleep(Duration::from_millis(200));
        }
        bail!("{MOST_CHALLENGES} challenges came")
    }

    /// How often the card has answered with AUTS.
    pub fn synchronised(&self) -> usize {
        self.synchronised
    }

    fn answer(&mut self, response: &Message, answer: Answer) -> Result<String> {
        let challenge = response.www_authenticate().context("a challenge")??;
        let algorithm: DigestAlgorithm = challenge.algorithm.as_deref().context("an algorithm")?.parse()?;
        ensure!(algorithm == DigestAlgorithm::AkaV1Md5, "{algorithm} was not asked for");
        let nonce = Nonce::decode(&challenge.nonce)?;
        let (password, auts) = match self.isim.authenticate(&nonce.rand, &nonce.autn) {
            Ok(keys) => {
                let told = challenge.keys.as_ref().context("ik and ck for the P-CSCF")?;
                ensure!(
                    (&told.ik, &told.ck) == (keys.ik.as_bytes(), keys.ck.as_bytes()),
                    "ik or ck are others"
                );
                let password = match answer {
                    Answer::Right => Password::new(algorithm, &keys.res, &keys.ik, &keys.ck),
                    Answer::WrongRes => Password::empty(algorithm),
                };
                (password, String::new())
            }
            Err(IsimFailure::SyncFailure(auts)) => {
                self.synchronised += 1;
                (Password::empty(algorithm), format!(", auts=\"{}\"", auts.to_base64()))
            }
            Err(IsimFailure::MacFailure) => bail!("the MAC of the challenge is wrong"),
        };
        Ok(self.credentials(&challenge, &password) + &auts)
    }

    fn credentials(&self, challenge: &Challenge<'_>, password: &Password) -> String {
        let (impi, uri) = (&self.impi, format!("sip:{}", plan::HOME_DOMAIN));
        let qop = challenge.offers_qop("auth").then_some(QopInput { nc: "00000001", cnonce: "c0ffee" });
        let (realm, nonce) = (&*challenge.realm, &*challenge.nonce);
        let input = DigestInput { username: impi, realm, nonce, uri: &uri, method: "REGISTER", qop };
        let mut value = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, algorithm=AKAv1-MD5, response=\"{}\", \
             integrity-protected=\"yes\"",
            quote(impi),
            quote(realm),
            quote(nonce),
            quote(&uri),
            input.response(password).as_str()
        );
        if let Some(QopInput { nc, cnonce }) = qop {
            value.push_str(&format!(", qop=auth, nc={nc}, cnonce=\"{cnonce}\""));
        }
        value
    }

    /// One REGISTER and its final answer.
    fn exchange(&mut self, expires: u32, authorization: &str) -> Result<Message> {
        self.cseq += 1;
        let (domain, impu, own) = (plan::HOME_DOMAIN, &self.impu, self.socket.local_addr()?);
        let mut draft = Draft::request(Method::Register, format!("sip:{domain}"));
        draft
            .push(Name::Via, format!("SIP/2.0/UDP {own};branch=z9hG4bK{}n{}", self.call_id, self.cseq))
            .push(Name::MaxForwards, "69")
            .push(Name::From, format!("<{impu}>;tag=f{}", self.cseq))
            .push(Name::To, format!("<{impu}>"))
            .push(Name::CallId, self.call_id.clone())
            .push(Name::CSeq, format!("{} REGISTER", self.cseq))
            .push(Name::Contact, format!("<sip:user@10.20.0.{}:7100>", self.number + 1))
            .push(Name::Expires, expires.to_string())
            .push(Name::Authorization, authorization.to_owned())
            .push(Name::Path, format!("<sip:term@{own};lr>"))
            .push(Name::Require, "path")
            .push(Name::Supported, "path")
            .push(Name::PVisitedNetworkId, quote(plan::VISITED_NETWORK).to_string())
            .push(Name::PChargingVector, format!("icid-value=\"{}\"", self.call_id));
        let request = draft.finish().bytes();
        self.socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut buffer = [0; 8192];
        while Instant::now() < deadline {
            self.socket.send_to(&request, plan::I_CSCF)?;
            while let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
                let response = Message::parse(&buffer[..length])?;
                let ours = response.cseq().is_ok_and(|cseq| cseq.number == self.cseq);
                if ours && response.status().is_some_and(|status| status >= 200) {
                    ensure!(from == plan::I_CSCF, "{from} answered");
                    return Ok(response);
                }
            }
        }
        bail!("no answer to REGISTER {}", self.cseq)
    }
}

/// K and OPc of the n-th card.
fn keys(number: u16) -> ([u8; 16], [u8; 16]) {
    let [high, low] = number.to_be_bytes();
    let mut k = [0xa5; 16];
    (k[0], k[1]) = (high, low);
    let mut opc = [0x5a; 16];
    (opc[14], opc[15]) = (high, low);
    (k, opc)
}
