//! What is wrong with a message, and what goes back.

use super::*;

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

#[test]
fn cx_2_unknown_avps() {
    let wire = encode_request(&mar(None));
    let optional = appended(&wire, &[0, 0, 0x99, 0x99, 0, 0, 0, 9, 7, 0, 0, 0]);
    assert_eq!(decode_request(&optional).unwrap().request, mar(None));

    let mandatory = appended(&wire, &[0, 0, 0x99, 0x99, 0x40, 0, 0, 9, 7, 0, 0, 0]);
    let error = decode_request(&mandatory).unwrap_err();
    assert!(
        matches!(&error, CxError::AvpUnsupported(unknown) if unknown.key == AvpKey { code: 0x9999, vendor: 0 })
    );
    assert_eq!(error.code(), BaseCode::AvpUnsupported);

    let (header, avps) = Header::parse(&mandatory).unwrap();
    let (session_id, repeated) = decode::remains(avps);
    assert_eq!(session_id, "scscf.home.example;1;2");
    let origin = origin();
    let context = AnswerContext { ids: IDS, session_id: &session_id, origin: &origin, repeated: &repeated };
    let refusal = encode::refusal(header.command, &context, &error).unwrap();
    let failed = avps_of(&refusal).into_iter().find(|avp| avp.key == dictionary::FAILED_AVP.key).unwrap();
    assert_eq!(failed.data, [0, 0, 0x99, 0x99, 0x40, 0, 0, 9, 7, 0, 0, 0]);
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
    let error = decode_request(&without).unwrap_err();
    assert!(matches!(&error, CxError::AvpMissing(missing) if missing.key == dictionary::USER_NAME.key));
    assert_eq!(failed_avp_for(&error), [0, 0, 0, 1, 0x40, 0, 0, 8], "an example without content");
}

/// What Failed-AVP of the refusal holds.
fn failed_avp_for(error: &CxError) -> Vec<u8> {
    let origin = origin();
    let refusal = encode::refusal(Command::MultimediaAuth, &answer_context(&origin), error).unwrap();
    let failed = avps_of(&refusal).into_iter().find(|avp| avp.key == dictionary::FAILED_AVP.key).unwrap();
    failed.data.to_vec()
}

fn avp(key: AvpKey, flags: u8, data: &[u8]) -> Vec<u8> {
    let vendor = if key.vendor == 0 { Vec::new() } else { key.vendor.to_be_bytes().to_vec() };
    let flags = flags | if key.vendor == 0 { 0 } else { 0x80 };
    let length = u8::try_from(8 + vendor.len() + data.len()).unwrap();
    let mut wire = [&key.code.to_be_bytes()[..], &[flags, 0, 0, length], &vendor, data].concat();
    wire.resize(wire.len().next_multiple_of(4), 0);
    wire
}

fn uar() -> Request {
    Request::Uar(UserAuthorizationRequest {
        impi: impi(),
        impu: impu(),
        visited_network: VisitedNetwork::new("home.example").unwrap(),
        kind: UserAuthorizationType::Registration,
        emergency: false,
    })
}

/// CX-2: RFC 6733 7.5, for an AVP at the top of a message.
#[test]
fn cx_2_failed_avp_is_the_offending_avp() {
    // Too often: the instance that is one too many, its flags untouched.
    let server_name = dictionary::SERVER_NAME.key;
    let second = avp(server_name, 0x20, b"sip:second@home.example");
    let error = decode_request(&appended(&encode_request(&mar(None)), &second)).unwrap_err();
    assert_eq!((error.code(), failed_avp_for(&error)), (BaseCode::AvpOccursTooManyTimes, second));
    // A number of the wrong length.
    let short = avp(dictionary::UAR_FLAGS.key, 0, &[1, 2]);
    let error = decode_request(&appended(&encode_request(&uar()), &short)).unwrap_err();
    assert_eq!((error.code(), failed_avp_for(&error)), (BaseCode::InvalidAvpLength, short));
    // A value out of its range.
    let wrong = avp(dictionary::ORIGINATING_REQUEST.key, 0x40, &[0, 0, 0, 7]);
    let lir = Request::Lir(LocationInfoRequest { impu: impu(), originating: false, capabilities: false });
    let error = decode_request(&appended(&encode_request(&lir), &wrong)).unwrap_err();
    assert_eq!((error.code(), failed_avp_for(&error)), (BaseCode::InvalidAvpValue, wrong));
}

