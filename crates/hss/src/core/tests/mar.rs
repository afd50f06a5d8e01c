use super::*;

#[test]
fn cx_4_identities_and_scheme() {
    let hss = hss();
    use ExperimentalCode as E;
    assert_eq!(hss.authenticate(&mar("nobody", "a", SCSCF)), no(E::UserUnknown));
    assert_eq!(hss.authenticate(&mar("a", "nobody", SCSCF)), no(E::UserUnknown));
    assert_eq!(hss.authenticate(&mar("a", "c", SCSCF)), no(E::IdentitiesDontMatch));
    for scheme in ["SIP Digest", "Unknown", ""] {
        let request = MultimediaAuthRequest { scheme: AuthScheme::from(scheme), ..mar("a", "a", SCSCF) };
        assert_eq!(hss.authenticate(&request), no(E::AuthSchemeNotSupported));
    }
    assert!(hss.stored("a").is_none(), "a refusal changes nothing");
}

#[test]
fn cx_4_every_state() {
    let hss = hss();
    let pending = |hss: &Fixture| hss.authorize_pending("a", "a");
    // Not registered, none stored.
    hss.authenticate(&mar("a", "a", SCSCF)).unwrap();
    assert_eq!(hss.stored("a"), Some(name(SCSCF)));
    assert!(pending(&hss));
    // Not registered, another stored.
    hss.authenticate(&mar("a", "a", OTHER)).unwrap();
    assert_eq!(hss.stored("a"), Some(name(OTHER)));
    // Registered, equal: no flag.
    hss.assign(&sar("a", "a", OTHER, ServerAssignmentType::Registration)).unwrap();
    hss.authenticate(&mar("a", "a", OTHER)).unwrap();
    assert!(!pending(&hss));
    // Registered, different: name and flag, and still registered.
    hss.authenticate(&mar("a", "a", SCSCF)).unwrap();
    assert_eq!(hss.stored("a"), Some(name(SCSCF)));
    assert!(pending(&hss));
    assert_eq!(hss.status("a"), Status::Registered);
}

#[test]
fn cx_4_the_number_of_vectors_is_bounded() {
    let hss = hss();
    for (items, expected) in [(0, 1), (1, 1), (3, 3), (u32::MAX, 5)] {
        let vectors =
            hss.authenticate(&MultimediaAuthRequest { items, ..mar("a", "a", SCSCF) }).unwrap().vectors;
        assert_eq!(vectors.len(), expected);
    }
}

#[test]
fn aka_8_no_two_vectors_share_a_challenge() {
    let hss = hss();
    let mut rands = HashSet::new();
    for _ in 0..1000 {
        assert!(rands.insert(hss.authenticate(&mar("a", "a", SCSCF)).unwrap().vectors[0].rand));
    }
}

#[test]
fn aka_5_a_thousand_vectors_in_a_row_are_accepted() {
    let hss = hss();
    let mut card = Isim::new(algorithm(), SqnArray::new());
    for number in 0..1000 {
        let vector = hss.authenticate(&mar("a", "a", SCSCF)).unwrap().vectors.remove(0);
        let answer = card.authenticate(&vector.rand, &vector.autn);
        assert_eq!(answer.map(|answer| answer.res), Ok(vector.xres), "vector {number}");
    }
}

/// A card far ahead of the AuC, and the AUTS it answers with.
fn out_of_step(hss: &Fixture) -> (Isim, Rand, Auts) {
    let mut card = Isim::new(algorithm(), SqnArray::starting_at(Sqn::from_parts(5000, 9).unwrap()));
    for _ in 0..32 {
        let vector = hss.authenticate(&mar("a", "a", SCSCF)).unwrap().vectors.remove(0);
        if let Err(IsimFailure::SyncFailure(auts)) = card.authenticate(&vector.rand, &vector.autn) {
            return (card, vector.rand, auts);
        }
    }
    panic!("one of 32 slots must be stale");
}

#[test]
fn cx_5_aka_6_the_first_vector_after_resynchronisation_is_accepted() {
    let hss = hss();
    let (mut card, rand, auts) = out_of_step(&hss);
    let request = MultimediaAuthRequest { resync: Some((rand, auts)), ..mar("a", "a", SCSCF) };
    let vector = hss.authenticate(&request).unwrap().vectors.remove(0);
    assert_ne!(vector.rand, rand);
    assert!(card.authenticate(&vector.rand, &vector.autn).is_ok());
}

#[test]
fn cx_5_aka_6_a_damaged_auts_changes_nothing() {
    let hss = hss();
    let (_, rand, auts) = out_of_step(&hss);
    let before = hss.sqn("a");
    for bit in 0..112 {
        let mut octets = *auts.as_bytes();
        octets[bit / 8] ^= 1 << (bit % 8);
        let resync = Some((rand, Auts::from_bytes(octets)));
        let request = MultimediaAuthRequest { resync, ..mar("a", "a", SCSCF) };
        assert_eq!(hss.authenticate(&request), no(BaseCode::UnableToComply), "bit {bit}");
    }
    assert_eq!(hss.sqn("a"), before);
}

#[test]
fn cx_5_only_the_stored_server_may_resynchronise() {
    let hss = hss();
    let (_, rand, auts) = out_of_step(&hss);
    let before = hss.sqn("a");
    let request = MultimediaAuthRequest { resync: Some((rand, auts)), ..mar("a", "a", OTHER) };
    assert_eq!(hss.authenticate(&request), no(BaseCode::UnableToComply));
    assert_eq!(hss.stored("a"), Some(name(SCSCF)));
    assert_eq!(hss.sqn("a"), before);
}

#[test]
fn cx_7_a_challenge_nobody_answers_ends_by_itself() {
    let hss = hss();
    hss.authenticate(&mar("a", "a", SCSCF)).unwrap();
    hss.later(600);
    assert_eq!(hss.authorize(&uar("a", "a", REGISTRATION)), subsequent(SCSCF));
    hss.later(1);
    assert_eq!(hss.authorize(&uar("a", "a", REGISTRATION)), first());
    assert_eq!(hss.entries("a"), 0, "nothing is left of it");
    // A second one begins anew, and a clock that was set back ends nothing.
    hss.authenticate(&mar("a", "a", SCSCF)).unwrap();
    hss.later(500);
    hss.authenticate(&mar("a", "a", SCSCF)).unwrap();
    hss.later(500);
    assert_eq!(hss.authorize(&uar("a", "a", REGISTRATION)), subsequent(SCSCF));
    hss.time.store(5, Ordering::Relaxed);
    assert_eq!(hss.authorize(&uar("a", "a", REGISTRATION)), subsequent(SCSCF));
}

#[test]
fn cx_4_the_flag_covers_its_set_only() {
    let hss = hss();
    hss.authenticate(&mar("m", "m", SCSCF)).unwrap();
    assert!(hss.authorize_pending("m", "m2"));
    assert!(!hss.authorize_pending("m", "n"));
    assert_eq!(hss.authenticate(&mar("m", "service", SCSCF)), no(ExperimentalCode::UserUnknown));
}
