//! Every command with every AVP of ours, there and back.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

fn any_impi() -> impl Strategy<Value = Impi> {
    "[a-z0-9]{1,15}@[a-z.]{1,30}".prop_map(|text| Impi::new(&text).unwrap())
}

fn any_impu() -> impl Strategy<Value = Impu> {
    "sip:[a-z0-9]{1,20}@[a-z.]{1,20}".prop_filter_map("uri", |text| Impu::new(&text).ok())
}

fn any_server_name() -> impl Strategy<Value = ServerName> {
    "sip:[!#-;=?-\\[\\]-~]{1,60}".prop_filter_map("name", |text| ServerName::new(&text).ok())
}

fn any_subscription() -> impl Strategy<Value = RestoredSubscription> {
    [any_header(), any_header(), any_header(), any_header(), any_header()].prop_map(
        |[call_id, from, to, record_route, contact]| RestoredSubscription {
            call_id,
            from,
            to,
            record_route,
            contact,
        },
    )
}

fn any_header() -> impl Strategy<Value = String> {
    "[ -~é]{0,40}"
}

fn any_restoration() -> impl Strategy<Value = RestorationInfo> {
    let contact = (
        any_header(),
        any_header(),
        option::of(any::<u32>()),
        option::of(any_header()),
        option::of(any_subscription()),
        option::of(any_subscription()),
    );
    let contact =
        contact.prop_map(|(path, contact, initial_cseq, call_id, subscription, p_cscf_subscription)| {
            RestoredContact { path, contact, initial_cseq, call_id, subscription, p_cscf_subscription }
        });
    (any_impi(), vec(contact, 1..4)).prop_map(|(impi, contacts)| RestorationInfo { impi, contacts })
}

fn any_user_data() -> impl Strategy<Value = UserData> {
    vec((any_impu(), any::<bool>()), 1..5).prop_map(|identities| UserData {
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
            ..ServiceProfile::default()
        }],
    })
}

