//! One message of every kind, with every AVP of ours.

use aka::{AuthVector, Autn, Auts, Ck, Ik, Impi, Impu, Rand, Res};
use cx::diameter::encode::{self, AnswerContext, RequestContext};
use cx::diameter::{Command, Ids, Wire, decode, encode::refusal};
use cx::*;

use super::pcap::From;

pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) from: From,
    pub(crate) wire: Wire,
    pub(crate) command: Command,
    /// Texts that the dissection must show, each on a line of its own.
    pub(crate) shown: &'static [&'static str],
}

const SESSION: &str = "scscf.home.example;1;2";

fn origin(host: &str) -> Origin {
    Origin { host: format!("{host}.home.example"), realm: "home.example".into() }
}

fn impi() -> Impi {
    Impi::new("001010000000001@home.example").unwrap()
}

fn impu(user: &str) -> Impu {
    Impu::new(&format!("sip:{user}@home.example")).unwrap()
}

fn scscf() -> ServerName {
    ServerName::new("sip:scscf.home.example:6060").unwrap()
}

fn capabilities() -> ServerCapabilities {
    ServerCapabilities { mandatory: vec![7], optional: vec![8, 9], server_names: vec![scscf()] }
}

fn vector(seed: u8) -> AuthVector {
    AuthVector {
        rand: Rand::from_bytes([seed; 16]),
        autn: Autn::from_bytes([seed + 1; 16]),
        xres: Res::new(&[seed + 2; 8]).unwrap(),
        ck: Ck::from_bytes([seed + 3; 16]),
        ik: Ik::from_bytes([seed + 4; 16]),
    }
}

fn user_data() -> UserData {
    let identity =
        |user, barred| PublicIdentity { identity: impu(user), barred, kind: IdentityType::default() };
    let identities = vec![identity("barred", true), identity("a&b", false)];
    let profile = ServiceProfile { identities, shared_ifc_sets: vec![4], ..ServiceProfile::default() };
    UserData { private_id: impi(), profiles: vec![profile] }
}

fn restoration() -> RestorationInfo {
    let subscription = RestoredSubscription {
        call_id: "s1".into(),
        from: "<sip:a@home.example>;tag=1".into(),
        to: "<sip:a@home.example>;tag=2".into(),
        record_route: "<sip:pcscf.home.example;lr>".into(),
        contact: "<sip:a@192.0.2.9>".into(),
    };
    RestorationInfo {
        impi: impi(),
        contacts: vec![RestoredContact {
            path: "<sip:pcscf.home.example;lr>".into(),
            contact: "<sip:a@192.0.2.9>;expires=600".into(),
            initial_cseq: Some(17),
            call_id: Some("r1".into()),
            subscription: Some(subscription.clone()),
            p_cscf_subscription: Some(RestoredSubscription { record_route: String::new(), ..subscription }),
        }],
    }
}

