//! What an answer repeats of its request.

use aka::{Impi, Impu};
use cx::diameter::encode::{AnswerContext, RequestContext};
use cx::diameter::{Avps, Header, Ids, decode, dictionary, encode};
use cx::{
    Answer, AuthScheme, CxFailure, ExperimentalCode, MultimediaAuth, MultimediaAuthRequest, Origin, Request,
    ServerName,
};

const USER: &str = "001010000000001@home.example";
const IDENTITY: &str = "sip:001010000000001@home.example";

/// User-Name and Public-Identity of the answer on the wire, and the answer as a client reads it.
fn answered(request: &Request, answer: &Answer) -> ([Option<String>; 2], Answer) {
    let origin = Origin { host: "scscf.home.example".into(), realm: "home.example".into() };
    let ids = Ids { hop_by_hop: 1, end_to_end: 2 };
    let realm = "home.example";
    let context = RequestContext {
        ids,
        session_id: "s;1;2",
        origin: &origin,
        destination_realm: realm,
        destination_host: None,
        retransmitted: false,
    };
    let wire = encode::request(request, &context).unwrap();
    let (header, avps) = Header::parse(wire.as_bytes()).unwrap();
    let repeated = decode::request(&header, avps).unwrap().repeated;
    let context = AnswerContext { ids, session_id: "s;1;2", origin: &origin, repeated: &repeated };
    let wire = encode::answer(answer, &context).unwrap();
    let (header, avps) = Header::parse(wire.as_bytes()).unwrap();
    let named = [dictionary::USER_NAME, dictionary::PUBLIC_IDENTITY].map(|wanted| {
        let mut all = Avps::new(avps).map(Result::unwrap);
        all.find(|avp| avp.key == wanted.key).map(|avp| String::from_utf8(avp.data.to_vec()).unwrap())
    });
    (named, decode::answer(&header, avps).unwrap())
}

/// CX-2: an S-CSCF may find its user by the answer alone, as Kamailio's does.
#[test]
fn an_answer_to_mar_names_the_user_of_the_request() {
    let mar = Request::Mar(MultimediaAuthRequest {
        impi: Impi::new(USER).unwrap(),
        impu: Impu::new(IDENTITY).unwrap(),
        server_name: ServerName::new("sip:scscf.home.example:6060").unwrap(),
        items: 1,
        scheme: AuthScheme::DigestAka,
        resync: None,
    });
    let [user, identity] = [USER, IDENTITY].map(|text| Some(text.to_owned()));
    let unknown = || CxFailure::Experimental(ExperimentalCode::UserUnknown);
    for answer in [Answer::Maa(Ok(MultimediaAuth::default())), Answer::Maa(Err(unknown()))] {
        assert_eq!(answered(&mar, &answer), ([user.clone(), identity.clone()], answer));
    }
}
