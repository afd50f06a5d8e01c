//! How messages look on the wire.

use aka::{Auts, Rand};

use super::*;

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
fn cx_2_proxy_info_goes_back_unchanged() {
    let avp = [0, 0, 1, 28, 0x40, 0, 0, 20, 0, 0, 1, 24, 0x40, 0, 0, 10, b'p', b'x', 0, 0];
    let with = appended(&encode_request(&mar(None)), &avp);
    assert!(decode_request(&with).unwrap().repeated.ends_with(&avp));
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
    assert!(matches!(error, CxError::AvpValue(failed) if !failed.wire().contains(&0x74)));
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