/// CX-2: a length that leads out of the message: the header, and zeros for the value its type has at least.
#[test]
fn cx_2_failed_avp_of_a_broken_length() {
    let mut broken = avp(dictionary::UAR_FLAGS.key, 0, &[0, 0, 0, 1]);
    broken[7] = 200;
    let error = decode_request(&appended(&encode_request(&uar()), &broken)).unwrap_err();
    let sound = avp(dictionary::UAR_FLAGS.key, 0, &[0; 4]);
    assert_eq!((error.code(), failed_avp_for(&error)), (BaseCode::InvalidAvpLength, sound));
    // Less than a header.
    let (header, _) =
        Header::parse(encode_request(&uar()).as_bytes()).map(|(header, _)| (header, ())).unwrap();
    let error = decode::request(&header, &[0, 0, 1]).unwrap_err();
    assert_eq!(failed_avp_for(&error), [0, 0, 1, 0, 0, 0, 0, 8]);
}

/// CX-2: an unknown AVP with M inside a group, and a missing one there: Failed-AVP shows the group around it.
#[test]
fn cx_2_failed_avp_inside_its_group() {
    let unknown = avp(AvpKey { code: 0x9999, vendor: 0 }, 0x40, &[7]);
    let group = avp(dictionary::SERVER_CAPABILITIES.key, 0x40, &unknown);
    let uaa = encode_answer(&Answer::Uaa(Ok(UserAuthorization::FirstRegistration {
        capabilities: ServerCapabilities::default(),
    })));
    let error = decode_answer(&appended(&uaa, &group)).unwrap_err();
    assert_eq!((error.code(), failed_avp_for(&error)), (BaseCode::AvpUnsupported, group));

    let empty = avp(dictionary::DEREGISTRATION_REASON.key, 0x40, &[]);
    let lir = Request::Lir(LocationInfoRequest { impu: impu(), originating: false, capabilities: false });
    let as_rtr = |bytes: &[u8]| {
        let (header, avps) = Header::parse(bytes).unwrap();
        decode::request(&Header { command: Command::RegistrationTermination, ..header }, avps)
    };
    let error = as_rtr(&appended(&encode_request(&lir), &empty)).unwrap_err();
    let example = avp(dictionary::REASON_CODE.key, 0x40, &[0; 4]);
    let expected = avp(dictionary::DEREGISTRATION_REASON.key, 0x40, &example);
    assert_eq!((error.code(), failed_avp_for(&error)), (BaseCode::MissingAvp, expected));
}

/// CX-2: a group that is unknown and not mandatory is nobody's business, whatever is in it.
#[test]
fn cx_2_unknown_groups_are_kept_unread() {
    let inside = avp(AvpKey { code: 1, vendor: 13019 }, 0x40, &[1]);
    let group = avp(AvpKey { code: 0x9999, vendor: 13019 }, 0, &inside);
    let (header, bytes) = (encode_request(&uar()), appended(&encode_request(&uar()), &group));
    let (header, _) = Header::parse(header.as_bytes()).map(|(header, _)| (header, ())).unwrap();
    let incoming = decode::request(&header, &bytes[Header::LEN..]).unwrap();
    assert_eq!(incoming.request, uar());
    assert_eq!(incoming.extra.avps().map(|avp| avp.whole).collect::<Vec<_>>(), [group]);
    assert!(!format!("{incoming:?}").contains("[0, 0, 153"), "content does not show");
}

/// CX-2: TS 29.229 table 6.3.1 leaves M to the sender on these; it changes nothing.
#[test]
fn cx_2_the_m_flag_of_optional_avps_is_free() {
    for flags in [0, 0x40, 0x60, 0x1f] {
        let bytes = appended(&encode_request(&uar()), &avp(dictionary::UAR_FLAGS.key, flags, &[0, 0, 0, 3]));
        let Request::Uar(read) = decode_request(&bytes).unwrap().request else { panic!("no UAR") };
        assert!(read.emergency, "flags {flags:#x}");
    }
}

#[test]
fn cx_2_a_request_with_the_error_flag_is_refused() {
    let mut bytes = encode_request(&uar()).as_bytes().to_vec();
    // Reserved flags are ignored.
    bytes[4] |= 0x0f;
    assert_eq!(decode_request(&bytes).unwrap().request, uar());
    bytes[4] |= 0x20;
    let error = decode_request(&bytes).unwrap_err();
    assert_eq!(error.code(), BaseCode::InvalidHeaderBits);
    let origin = origin();
    let refusal = encode::refusal(Command::UserAuthorization, &answer_context(&origin), &error).unwrap();
    assert_eq!(refusal.as_bytes()[4], 0x60, "proxiable, error");
    let names: Vec<_> = avps_of(&refusal).iter().map(|avp| avp.key.code).collect();
    assert_eq!(names, [263, 264, 296, 268], "the grammar of every error");
}

