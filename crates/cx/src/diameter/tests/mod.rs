use aka::{AuthVector, Autn, Auts, Ck, Ik, Impi, Impu, Rand, Res};
mod faults;
mod layout;
mod round_trip;

use super::encode::{AnswerContext, RequestContext};
use super::*;
use crate::*;

const IDS: Ids = Ids { hop_by_hop: 0x0102_0304, end_to_end: 0xa1a2_a3a4 };

fn origin() -> Origin {
    Origin { host: "scscf.home.example".into(), realm: "home.example".into() }
}

fn request_context(origin: &Origin) -> RequestContext<'_> {
    RequestContext {
        ids: IDS,
        retransmitted: false,
        session_id: "scscf.home.example;1;2",
        origin,
        destination_realm: "home.example",
        destination_host: Some("hss.home.example"),
    }
}

fn answer_context(origin: &Origin) -> AnswerContext<'_> {
    AnswerContext { ids: IDS, session_id: "scscf.home.example;1;2", origin, repeated: &[] }
}

fn encode_request(request: &Request) -> Wire {
    encode::request(request, &request_context(&origin())).unwrap()
}

fn encode_answer(answer: &Answer) -> Wire {
    let origin = Origin { host: "hss.home.example".into(), realm: "home.example".into() };
    encode::answer(answer, &answer_context(&origin)).unwrap()
}

fn decode_request(bytes: &[u8]) -> Result<decode::Incoming, CxError> {
    let (header, avps) = Header::parse(bytes)?;
    decode::request(&header, avps)
}

fn decode_answer(bytes: &[u8]) -> Result<Answer, CxError> {
    let (header, avps) = Header::parse(bytes)?;
    decode::answer(&header, avps)
}

fn impi() -> Impi {
    Impi::new("001010000000001@home.example").unwrap()
}

fn impu() -> Impu {
    Impu::new("sip:001010000000001@home.example").unwrap()
}

fn scscf() -> ServerName {
    ServerName::new("sip:scscf.home.example:6060").unwrap()
}

fn vector(seed: u8, res_len: usize) -> AuthVector {
    AuthVector {
        rand: Rand::from_bytes([seed; 16]),
        autn: Autn::from_bytes([seed.wrapping_add(1); 16]),
        xres: Res::new(&[seed.wrapping_add(2); 16][..res_len]).unwrap(),
        ck: Ck::from_bytes([seed.wrapping_add(3); 16]),
        ik: Ik::from_bytes([seed.wrapping_add(4); 16]),
    }
}

fn mar(resync: Option<(Rand, Auts)>) -> Request {
    Request::Mar(MultimediaAuthRequest {
        impi: impi(),
        impu: impu(),
        server_name: scscf(),
        items: 1,
        scheme: AuthScheme::DigestAka,
        resync,
    })
}

fn avps_of(wire: &Wire) -> Vec<Avp<'_>> {
    Avps::new(&wire.as_bytes()[Header::LEN..]).map(Result::unwrap).collect()
}

fn appended(wire: &Wire, avp: &[u8]) -> Vec<u8> {
    let mut bytes = [wire.as_bytes(), avp].concat();
    let [.., a, b] = bytes.len().to_be_bytes();
    bytes[2..4].copy_from_slice(&[a, b]);
    bytes
}
