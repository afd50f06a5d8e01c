use proptest::prelude::*;

use super::*;

const DOCUMENT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- as a lab HSS sends it -->
<IMSSubscription xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="CxDataType.xsd">
  <PrivateID>001010000000001@ims.mnc001.mcc001.3gppnetwork.org</PrivateID>
  <ServiceProfile>
    <PublicIdentity>
      <BarringIndication>1</BarringIndication>
      <Identity>sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org</Identity>
      <Extension><IdentityType>0</IdentityType><Extension><DisplayName>A &amp; B</DisplayName>
        <Extension><ServiceLevelTraceInfo>1</ServiceLevelTraceInfo></Extension></Extension></Extension>
    </PublicIdentity>
    <PublicIdentity><Identity>sip:psi@home.example</Identity><Extension><IdentityType>1</IdentityType></Extension></PublicIdentity>
    <PublicIdentity><Identity>sip:a&#38;b@home.example</Identity><Unknown><Identity>no</Identity></Unknown></PublicIdentity>
    <PublicIdentity><BarringIndication>0</BarringIndication><Identity>tel:+4912345</Identity></PublicIdentity>
    <InitialFilterCriteria><Priority>0</Priority><ApplicationServer><ServerName>sip:as</ServerName></ApplicationServer></InitialFilterCriteria>
    <CoreNetworkServicesAuthorization><SubscribedMediaProfileId>0</SubscribedMediaProfileId></CoreNetworkServicesAuthorization>
    <Extension><SharedIFCSetID>1</SharedIFCSetID></Extension>
  </ServiceProfile>
</IMSSubscription>"#;

#[test]
fn cx_13_nested_extensions_and_unknown_elements() {
    let data = UserData::from_xml(DOCUMENT.as_bytes()).unwrap();
    let identities: Vec<_> = data.identities().map(|id| (id.identity.as_str(), id.barred, id.kind)).collect();
    assert_eq!(
        identities,
        [
            ("sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org", true, IdentityType::DistinctUser),
            ("sip:psi@home.example", false, IdentityType::DistinctService),
            ("sip:a&b@home.example", false, IdentityType::DistinctUser),
            ("tel:+4912345", false, IdentityType::DistinctUser),
        ]
    );
    let criteria = &data.profiles[0].filter_criteria;
    assert_eq!(criteria.len(), 1);
    assert!(criteria[0].xml.starts_with(b"<InitialFilterCriteria><Priority>0<"));
    assert!(criteria[0].xml.ends_with(b"</InitialFilterCriteria>"));
}

#[test]
fn cx_13_default_is_the_first_distinct_identity_that_is_not_barred() {
    let data = UserData::from_xml(DOCUMENT.as_bytes()).unwrap();
    assert_eq!(data.default_impu().unwrap().as_str(), "sip:a&b@home.example");
}

#[test]
fn hostile_documents_are_refused() {
    let deep = format!("<IMSSubscription>{}", "<a>".repeat(15_000));
    let cases = [
        "",
        "not xml",
        "<IMSSubscription>",
        "<IMSSubscription/>",
        "<Other></Other>",
        "<IMSSubscription></IMSSubscription>",
        "<IMSSubscription><PrivateID>a@b</PrivateID></IMSSubscription>",
        "<IMSSubscription><PrivateID>a b</PrivateID></IMSSubscription>",
        "<!DOCTYPE x [<!ENTITY e \"x\">]><IMSSubscription><PrivateID>a@b</PrivateID></IMSSubscription>",
        "<IMSSubscription><PrivateID>&e;@b</PrivateID></IMSSubscription>",
        "<IMSSubscription><PrivateID>a@b</PrivateID><ServiceProfile></IMSSubscription>",
        "<IMSSubscription><PrivateID>a@b</PrivateID><ServiceProfile><PublicIdentity></PublicIdentity></ServiceProfile></IMSSubscription>",
        "<IMSSubscription><PrivateID>a@b</PrivateID><ServiceProfile><PublicIdentity><Identity>x</Identity></PublicIdentity></ServiceProfile></IMSSubscription>",
        &deep,
    ];
    for case in cases {
        assert!(UserData::from_xml(case.as_bytes()).is_err(), "{:.80}", case);
    }
    assert!(UserData::from_xml(&[0xff, 0xfe]).is_err());
    let large = " ".repeat(UserData::LARGEST + 1);
    assert_eq!(UserData::from_xml(large.as_bytes()), Err(CxError::UserDataTooLarge));
}

fn identity() -> impl Strategy<Value = PublicIdentity> {
    ("sip:[a-z0-9&;.]{1,12}@[a-z.]{1,12}", any::<bool>(), 0u8..6).prop_filter_map(
        "no identity",
        |(uri, barred, kind)| {
            Some(PublicIdentity {
                identity: Impu::new(&uri).ok()?,
                barred,
                kind: IdentityType::from_code(kind),
            })
        },
    )
}

fn profile() -> impl Strategy<Value = ServiceProfile> {
    (proptest::collection::vec(identity(), 1..5), 0usize..3).prop_map(|(identities, count)| {
        let xml = b"<InitialFilterCriteria><Priority>1</Priority></InitialFilterCriteria>".to_vec();
        ServiceProfile { identities, filter_criteria: vec![FilterCriteria { xml }; count] }
    })
}

proptest! {
    #[test]
    fn document_round_trip(profiles in proptest::collection::vec(profile(), 1..4)) {
        let data = UserData { private_id: Impi::new("a&b@c.d").unwrap(), profiles };
        prop_assert_eq!(UserData::from_xml(&data.to_xml()), Ok(data));
    }

    #[test]
    fn reading_never_panics(cut in 0usize..2000, replace in any::<u8>(), at in 0usize..2000) {
        let mut xml = DOCUMENT.as_bytes().to_vec();
        if let Some(octet) = xml.get_mut(at) { *octet = replace; }
        xml.truncate(cut);
        let _ = UserData::from_xml(&xml);
    }
}
