use aka::{AuthVector, Autn, Auts, Ck, Ik, Impi, Impu, Rand, Res};
use proptest::collection::vec;
use proptest::prelude::*;

use super::encode::{AnswerContext, RequestContext};
use super::*;
use crate::*;

const IDS: Ids = Ids { hop_by_hop: 0x0102_0304, end_to_end: 0xa1a2_a3a4 };

fn origin() -> Origin {
    Origin { host: "scscf.home.example".into(), realm: "home.example".into() }
}

fn encode_request(request: &Request) -> Wire {
    let context = RequestContext {
        ids: IDS,
        retransmitted: false,
        session_id: "scscf.home.example;1;2",
        origin: &origin(),
        destination_realm: "home.example",
        destination_host: Some("hss.home.example"),
    };
    encode::request(request, &context).unwrap()
}

fn encode_answer(answer: &Answer) -> Wire {
    let context = AnswerContext {
        ids: IDS,
        session_id: "scscf.home.example;1;2",
        origin: &Origin { host: "hss.home.example".into(), realm: "home.example".into() },
        proxy_info: &[],
    };
    encode::answer(answer, &context).unwrap()
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

#[test]
fn mar_octet_by_octet() {
    let wire = encode_request(&mar(None));
    let bytes = wire.as_bytes();
    assert_eq!(bytes[0], 1);
    assert_eq!(usize::from(bytes[2]) << 8 | usize::from(bytes[3]), bytes.len());
    assert_eq!(bytes[4..8], [0xc0, 0, 0x01, 0x2f], "request, proxiable, command 303");
    assert_eq!(bytes[8..12], 16_777_216u32.to_be_bytes());
    assert_eq!(bytes[12..20], [1, 2, 3, 4, 0xa1, 0xa2, 0xa3, 0xa4]);
    assert_eq!(bytes[20..28], [0, 0, 1, 7, 0x40, 0, 0, 30], "Session-Id first, 22 characters, M");
    assert_eq!(bytes[50..52], [0, 0], "padding");
    let vsai = [
        0, 0, 1, 4, 0x40, 0, 0, 32, 0, 0, 1, 10, 0x40, 0, 0, 12, 0, 0, 0x28, 0xaf, 0, 0, 1, 2, 0x40, 0, 0,
        12, 1, 0, 0, 0,
    ];
    assert_eq!(bytes[52..84], vsai);
    let item = avps_of(&wire).into_iter().find(|avp| avp.key == dictionary::SIP_AUTH_DATA_ITEM.key).unwrap();
    assert_eq!(item.whole[..12], [0, 0, 2, 0x64, 0xc0, 0, 0, 40, 0, 0, 0x28, 0xaf]);
    assert_eq!(item.data[12..], *b"Digest-AKAv1-MD5");
}

#[test]
fn a_request_sent_again_has_the_t_flag() {
    let origin = origin();
    let context = RequestContext {
        ids: IDS,
        retransmitted: true,
        session_id: "a;1;2",
        origin: &origin,
        destination_realm: "r",
        destination_host: None,
    };
    let wire = encode::request(&mar(None), &context).unwrap();
    assert_eq!(wire.as_bytes()[4], 0xd0);
    assert!(Header::parse(wire.as_bytes()).unwrap().0.retransmitted);
    assert!(!Header::parse(encode_request(&mar(None)).as_bytes()).unwrap().0.retransmitted);
}

#[test]
fn cx_5_resync_is_30_octets_of_rand_and_auts() {
    let rand = Rand::from_hex("23553cbe9637a89d218ae64dae47bf35").unwrap();
    let auts = Auts::from_hex("ba853f3c121cb55edb820040ab41").unwrap();
    let wire = encode_request(&mar(Some((rand, auts))));
    let item = avps_of(&wire).into_iter().find(|avp| avp.key == dictionary::SIP_AUTH_DATA_ITEM.key).unwrap();
    let field = Avps::new(item.data)
        .map(Result::unwrap)
        .find(|avp| avp.key == dictionary::SIP_AUTHORIZATION.key)
        .unwrap();
    assert_eq!(field.data, [rand.as_bytes().as_slice(), auts.as_bytes()].concat());
    assert_eq!(field.data.len(), 30);
    assert_eq!(decode_request(wire.as_bytes()).unwrap().request, mar(Some((rand, auts))));
}

/// AKA-12: RES of every length passes through MAA.
#[test]
fn cx_4_vector_layouts_and_count() {
    for res_len in [4, 8, 16] {
        let answer =
            Answer::Maa(Ok(MultimediaAuth { vectors: vec![vector(1, res_len), vector(50, res_len)] }));
        let wire = encode_answer(&answer);
        let avps = avps_of(&wire);
        let count = avps.iter().find(|avp| avp.key == dictionary::SIP_NUMBER_AUTH_ITEMS.key).unwrap();
        assert_eq!(count.data, 2u32.to_be_bytes());
        let items: Vec<_> = avps.iter().filter(|avp| avp.key == dictionary::SIP_AUTH_DATA_ITEM.key).collect();
        let lengths: Vec<Vec<_>> = items
            .iter()
            .map(|item| {
                Avps::new(item.data)
                    .map(|avp| (avp.clone().unwrap().key.code, avp.unwrap().data.len()))
                    .collect()
            })
            .collect();
        let expected = vec![(613, 4), (608, 16), (609, 32), (610, res_len), (625, 16), (626, 16)];
        assert_eq!(lengths, [expected.clone(), expected]);
        assert_eq!(decode_answer(wire.as_bytes()).unwrap(), answer);
    }
    let none = encode_answer(&Answer::Maa(Ok(MultimediaAuth::default())));
    assert!(avps_of(&none).iter().all(|avp| avp.key != dictionary::SIP_AUTH_DATA_ITEM.key));
}

#[test]
fn aka_9_vectors_come_in_item_number_order() {
    let header = Header {
        request: false,
        proxiable: true,
        error: false,
        retransmitted: false,
        command: Command::MultimediaAuth,
        application: Application::Cx,
        ids: IDS,
    };
    let mut writer = Writer::new(header, 4096);
    writer.number(dictionary::RESULT_CODE, 2001);
    for place in [3u8, 1, 2] {
        let vector = vector(place, 8);
        writer.group(dictionary::SIP_AUTH_DATA_ITEM, |group| {
            group.number(dictionary::SIP_ITEM_NUMBER, place.into());
            group.text(dictionary::SIP_AUTHENTICATION_SCHEME, "Digest-AKAv1-MD5");
            group.octets(
                dictionary::SIP_AUTHENTICATE,
                &[vector.rand.as_bytes().as_slice(), vector.autn.as_bytes()].concat(),
            );
            group.octets(dictionary::SIP_AUTHORIZATION, vector.xres.as_bytes());
            group.octets(dictionary::CONFIDENTIALITY_KEY, vector.ck.as_bytes());
            group.octets(dictionary::INTEGRITY_KEY, vector.ik.as_bytes());
        });
    }
    let wire = writer.finish().unwrap();
    let expected = MultimediaAuth { vectors: vec![vector(1, 8), vector(2, 8), vector(3, 8)] };
    assert_eq!(decode_answer(wire.as_bytes()), Ok(Answer::Maa(Ok(expected))));
}

#[test]
fn cx_8_experimental_result_stands_alone() {
    let answers = [
        Answer::Uaa(Ok(UserAuthorization::Subsequent { server_name: scscf() })),
        Answer::Uaa(Err(ExperimentalCode::UserUnknown.into())),
        Answer::Saa(Err(CxFailure::AlreadyRegistered { server_name: scscf() })),
        Answer::Saa(Ok(ServerAssignment { server_name_not_stored: true, ..Default::default() })),
        Answer::Maa(Err(BaseCode::UnableToComply.into())),
    ];
    for answer in answers {
        let wire = encode_answer(&answer);
        let avps = avps_of(&wire);
        let base = avps.iter().filter(|avp| avp.key == dictionary::RESULT_CODE.key).count();
        let experimental: Vec<_> =
            avps.iter().filter(|avp| avp.key == dictionary::EXPERIMENTAL_RESULT.key).collect();
        assert_eq!(base + experimental.len(), 1, "{answer:?}");
        for avp in experimental {
            assert_eq!(avp.data[..12], [0, 0, 1, 10, 0x40, 0, 0, 12, 0, 0, 0x28, 0xaf]);
        }
        assert_eq!(decode_answer(wire.as_bytes()), Ok(answer));
    }
}

#[test]
fn cx_8_both_results_are_refused() {
    let (header, _) = Header::parse(encode_request(&mar(None)).as_bytes()).map(|(h, _)| (h, ())).unwrap();
    let mut writer = Writer::new(Header { request: false, ..header }, 256);
    writer.number(dictionary::RESULT_CODE, 2001);
    writer.group(dictionary::EXPERIMENTAL_RESULT, |group| {
        group.number(dictionary::VENDOR_ID, 10415);
        group.number(dictionary::EXPERIMENTAL_RESULT_CODE, 5001);
    });
    assert_eq!(decode_answer(writer.finish().unwrap().as_bytes()), Err(CxError::TwoResults));
}

#[test]
fn cx_14_vendor_is_part_of_the_name() {
    let key = |vendor| AvpKey { code: 623, vendor };
    assert_eq!(dictionary::name(key(0)), Some("OC-OLR"));
    assert_eq!(dictionary::name(key(10415)), Some("User-Authorization-Type"));
    // An IETF 623 in a UAR is not the type of the request.
    let uar = Request::Uar(UserAuthorizationRequest {
        impi: impi(),
        impu: impu(),
        visited_network: VisitedNetwork::new("home.example").unwrap(),
        kind: UserAuthorizationType::DeRegistration,
        emergency: false,
    });
    let with_ietf = appended(&encode_request(&uar), &[0, 0, 2, 0x6f, 0, 0, 0, 12, 0, 0, 0, 0]);
    assert_eq!(decode_request(&with_ietf).unwrap().request, uar);
}

fn appended(wire: &Wire, avp: &[u8]) -> Vec<u8> {
    let mut bytes = [wire.as_bytes(), avp].concat();
    let [.., a, b] = bytes.len().to_be_bytes();
    bytes[2..4].copy_from_slice(&[a, b]);
    bytes
}

#[test]
fn cx_2_unknown_avps() {
    let wire = encode_request(&mar(None));
    let optional = appended(&wire, &[0, 0, 0x99, 0x99, 0, 0, 0, 9, 7, 0, 0, 0]);
    assert_eq!(decode_request(&optional).unwrap().request, mar(None));

    let mandatory = appended(&wire, &[0, 0, 0x99, 0x99, 0x40, 0, 0, 9, 7, 0, 0, 0]);
    let error = decode_request(&mandatory).unwrap_err();
    let unknown = FailedAvp { key: AvpKey { code: 0x9999, vendor: 0 }, data: vec![7] };
    assert_eq!(error, CxError::AvpUnsupported(unknown));
    assert_eq!(error.code(), BaseCode::AvpUnsupported);

    let (header, avps) = Header::parse(&mandatory).unwrap();
    let (session_id, proxy_info) = decode::remains(avps);
    assert_eq!(session_id, "scscf.home.example;1;2");
    let origin = origin();
    let context =
        AnswerContext { ids: IDS, session_id: &session_id, origin: &origin, proxy_info: &proxy_info };
    let refusal = encode::refusal(header.command, &context, &error).unwrap();
    let failed = avps_of(&refusal).into_iter().find(|avp| avp.key == dictionary::FAILED_AVP.key).unwrap();
    assert_eq!(failed.data, [0, 0, 0x99, 0x99, 0, 0, 0, 9, 7, 0, 0, 0]);
    let (header, avps) = Header::parse(refusal.as_bytes()).unwrap();
    assert!(!header.error, "5xxx keeps the grammar of the command");
    assert_eq!(decode::answer(&header, avps), Ok(Answer::Maa(Err(BaseCode::AvpUnsupported.into()))));
}

#[test]
fn cx_2_missing_and_repeated_avps_have_their_codes() {
    let wire = encode_request(&mar(None));
    let name =
        avps_of(&wire).into_iter().find(|avp| avp.key == dictionary::USER_NAME.key).unwrap().whole.to_vec();
    let twice = appended(&wire, &name);
    assert_eq!(decode_request(&twice).unwrap_err().code(), BaseCode::AvpOccursTooManyTimes);

    let at = wire.as_bytes().windows(name.len()).position(|part| part == name).unwrap();
    let mut without = wire.as_bytes().to_vec();
    without.drain(at..at + name.len());
    let [.., a, b] = without.len().to_be_bytes();
    without[2..4].copy_from_slice(&[a, b]);
    assert_eq!(decode_request(&without), Err(CxError::AvpMissing(dictionary::USER_NAME.key)));
}

#[test]
fn cx_2_proxy_info_goes_back_unchanged() {
    let avp = [0, 0, 1, 28, 0x40, 0, 0, 20, 0, 0, 1, 24, 0x40, 0, 0, 10, b'p', b'x', 0, 0];
    let with = appended(&encode_request(&mar(None)), &avp);
    assert_eq!(decode_request(&with).unwrap().proxy_info, avp);
}

#[test]
fn cx_15_nothing_secret_in_debug() {
    let answer = Answer::Maa(Ok(MultimediaAuth { vectors: vec![vector(0x71, 8)] }));
    let wire = encode_answer(&answer);
    let shown = format!("{answer:?} {wire:?} {:?}", avps_of(&wire));
    for secret in ["73, 73", "7373", "115, 115", "7474", "7575", "116, 116", "117, 117"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    // A key of the wrong length must not travel in the error either.
    let mut bytes = wire.as_bytes().to_vec();
    let at = bytes.windows(16).position(|part| part == [0x74; 16]).unwrap();
    bytes[at - 5] = 27;
    let error = decode_answer(&bytes).unwrap_err();
    assert!(!format!("{error:?}").contains("116"), "{error:?}");
    assert!(matches!(error, CxError::AvpValue(failed) if failed.data.is_empty()));
}

#[test]
fn too_long_messages_are_not_written() {
    let impus = std::iter::repeat_n(impu(), 2000).collect();
    let sar = Request::Sar(ServerAssignmentRequest {
        impi: None,
        impus,
        server_name: scscf(),
        assignment: ServerAssignmentType::UserDeregistration,
        user_data_already_available: false,
        restoration: None,
    });
    let origin = origin();
    let context = RequestContext {
        ids: IDS,
        retransmitted: false,
        session_id: "a;1;2",
        origin: &origin,
        destination_realm: "r",
        destination_host: None,
    };
    assert_eq!(encode::request(&sar, &context).unwrap_err(), CxError::TooLong);
}

fn any_impu() -> impl Strategy<Value = Impu> {
    "sip:[a-z0-9]{1,20}@[a-z.]{1,20}".prop_filter_map("uri", |text| Impu::new(&text).ok())
}

fn any_server_name() -> impl Strategy<Value = ServerName> {
    "sip:[!#-;=?-\\[\\]-~]{1,60}".prop_filter_map("name", |text| ServerName::new(&text).ok())
}

fn any_request() -> impl Strategy<Value = Request> {
    let impi = "[a-z0-9]{1,15}@[a-z.]{1,30}".prop_map(|text| Impi::new(&text).unwrap());
    let uar = (impi.clone(), any_impu(), "[!#-;]{1,40}", 0..3, any::<bool>()).prop_map(
        |(impi, impu, visited, kind, emergency)| {
            Request::Uar(UserAuthorizationRequest {
                impi,
                impu,
                visited_network: VisitedNetwork::new(&visited).unwrap(),
                kind: match kind {
                    0 => UserAuthorizationType::Registration,
                    1 => UserAuthorizationType::DeRegistration,
                    _ => UserAuthorizationType::RegistrationAndCapabilities,
                },
                emergency,
            })
        },
    );
    let resync = proptest::option::of((any::<[u8; 16]>(), any::<[u8; 14]>()));
    let mar = (impi.clone(), any_impu(), any_server_name(), any::<u32>(), "[ -~]{0,20}", resync).prop_map(
        |(impi, impu, server_name, items, scheme, resync)| {
            Request::Mar(MultimediaAuthRequest {
                impi,
                impu,
                server_name,
                items,
                scheme: AuthScheme::from(if items % 2 == 0 { "Digest-AKAv1-MD5" } else { scheme.as_str() }),
                resync: resync.map(|(rand, auts)| (Rand::from_bytes(rand), Auts::from_bytes(auts))),
            })
        },
    );
    let sar = (proptest::option::of(impi), vec(any_impu(), 0..5), any_server_name(), 0u32..12, any::<bool>())
        .prop_map(|(impi, impus, server_name, assignment, available)| {
            Request::Sar(ServerAssignmentRequest {
                impi,
                impus,
                server_name,
                assignment: ServerAssignmentType::from_code(assignment).unwrap(),
                user_data_already_available: available,
                restoration: None,
            })
        });
    prop_oneof![uar, mar, sar]
}

fn any_failure() -> impl Strategy<Value = CxFailure> {
    prop_oneof![
        (3000u32..6000).prop_map(|code| CxFailure::Base(BaseCode::from_code(code))),
        (5001u32..5005).prop_map(|code| CxFailure::Experimental(ExperimentalCode::from_code(code))),
        any_server_name().prop_map(|server_name| CxFailure::AlreadyRegistered { server_name }),
    ]
}

fn any_answer() -> impl Strategy<Value = Answer> {
    let capabilities =
        (vec(any::<u32>(), 0..4), vec(any::<u32>(), 0..4), vec(any_server_name(), 0..3)).prop_map(
            |(mandatory, optional, server_names)| ServerCapabilities { mandatory, optional, server_names },
        );
    let uaa =
        (capabilities, any_server_name(), 0..4).prop_map(|(capabilities, server_name, which)| match which {
            0 => UserAuthorization::FirstRegistration { capabilities },
            1 => UserAuthorization::Subsequent { server_name },
            2 => UserAuthorization::DeRegistration { server_name },
            _ => UserAuthorization::Capabilities { capabilities },
        });
    let maa = vec((any::<u8>(), 4usize..=16), 0..5).prop_map(|seeds| MultimediaAuth {
        vectors: seeds.into_iter().map(|(seed, len)| vector(seed, len)).collect(),
    });
    let saa = (proptest::option::of(vec((any_impu(), any::<bool>()), 1..5)), any::<bool>(), any::<bool>())
        .prop_map(|(identities, with_impi, server_name_not_stored)| ServerAssignment {
            impi: with_impi.then(impi),
            user_data: identities.map(|identities| UserData {
                private_id: impi(),
                profiles: vec![ServiceProfile {
                    identities: identities
                        .into_iter()
                        .map(|(identity, barred)| PublicIdentity {
                            identity,
                            barred,
                            kind: IdentityType::DistinctUser,
                        })
                        .collect(),
                    filter_criteria: Vec::new(),
                }],
            }),
            server_name_not_stored,
            restoration: Vec::new(),
        });
    prop_oneof![
        uaa.prop_map(|uaa| Answer::Uaa(Ok(uaa))),
        maa.prop_map(|maa| Answer::Maa(Ok(maa))),
        saa.prop_map(|saa| Answer::Saa(Ok(saa))),
        any_failure().prop_map(|failure| Answer::Uaa(Err(failure))),
        any_failure().prop_map(|failure| Answer::Maa(Err(failure))),
        any_failure().prop_map(|failure| Answer::Saa(Err(failure))),
    ]
}

proptest! {
    #[test]
    fn cx_2_request_round_trip(request in any_request()) {
        let wire = encode_request(&request);
        prop_assert_eq!(wire.as_bytes().len() % 4, 0);
        let incoming = decode_request(wire.as_bytes()).unwrap();
        prop_assert_eq!(incoming.request, request);
        prop_assert_eq!(incoming.ids, IDS);
        prop_assert_eq!(incoming.origin.host, "scscf.home.example");
    }

    #[test]
    fn cx_2_answer_round_trip(answer in any_answer()) {
        let wire = encode_answer(&answer);
        prop_assert_eq!(decode_answer(wire.as_bytes()), Ok(answer));
    }

    #[test]
    fn cx_2_damaged_messages_never_panic(
        request in any_request(), answer in any_answer(), hits in vec((any::<usize>(), any::<u8>()), 1..6), cut: usize,
    ) {
        for wire in [encode_request(&request), encode_answer(&answer)] {
            let mut bytes = wire.as_bytes().to_vec();
            for (at, value) in &hits {
                let at = at % bytes.len();
                bytes[at] = *value;
            }
            let _ = decode_request(&bytes);
            let _ = decode_answer(&bytes);
            // Without the header's own length check, to reach the AVPs behind a wrong length.
            let avps = &bytes[Header::LEN..Header::LEN + cut % (bytes.len() - Header::LEN)];
            if let Ok((header, _)) = Header::parse(wire.as_bytes()) {
                let _ = decode::request(&header, avps);
                let _ = decode::answer(&header, avps);
                let _ = decode::remains(avps);
            }
        }
    }
}