fn any_request() -> impl Strategy<Value = Request> {
    let uar = (any_impi(), any_impu(), "[!#-;]{1,40}", 0..3, any::<bool>()).prop_map(
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
    let resync = option::of((any::<[u8; 16]>(), any::<[u8; 14]>()));
    let mar = (any_impi(), any_impu(), any_server_name(), any::<u32>(), "[ -~]{0,20}", resync).prop_map(
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
    let sar = (
        option::of(any_impi()),
        vec(any_impu(), 0..5),
        any_server_name(),
        0u32..12,
        any::<bool>(),
        option::of(any_restoration()),
    )
        .prop_map(|(impi, impus, server_name, assignment, available, restoration)| {
            Request::Sar(ServerAssignmentRequest {
                impi,
                impus,
                server_name,
                assignment: ServerAssignmentType::from_code(assignment).unwrap(),
                user_data_already_available: available,
                restoration,
            })
        });
    let lir = (any_impu(), any::<bool>(), any::<bool>()).prop_map(|(impu, originating, capabilities)| {
        Request::Lir(LocationInfoRequest { impu, originating, capabilities })
    });
    let rtr = (
        any_impi(),
        vec(any_impu(), 0..4),
        vec(any_impi(), 0..4),
        proptest::sample::select(&ReasonCode::ALL[..]),
        option::of("[ -~]{0,40}"),
    )
        .prop_map(|(impi, impus, associated, reason, info)| {
            let info = info.map(Into::into);
            Request::Rtr(RegistrationTerminationRequest { impi, impus, associated, reason, info })
        });
    let ppr = (any_impi(), option::of(any_user_data()))
        .prop_map(|(impi, user_data)| Request::Ppr(PushProfileRequest { impi, user_data }));
    prop_oneof![uar, mar, sar, lir, rtr, ppr]
}

fn any_failure() -> impl Strategy<Value = CxFailure> {
    prop_oneof![
        (3000u32..6000).prop_map(|code| CxFailure::Base(BaseCode::from_code(code))),
        (5006u32..5020).prop_map(|code| CxFailure::Experimental(ExperimentalCode::from_code(code))),
        (5001u32..5005).prop_map(|code| CxFailure::Experimental(ExperimentalCode::from_code(code))),
        any_server_name().prop_map(|server_name| CxFailure::AlreadyRegistered { server_name }),
    ]
}

fn any_capabilities() -> impl Strategy<Value = ServerCapabilities> {
    (vec(any::<u32>(), 0..4), vec(any::<u32>(), 0..4), vec(any_server_name(), 0..3)).prop_map(
        |(mandatory, optional, server_names)| ServerCapabilities { mandatory, optional, server_names },
    )
}

fn any_answer() -> impl Strategy<Value = Answer> {
    let uaa = (any_capabilities(), any_server_name(), 0..4).prop_map(|(capabilities, server_name, which)| {
        Answer::Uaa(Ok(match which {
            0 => UserAuthorization::FirstRegistration { capabilities },
            1 => UserAuthorization::Subsequent { server_name },
            2 => UserAuthorization::DeRegistration { server_name },
            _ => UserAuthorization::Capabilities { capabilities },
        }))
    });
    let lia = (any_capabilities(), any_server_name(), 0..3).prop_map(|(capabilities, server_name, which)| {
        Answer::Lia(Ok(match which {
            0 => LocationInfo::Served { server_name },
            1 => LocationInfo::Capabilities { capabilities },
            _ => LocationInfo::UnregisteredService { capabilities },
        }))
    });
    let maa = vec((any::<u8>(), 4usize..=16), 0..5).prop_map(|seeds| {
        let vectors = seeds.into_iter().map(|(seed, len)| vector(seed, len)).collect();
        Answer::Maa(Ok(MultimediaAuth { vectors }))
    });
    let uri = || option::of("aaa://[a-z.]{1,20}:[0-9]{4}");
    let charging = option::of([uri(), uri(), uri(), uri()]);
    let saa = (
        option::of(any_impi()),
        option::of(any_user_data()),
        charging,
        any::<bool>(),
        vec(any_restoration(), 0..3),
    )
        .prop_map(|(impi, user_data, charging, server_name_not_stored, restoration)| {
            let charging =
                charging.map(|[primary_event, secondary_event, primary_collection, secondary_collection]| {
                    Box::new(ChargingInformation {
                        primary_event,
                        secondary_event,
                        primary_collection,
                        secondary_collection,
                    })
                });
            let saa = ServerAssignment { impi, user_data, charging, server_name_not_stored, restoration };
            Answer::Saa(Ok(saa))
        });
    let rta =
        vec(any_impi(), 0..4).prop_map(|associated| Answer::Rta(Ok(RegistrationTermination { associated })));
    let ppa = any::<()>().prop_map(|()| Answer::Ppa(Ok(())));
    let no = (any_failure(), 0..6).prop_map(|(failure, command)| match command {
        0 => Answer::Uaa(Err(failure)),
        1 => Answer::Saa(Err(failure)),
        2 => Answer::Lia(Err(failure)),
        3 => Answer::Maa(Err(failure)),
        4 => Answer::Rta(Err(failure)),
        _ => Answer::Ppa(Err(failure)),
    });
    prop_oneof![uaa, lia, maa, saa, rta, ppa, no]
}

/// AVPs without a place in any type: unknown ones, and known ones that only pass through.
fn any_extra() -> impl Strategy<Value = Vec<u8>> {
    let avp = (
        prop_oneof![
            (40_000u32..50_000, Just(0u32)),
            (1u32..50_000, Just(13019)),
            Just((650, 10415)),
            Just((623, 0))
        ],
        vec(any::<u8>(), 0..9),
    );
    vec(avp, 0..4).prop_map(|avps| {
        let mut wire = Vec::new();
        for ((code, vendor), data) in avps {
            wire.extend(code.to_be_bytes());
            let header: u8 = if vendor == 0 { 8 } else { 12 };
            let length = header + u8::try_from(data.len()).unwrap();
            wire.extend([if vendor == 0 { 0 } else { 0x80 }, 0, 0, length]);
            if vendor != 0 {
                wire.extend(vendor.to_be_bytes());
            }
            wire.extend(data);
            wire.resize(wire.len().next_multiple_of(4), 0);
        }
        wire
    })
}

fn extra_of(avps: &[u8]) -> Extra {
    Extra::collect(Avps::new(avps).map(Result::unwrap).collect::<Vec<_>>().into_iter())
}

proptest! {
    #[test]
    fn cx_2_request_round_trip(request in any_request(), extra in any_extra(), retransmitted: bool) {
        let extra = extra_of(&extra);
        let origin = origin();
        let context = RequestContext { retransmitted, ..request_context(&origin) };
        let wire = encode::request_with(&request, &context, &extra).unwrap();
        prop_assert_eq!(wire.as_bytes().len() % 4, 0);
        let (header, avps) = Header::parse(wire.as_bytes()).unwrap();
        prop_assert_eq!(header.retransmitted, retransmitted);
        let incoming = decode::request(&header, avps).unwrap();
        prop_assert_eq!(&incoming.request, &request);
        prop_assert_eq!(&incoming.extra, &extra);
        prop_assert_eq!((incoming.ids, &incoming.origin), (IDS, &origin));
        // What was read is written in the same octets.
        let again = encode::request_with(&incoming.request, &context, &incoming.extra).unwrap();
        prop_assert_eq!(again.as_bytes(), wire.as_bytes());
    }

    #[test]
    fn cx_2_answer_round_trip(answer in any_answer(), extra in any_extra()) {
        let extra = extra_of(&extra);
        let origin = origin();
        let wire = encode::answer_with(&answer, &answer_context(&origin), &extra).unwrap();
        let (header, avps) = Header::parse(wire.as_bytes()).unwrap();
        let incoming = decode::whole_answer(&header, avps).unwrap();
        prop_assert_eq!(&incoming.answer, &answer);
        prop_assert_eq!(&incoming.extra, &extra);
        prop_assert_eq!(&incoming.origin, &Some(origin.clone()));
        let is_protocol_error = matches!(
            answer.failure(), Some(CxFailure::Base(code)) if code.is_protocol_error()
        );
        prop_assert_eq!(header.error, is_protocol_error);
        let again = encode::answer_with(&incoming.answer, &answer_context(&origin), &incoming.extra).unwrap();
        prop_assert_eq!(again.as_bytes(), wire.as_bytes());
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
                if let Err(error) = decode::request(&header, avps) {
                    // Whatever was wrong, the refusal is sound.
                    let refusal = encode::refusal(header.command, &answer_context(&origin()), &error).unwrap();
                    let (header, avps) = Header::parse(refusal.as_bytes()).unwrap();
                    prop_assert!(decode::answer(&header, avps).unwrap().failure().is_some());
                }
                let _ = decode::answer(&header, avps);
                let _ = decode::remains(avps);
            }
        }
    }
}

