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
    let (session_id, proxy_info) = decode::remains(avps);
    assert_eq!(session_id, "scscf.home.example;1;2");
    let origin = origin();
    let context =
        AnswerContext { ids: IDS, session_id: &session_id, origin: &origin, proxy_info: &proxy_info };
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