fn request(name: &'static str, from: From, request: &Request, shown: &'static [&'static str]) -> Sample {
    let (own, other) = if from == From::Client { ("scscf", "hss") } else { ("hss", "scscf") };
    let context = RequestContext {
        ids: Ids { hop_by_hop: 0x0102_0304, end_to_end: 0xa1a2_a3a4 },
        retransmitted: name == "mar-again",
        session_id: SESSION,
        origin: &origin(own),
        destination_realm: "home.example",
        destination_host: Some(&origin(other).host),
    };
    Sample {
        name,
        from,
        wire: encode::request(request, &context).unwrap(),
        command: request.command(),
        shown,
    }
}

fn with_context<T>(from: From, use_it: impl FnOnce(&AnswerContext<'_>) -> T) -> T {
    use_it(&AnswerContext {
        ids: Ids { hop_by_hop: 0x0102_0304, end_to_end: 0xa1a2_a3a4 },
        session_id: SESSION,
        origin: &origin(if from == From::Client { "scscf" } else { "hss" }),
        // A Proxy-Info with Proxy-Host and Proxy-State.
        repeated: &[
            0, 0, 1, 28, 0x40, 0, 0, 36, 0, 0, 1, 24, 0x40, 0, 0, 15, b'r', b'.', b'h', b'o', b'm', b'e',
            b'.', 0, 0, 0, 0, 33, 0x40, 0, 0, 9, 5, 0, 0, 0,
        ],
    })
}

fn answer(name: &'static str, from: From, answer: &Answer, shown: &'static [&'static str]) -> Sample {
    let wire = with_context(from, |context| encode::answer(answer, context)).unwrap();
    Sample { name, from, wire, command: answer.command(), shown }
}

pub(crate) fn all() -> Vec<Sample> {
    use From::{Client, Server};
    let uar = |kind, emergency| {
        let visited_network = VisitedNetwork::new("visited.example").unwrap();
        Request::Uar(UserAuthorizationRequest {
            impi: impi(),
            impu: impu("a"),
            visited_network,
            kind,
            emergency,
        })
    };
    let mar = |resync| {
        Request::Mar(MultimediaAuthRequest {
            impi: impi(),
            impu: impu("a"),
            server_name: scscf(),
            items: 2,
            scheme: AuthScheme::DigestAka,
            resync,
        })
    };
    let resync = Some((Rand::from_bytes([0x23; 16]), Auts::from_bytes([0xba; 14])));
    let sar = Request::Sar(ServerAssignmentRequest {
        impi: Some(impi()),
        impus: vec![impu("a")],
        server_name: scscf(),
        assignment: ServerAssignmentType::ReRegistration,
        user_data_already_available: true,
        restoration: Some(restoration()),
    });
    let charging = ChargingInformation {
        primary_event: Some("aaa://ocs1.home.example:3868".into()),
        secondary_event: Some("aaa://ocs2.home.example:3868".into()),
        primary_collection: Some("aaa://ccf1.home.example:3868".into()),
        secondary_collection: Some("aaa://ccf2.home.example:3868".into()),
    };
    let saa = ServerAssignment {
        impi: Some(impi()),
        user_data: Some(user_data()),
        charging: Some(Box::new(charging)),
        server_name_not_stored: false,
        restoration: vec![restoration()],
    };
    let rtr = Request::Rtr(RegistrationTerminationRequest {
        impi: impi(),
        impus: vec![impu("a"), impu("b")],
        associated: vec![Impi::new("second@home.example").unwrap()],
        reason: ReasonCode::ServerChange,
        info: Some("maintenance".into()),
    });
    let registered = CxFailure::AlreadyRegistered { server_name: scscf() };
    let lir = Request::Lir(LocationInfoRequest { impu: impu("a"), originating: true, capabilities: true });
    let refused = {
        let sound = request("lir", Client, &lir, &[]);
        let (header, avps) = diameter::Header::parse(sound.wire.as_bytes()).unwrap();
        let mut avps = avps.to_vec();
        // Originating-Request, with a value it does not have.
        let avp = [0, 0, 2, 0x79, 0xc0, 0, 0, 16, 0, 0, 0x28, 0xaf, 0, 0, 0, 0];
        let at = avps.windows(avp.len()).position(|part| part == avp).unwrap();
        avps[at + avp.len() - 1] = 7;
        let error = decode::request(&header, &avps).unwrap_err();
        let wire = with_context(Server, |context| refusal(header.command, context, &error)).unwrap();
        let shown = &["DIAMETER_INVALID_AVP_VALUE (5004)", "Unknown (7)"][..];
        Sample { name: "lia-invalid-value", from: Server, wire, command: header.command, shown }
    };
    vec![
        request(
            "uar",
            Client,
            &uar(UserAuthorizationType::DeRegistration, true),
            &[
                "Visited-Network-Identifier: \"visited.example\"",
                "User-Authorization-Type: DE_REGISTRATION (1)",
                "Emergency registration: Set",
            ],
        ),
        answer(
            "uaa-first",
            Server,
            &Answer::Uaa(Ok(UserAuthorization::FirstRegistration { capabilities: capabilities() })),
            &["DIAMETER_FIRST_REGISTRATION (2001)", "Mandatory-Capability: 7", "Optional-Capability: 9"],
        ),
        answer(
            "uaa-subsequent",
            Server,
            &Answer::Uaa(Ok(UserAuthorization::Subsequent { server_name: scscf() })),
            &["DIAMETER_SUBSEQUENT_REGISTRATION (2002)", "Server-Name: sip:scscf.home.example:6060"],
        ),
        answer(
            "uaa-too-busy",
            Server,
            &Answer::Uaa(Err(BaseCode::TooBusy.into())),
            &["DIAMETER_TOO_BUSY (3004)"],
        ),
        refused,
        request("mar", Client, &mar(None), &["SIP-Number-Auth-Items: 2", "Digest-AKAv1-MD5"]),
        request("mar-again", Client, &mar(None), &["T(Potentially re-transmitted message): Set"]),
        request(
            "mar-resync",
            Client,
            &mar(resync),
            &["232323232323232323232323232323bababababababababababababa"],
        ),
        answer(
            "maa",
            Server,
            &Answer::Maa(Ok(MultimediaAuth { vectors: vec![vector(0x10), vector(0x40)] })),
            &[
                "SIP-Item-Number: 2",
                "10101010101010101010101010101010111111111111111111111111111111",
                "Confidentiality-Key: 13131313131313131313131313131313",
                "Integrity-Key: 44444444444444444444444444444444",
            ],
        ),
        answer(
            "maa-unknown",
            Server,
            &Answer::Maa(Err(ExperimentalCode::UserUnknown.into())),
            &["DIAMETER_ERROR_USER_UNKNOWN (5001)"],
        ),
        answer(
            "maa-unable",
            Server,
            &Answer::Maa(Err(BaseCode::UnableToComply.into())),
            &["DIAMETER_UNABLE_TO_COMPLY (5012)"],
        ),
        request(
            "sar",
            Client,
            &sar,
            &["Server-Assignment-Type: RE_REGISTRATION (2)", "Initial-CSeq-Sequence-Number: 17"],
        ),
        answer(
            "saa",
            Server,
            &Answer::Saa(Ok(saa)),
            &["Primary-Charging-Collection-Function-Name: aaa://ccf1.home.example:3868", "<PrivateID>"],
        ),
        answer(
            "saa-not-stored",
            Server,
            &Answer::Saa(Ok(ServerAssignment { server_name_not_stored: true, ..Default::default() })),
            &["SERVER_NAME_NOT_STORED (2004)"],
        ),
        answer(
            "saa-registered",
            Server,
            &Answer::Saa(Err(registered)),
            &["IDENTITY_ALREADY_REGISTERED (5005)", "Server-Name: sip:scscf.home.example:6060"],
        ),
        request(
            "lir",
            Client,
            &lir,
            &["Originating-Request: ORIGINATING (0)", "REGISTRATION_AND_CAPABILITIES (2)"],
        ),
        answer(
            "lia",
            Server,
            &Answer::Lia(Ok(LocationInfo::Served { server_name: scscf() })),
            &["DIAMETER_SUCCESS (2001)"],
        ),
        answer(
            "lia-unregistered",
            Server,
            &Answer::Lia(Ok(LocationInfo::UnregisteredService { capabilities: capabilities() })),
            &["UNREGISTERED_SERVICE (2003)"],
        ),
        request("rtr", Server, &rtr, &["Reason-Code: SERVER_CHANGE (2)", "Reason-Info: maintenance"]),
        answer(
            "rta",
            Client,
            &Answer::Rta(Ok(RegistrationTermination { associated: vec![impi()] })),
            &["User-Name: 001010000000001@home.example"],
        ),
        request(
            "ppr",
            Server,
            &Request::Ppr(PushProfileRequest { impi: impi(), user_data: Some(user_data()) }),
            &["<PrivateID>"],
        ),
        answer("ppa", Client, &Answer::Ppa(Ok(())), &["DIAMETER_SUCCESS (2001)"]),
        answer(
            "ppa-user-data",
            Client,
            &Answer::Ppa(Err(ExperimentalCode::NotSupportedUserData.into())),
            &["DIAMETER_ERROR_NOT_SUPPORTED_USER_DATA (5009)"],
        ),
    ]
}