fn sar_of(impus: usize, each: &str) -> Request {
    Request::Sar(ServerAssignmentRequest {
        impi: None,
        impus: std::iter::repeat_n(Impu::new(each).unwrap(), impus).collect(),
        server_name: scscf(),
        assignment: ServerAssignmentType::UserDeregistration,
        user_data_already_available: false,
        restoration: None,
    })
}

#[test]
fn cx_2_the_largest_message() {
    let origin = origin();
    let long = format!("sip:{}@home.example", "a".repeat(100));
    let write = |count| encode::request(&sar_of(count, &long), &request_context(&origin));
    let most = (1..2000).take_while(|count| write(*count).is_ok()).last().unwrap();
    assert_eq!(write(most + 1).unwrap_err(), CxError::TooLong);
    let wire = write(most).unwrap();
    assert!(wire.as_bytes().len() > LONGEST_MESSAGE - 200, "{}", wire.as_bytes().len());
    assert_eq!(decode_request(wire.as_bytes()).unwrap().request, sar_of(most, &long));
}

#[test]
fn cx_2_a_message_of_too_many_avps_is_refused() {
    let wire = encode_request(&sar_of(1100, "sip:a@b"));
    assert!(matches!(decode_request(wire.as_bytes()), Err(CxError::AvpTooOften(_))));
}