#[test]
fn cx_2_versions_and_lengths_of_messages() {
    let sound = encode_request(&uar());
    for (at, value, expected) in [
        (0, 2, BaseCode::UnsupportedVersion),
        (3, 19, BaseCode::InvalidMessageLength),
        (3, sound.as_bytes()[3] + 1, BaseCode::InvalidMessageLength),
        (1, 1, BaseCode::InvalidMessageLength),
    ] {
        let mut bytes = sound.as_bytes().to_vec();
        bytes[at] = value;
        assert_eq!(decode_request(&bytes).unwrap_err().code(), expected, "octet {at}");
    }
}

#[test]
fn cx_2_what_an_hss_sends_names_the_s_cscf() {
    let ppr = Request::Ppr(PushProfileRequest { impi: impi(), user_data: None });
    let origin = origin();
    let nameless = RequestContext { destination_host: None, ..request_context(&origin) };
    assert!(matches!(encode::request(&ppr, &nameless), Err(CxError::AvpMissing(_))));
    let with = encode_request(&ppr);
    assert!(decode_request(with.as_bytes()).is_ok());
    let kept = avps_of(&with).into_iter().filter(|avp| avp.key != dictionary::DESTINATION_HOST.key);
    let without: Vec<u8> = kept.flat_map(|avp| avp.whole).copied().collect();
    let (header, _) = Header::parse(with.as_bytes()).unwrap();
    let error = decode::request(&header, &without).unwrap_err();
    assert_eq!(error.code(), BaseCode::MissingAvp);
    // Other requests may do without.
    assert!(encode::request(&uar(), &nameless).is_ok());
}

/// CX-2: TS 29.229 7.2.1.
#[test]
fn cx_2_required_features() {
    let features = |flags, bits: u32| {
        let number = |key, number: u32| avp(key, 0x40, &number.to_be_bytes());
        let group = [
            number(dictionary::VENDOR_ID.key, 10415),
            number(dictionary::FEATURE_LIST_ID.key, 1),
            number(dictionary::FEATURE_LIST.key, bits),
        ];
        appended(&encode_request(&uar()), &avp(dictionary::SUPPORTED_FEATURES.key, flags, &group.concat()))
    };
    let ours = SupportedFeatures::OURS.features;
    let read = decode_request(&features(0x40, ours)).unwrap();
    assert_eq!(
        read.extra.supported_features().unwrap(),
        [SupportedFeatures { required: true, ..SupportedFeatures::OURS }]
    );
    assert!(decode_request(&features(0, u32::MAX)).is_ok(), "not required");
    let error = decode_request(&features(0x40, ours | 1 << 9)).unwrap_err();
    assert_eq!(error, CxError::FeatureUnsupported);
    let origin = origin();
    let refusal = encode::refusal(Command::UserAuthorization, &answer_context(&origin), &error).unwrap();
    let (header, avps) = Header::parse(refusal.as_bytes()).unwrap();
    let answer = decode::whole_answer(&header, avps).unwrap();
    assert_eq!(answer.answer, Answer::Uaa(Err(ExperimentalCode::FeatureUnsupported.into())));
    assert_eq!(answer.extra.supported_features().unwrap(), [SupportedFeatures::OURS]);
}

/// CX-14: the overload AVPs of the IETF beside the Cx AVPs of the same number.
#[test]
fn cx_14_both_621_and_623_in_one_message() {
    let charging = ChargingInformation {
        primary_collection: Some("aaa://ccf.home.example:3868".into()),
        ..Default::default()
    };
    let saa = Answer::Saa(Ok(ServerAssignment { charging: Some(Box::new(charging)), ..Default::default() }));
    let overload = [
        avp(AvpKey { code: 621, vendor: 0 }, 0, &[0, 0, 2, 0x6e, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 1]),
        avp(AvpKey { code: 623, vendor: 0 }, 0, &[]),
    ];
    let bytes = appended(&encode_answer(&saa), &overload.concat());
    let (header, avps) = Header::parse(&bytes).unwrap();
    let read = decode::whole_answer(&header, avps).unwrap();
    assert_eq!(read.answer, saa);
    assert_eq!(read.extra.avps().map(|avp| avp.whole).collect::<Vec<_>>(), overload);
}
