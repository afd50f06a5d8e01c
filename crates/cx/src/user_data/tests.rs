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

const TWO_PROFILES: &str = r#"<IMSSubscription><PrivateID>a@home.example</PrivateID>
  <ServiceProfile>
    <PublicIdentity><BarringIndication>1</BarringIndication><Identity>sip:barred@home.example</Identity></PublicIdentity>
    <PublicIdentity><Identity>sip:service@home.example</Identity><Extension><IdentityType>1</IdentityType></Extension></PublicIdentity>
    <PublicIdentity><Identity>room !.*! any</Identity><Extension><IdentityType>2</IdentityType></Extension></PublicIdentity>
    <PublicIdentity><Identity>+49!.*!</Identity><Extension><IdentityType>4</IdentityType></Extension></PublicIdentity>
    <InitialFilterCriteria><Priority>1</Priority></InitialFilterCriteria>
    <CoreNetworkServicesAuthorization><SubscribedMediaProfileId>7</SubscribedMediaProfileId></CoreNetworkServicesAuthorization>
    <Extension><SharedIFCSetID>3</SharedIFCSetID><SharedIFCSetID>5</SharedIFCSetID><Extension><New>x</New></Extension></Extension>
  </ServiceProfile>
  <ServiceProfile>
    <PublicIdentity><Identity>sip:other@home.example</Identity><Extension><IdentityType>3</IdentityType></Extension></PublicIdentity>
    <PublicIdentity><Identity>sip:first@home.example</Identity></PublicIdentity>
  </ServiceProfile>
</IMSSubscription>"#;

/// CX-13: the profiles of one document are one implicit set.
#[test]
fn cx_13_default_over_all_profiles() {
    let data = UserData::from_xml(TWO_PROFILES.as_bytes()).unwrap();
    assert_eq!(data.identities().count(), 4);
    assert_eq!(data.default_impu().unwrap().as_str(), "sip:first@home.example");
    let kinds: Vec<_> = data.identities().map(|id| id.kind.code()).collect();
    assert_eq!(kinds, [0, 1, 3, 0]);
}

#[test]
fn cx_13_what_is_no_identity_is_kept() {
    let data = UserData::from_xml(TWO_PROFILES.as_bytes()).unwrap();
    let profile = &data.profiles[0];
    let wildcards: Vec<_> = profile.wildcards.iter().map(|w| (w.text.as_str(), w.kind)).collect();
    assert_eq!(
        wildcards,
        [("room !.*! any", IdentityType::WildcardService), ("+49!.*!", IdentityType::WildcardUser)]
    );
    assert_eq!(profile.shared_ifc_sets, [3, 5]);
    let authorization = profile.core_network_services.as_deref().unwrap();
    assert!(authorization.starts_with(b"<CoreNetworkServicesAuthorization><Sub"));
    assert!(authorization.ends_with(b"</CoreNetworkServicesAuthorization>"));
    let written = data.to_xml();
    assert_eq!(UserData::from_xml(&written).unwrap(), data);
    // The order of the schema.
    let text = String::from_utf8(written).unwrap();
    let places = ["<PublicIdentity>", "<InitialFilter", "<CoreNetwork", "<Extension><SharedIFC"]
        .map(|tag| text.find(tag).unwrap());
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn cx_13_criteria_are_summed_up() {
    let xml = r#"<InitialFilterCriteria>
      <Priority>10</Priority>
      <TriggerPoint><ConditionTypeCNF>1</ConditionTypeCNF>
        <SPT><ConditionNegated>0</ConditionNegated><Group>0</Group><Method>INVITE</Method><Extension/></SPT>
        <SPT><ConditionNegated>0</ConditionNegated><Group>0</Group><Group>1</Group><Method>MESSAGE</Method></SPT>
        <SPT><ConditionNegated>1</ConditionNegated><Group>1</Group><SIPHeader><Header>Event</Header><Content>.*presence.*</Content></SIPHeader></SPT>
        <SPT><Group>2</Group><SessionCase>0</SessionCase></SPT>
        <SPT><Group>3</Group><RequestURI>sip:a&#10;b@c</RequestURI></SPT>
        <SPT><Group>3</Group><SessionDescription><Line>m</Line><Content>video</Content></SessionDescription></SPT>
      </TriggerPoint>
      <ApplicationServer><ServerName>sip:as.home.example:5065</ServerName><DefaultHandling>1</DefaultHandling><ServiceInfo>x &lt; y</ServiceInfo></ApplicationServer>
      <ProfilePartIndicator>0</ProfilePartIndicator></InitialFilterCriteria>"#;
    let summary = FilterCriteria { xml: xml.as_bytes().to_vec() }.summary();
    assert_eq!(summary.priority, Some(10));
    assert_eq!(summary.application_server.as_deref(), Some("sip:as.home.example:5065"));
    assert_eq!(summary.default_handling, Some(DefaultHandling::SessionTerminated));
    assert_eq!(summary.service_info.as_deref(), Some("x < y"));
    assert_eq!(
        summary.to_string(),
        "10: (method INVITE or method MESSAGE) and (method MESSAGE or not header Event = \".*presence.*\") \
         and originating, registered and (request-URI sip:a b@c or SDP line m = \"video\") \
         -> sip:as.home.example:5065, or the session ends"
    );
    let dnf = xml.replace("<ConditionTypeCNF>1<", "<ConditionTypeCNF>0<");
    let trigger = FilterCriteria { xml: dnf.into_bytes() }.summary().trigger.unwrap();
    assert!(
        trigger.starts_with("(method INVITE and method MESSAGE) or (method MESSAGE and not"),
        "{trigger}"
    );
}

#[test]
fn cx_13_criteria_that_cannot_be_read_harm_nothing() {
    for (inside, shown) in [
        ("", "?: everything -> ?"),
        ("<Priority>many</Priority>", "?: everything -> ?"),
        (
            "<Priority>1</Priority><TriggerPoint><SPT><Method>&e;</Method></SPT></TriggerPoint>",
            "1: everything -> ?",
        ),
        (
            "<Priority>1</Priority><TriggerPoint><SPT><New>1</New></SPT></TriggerPoint>",
            "1: something unknown -> ?",
        ),
    ] {
        let xml = TWO_PROFILES.replace("<Priority>1</Priority>", inside);
        let data = UserData::from_xml(xml.as_bytes()).unwrap();
        assert_eq!(data.profiles[0].filter_criteria[0].summary().to_string(), shown);
    }
    assert_eq!(FilterCriteria { xml: vec![0xff] }.summary(), CriteriaSummary::default());
}

/// Found by fuzzing: what is kept verbatim was cut out three octets too early.
#[test]
fn a_byte_order_mark_moves_nothing() {
    for marks in 1..4 {
        let marked = format!("{}{TWO_PROFILES}", "\u{feff}".repeat(marks));
        assert_eq!(UserData::from_xml(marked.as_bytes()), UserData::from_xml(TWO_PROFILES.as_bytes()));
    }
}

#[test]
fn too_many_identities_or_criteria_are_refused() {
    let of = |inside: &str, count: usize| {
        let profile = format!("<ServiceProfile>{}</ServiceProfile>", inside.repeat(count));
        let start = "<IMSSubscription><PrivateID>a@b</PrivateID><ServiceProfile><PublicIdentity><Identity>sip:a@b</Identity></PublicIdentity></ServiceProfile>";
        UserData::from_xml(format!("{start}{profile}</IMSSubscription>").as_bytes())
    };
    let identity = "<PublicIdentity><Identity>sip:a@b</Identity></PublicIdentity>";
    assert!(of(identity, 499).is_ok());
    assert_eq!(of(identity, 500), Err(CxError::UserDataTooMany));
    let criteria = "<InitialFilterCriteria></InitialFilterCriteria>";
    assert!(of(criteria, 500).is_ok());
    assert_eq!(of(criteria, 501), Err(CxError::UserDataTooMany));
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
        ServiceProfile {
            identities,
            filter_criteria: vec![FilterCriteria { xml }; count],
            ..ServiceProfile::default()
        }
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

#[test]
fn prv_10_anonymity_is_written_and_read() {
    for word in ["none", "id", "user", "both"] {
        let anonymity = Anonymity::parse(word).unwrap();
        let identity = PublicIdentity {
            identity: Impu::new("sip:a@home.example").unwrap(),
            barred: false,
            kind: IdentityType::DistinctUser,
        };
        let profile = ServiceProfile { identities: vec![identity], anonymity, ..ServiceProfile::default() };
        let data = UserData { private_id: Impi::new("a@home.example").unwrap(), profiles: vec![profile] };
        let xml = data.to_xml();
        assert_eq!(xml.windows(9).any(|part| part == b"Anonymity"), word != "none");
        assert_eq!(UserData::from_xml(&xml).unwrap(), data);
    }
    assert_eq!(Anonymity::parse("BOTH"), None);
}
