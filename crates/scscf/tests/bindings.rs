//! Several contacts of one private identity, several devices, several identities.

mod net;

use net::subscriber::Subscribe;
use net::{IMPU, Net, Register, TEL, config};
use scscf::Reauthenticate;
use sip::reginfo::ContactEvent;
use sip::{Name, NameAddr};
use std::time::Duration;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const PHONE: &str = "<sip:10.9.0.2:7002>;+sip.instance=\"<urn:uuid:1>\";reg-id=1";
const TABLET: &str = "<sip:10.9.0.3:7002>;+sip.instance=\"<urn:uuid:2>\";reg-id=1";

/// A device with flows; the P-CSCF says ob.
fn device(call_id: &str, contact: &str) -> Register {
    let path = Some("<sip:term@pcscf.visited.example;lr;ob>");
    Register { call_id: call_id.into(), contact: contact.into(), path, ..Register::first() }
}

/// Registers and gives the REGISTER that did it.
fn register(net: &mut Net, first: &Register) -> Register {
    let challenge = net.register(first);
    assert_eq!(challenge.status(), Some(401));
    let second = net.protected(first, &challenge);
    assert_eq!(net.register(&second).status(), Some(200));
    second
}

fn contacts(net: &Net) -> Vec<String> {
    let users = net.scscf.registrations(net.now);
    let uris = users.flat_map(|user| user.contacts);
    let mut uris: Vec<String> =
        uris.map(|contact| NameAddr::parse(&contact.contact).unwrap().uri.to_owned()).collect();
    uris.sort();
    uris
}

#[test]
fn one_impi_on_two_devices_with_flows_side_by_side() {
    let mut net = Net::new(config());
    register(&mut net, &device("phone", PHONE));
    net.watched();
    let first = device("tablet", TABLET);
    let challenge = net.register(&first);
    let second = net.protected(&first, &challenge);
    let ok = net.register(&second);
    let told: Vec<_> = ok.values(Name::Contact).map(|one| NameAddr::parse(one).unwrap().uri).collect();
    assert_eq!(told, ["sip:10.9.0.2:7002", "sip:10.9.0.3:7002"], "all contacts of the identity");
    assert_eq!(ok.first(Name::Require), Some("outbound"));
    let news = net.take_notifies("sub-ue").remove(0);
    assert_eq!(news.events(), [("sip:10.9.0.3:7002", ContactEvent::Registered)], "and nothing of the phone");
    let full = net.subscribe(&Subscribe { call_id: "late".into(), ..Subscribe::of_ue() });
    assert_eq!(full.status(), Some(200));
    assert_eq!(net.take_notifies("late")[0].aors[1].2.len(), 2);
}

#[test]
fn each_contact_ends_alone_and_the_last_ends_the_registration() {
    let mut net = Net::new(config());
    let phone = register(&mut net, &device("phone", PHONE));
    let tablet = register(&mut net, &device("tablet", TABLET));
    net.watched();
    net.asked.clear();
    let ok = net.register(&Register { expires: Some(0), ..phone.next() });
    assert_eq!(ok.status(), Some(200));
    assert_eq!(ok.values(Name::Contact).count(), 1);
    assert_eq!(contacts(&net), ["sip:10.9.0.3:7002"]);
    assert!(net.asked.is_empty(), "the user stays registered at the HSS");
    let told = net.take_notifies("sub-ue").remove(0);
    assert_eq!(
        (told.state.as_str(), told.events()),
        ("active", vec![("sip:10.9.0.2:7002", ContactEvent::Unregistered)])
    );
    assert!(told.aors.iter().all(|(_, state, _)| state == "active"));
    assert_eq!(net.register(&Register { expires: Some(0), ..phone.next().next() }).status(), Some(481));
    assert_eq!(net.register(&Register { expires: Some(0), ..tablet.next() }).status(), Some(200));
    assert_eq!(net.asked, ["UserDeregistration"]);
    assert_eq!(net.take_notifies("sub-ue").remove(0).state, "noresource");
}

#[test]
fn reg_19_star_ends_all_contacts_and_all_three_identities_of_the_set() {
    let mut net = Net::new(config());
    register(&mut net, &device("phone", PHONE));
    let tablet = register(&mut net, &device("tablet", TABLET));
    net.watched();
    let ok = net.register(&Register { contact: "*".into(), expires: Some(0), ..tablet.next() });
    assert_eq!((ok.status(), ok.first(Name::Contact)), (Some(200), None));
    let told = net.take_notifies("sub-ue").remove(0);
    let aors = told.aors.iter().map(|(aor, state, contacts)| (aor.as_str(), state.as_str(), contacts.len()));
    assert_eq!(
        aors.collect::<Vec<_>>(),
        [(IMPU, "terminated", 2), (TEL, "terminated", 2)],
        "not the barred one"
    );
    assert_eq!(net.scscf.registered(), 0);
    // No identity of the set is left, whichever is asked for.
    for uri in [IMPU, TEL, "sip:barred@ims.mnc001.mcc001.3gppnetwork.org"] {
        let answer = net.subscribe(&Subscribe { uri: uri.into(), ..Subscribe::of_ue() });
        assert_eq!(answer.status(), Some(404), "{uri}");
    }
    net.advance(seconds(700_000));
    assert_eq!(net.wait, None);
}

#[test]
fn reg_19_one_registration_serves_the_set_and_any_identity_of_it_ends_it() {
    let mut net = Net::new(config());
    let second = net.registered();
    let by_tel = Register { impu: TEL.into(), expires: Some(0), ..second.next() };
    assert_eq!(net.register(&by_tel).status(), Some(200));
    assert_eq!(net.scscf.registered(), 0);
    assert_eq!(net.asked, ["MAR", "Registration", "UserDeregistration"]);
}

#[test]
fn the_ends_of_contacts_come_each_in_its_time() {
    let mut net = Net::new(config());
    register(&mut net, &Register { expires: Some(1000), ..device("phone", PHONE) });
    register(&mut net, &Register { expires: Some(5000), ..device("tablet", TABLET) });
    net.watched();
    net.asked.clear();
    net.advance(seconds(1030));
    assert_eq!((contacts(&net), net.asked.len()), (vec!["sip:10.9.0.3:7002".to_owned()], 0));
    let told = net.take_notifies("sub-ue").remove(0);
    assert_eq!(
        (told.state.as_str(), told.events()),
        ("active", vec![("sip:10.9.0.2:7002", ContactEvent::Expired)])
    );
    net.advance(seconds(4000));
    assert_eq!(net.asked, ["TimeoutDeregistration"]);
}

#[test]
fn without_reg_id_a_new_contact_of_the_impi_replaces_the_old_one() {
    let mut net = Net::new(config());
    net.registered();
    net.watched();
    let other =
        Register { call_id: "new".into(), contact: "<sip:10.9.0.9:7002>".into(), ..Register::first() };
    register(&mut net, &other);
    assert_eq!(contacts(&net), ["sip:10.9.0.9:7002"]);
    let told = net.take_notifies("sub-ue").remove(0);
    let events =
        [("sip:10.9.0.2:7002", ContactEvent::Deactivated), ("sip:10.9.0.9:7002", ContactEvent::Registered)];
    assert_eq!((told.state.as_str(), told.events()), ("active", events.to_vec()));
    net.advance(seconds(600_030));
    assert_eq!(net.asked.last().map(String::as_str), Some("TimeoutDeregistration"), "one end, not two");
    assert_eq!(net.asked.iter().filter(|asked| asked.starts_with("Timeout")).count(), 1);
}

#[test]
fn the_same_flow_with_another_address_takes_its_own_place_only() {
    let mut net = Net::new(config());
    register(&mut net, &device("phone", PHONE));
    register(&mut net, &device("tablet", TABLET));
    let moved = device("moved", &PHONE.replace("10.9.0.2", "10.9.0.22"));
    register(&mut net, &moved);
    assert_eq!(contacts(&net), ["sip:10.9.0.22:7002", "sip:10.9.0.3:7002"]);
    // A device that gives up its flows leaves none behind, and no other device's.
    let plain = device("plain", "<sip:10.9.0.22:7002>;+sip.instance=\"<urn:uuid:1>\"");
    register(&mut net, &plain);
    assert_eq!(contacts(&net), ["sip:10.9.0.22:7002", "sip:10.9.0.3:7002"]);
    // And back.
    register(&mut net, &device("back", PHONE));
    assert_eq!(contacts(&net), ["sip:10.9.0.2:7002", "sip:10.9.0.3:7002"]);
}

#[test]
fn sip_13_cseq_and_call_id_count_for_each_contact() {
    let mut net = Net::new(scscf::Config { reauthenticate: Reauthenticate::Never, ..config() });
    let phone = register(&mut net, &device("shared", PHONE));
    let tablet = register(&mut net, &Register { cseq: 8, ..device("shared", TABLET) });
    assert_eq!(
        net.register(&phone.next()).status(),
        Some(200),
        "the tablet's higher CSeq is not the phone's"
    );
    assert_eq!(net.register(&Register { branch: None, ..tablet.clone() }).status(), Some(500));
    let star = Register { contact: "*".into(), expires: Some(0), ..phone.next().next() };
    assert_eq!(net.register(&star).status(), Some(500), "it would end the tablet's contact out of order");
    assert_eq!(contacts(&net).len(), 2);
}

#[test]
fn a_protected_register_with_a_new_flow_is_challenged() {
    let mut net = Net::new(scscf::Config { reauthenticate: Reauthenticate::Never, ..config() });
    let phone = register(&mut net, &device("phone", PHONE));
    let second_flow = PHONE.replace("reg-id=1", "reg-id=2").replace("7002", "7003");
    let first = Register { call_id: "flow-2".into(), contact: second_flow, ..phone.next() };
    register(&mut net, &first);
    assert_eq!(contacts(&net), ["sip:10.9.0.2:7002", "sip:10.9.0.2:7003"]);
}

#[test]
fn reg_8_more_contacts_than_allowed_are_refused() {
    let mut net = Net::new(config());
    for n in 1..=4 {
        register(
            &mut net,
            &device(
                &format!("d{n}"),
                &PHONE.replace("uuid:1", &format!("uuid:{n}")).replace("0.2", &format!("0.{n}")),
            ),
        );
    }
    let fifth = device("d5", &PHONE.replace("uuid:1", "uuid:5"));
    let mars = net.mars();
    assert_eq!(net.register(&fifth).status(), Some(403));
    assert_eq!((net.mars(), contacts(&net).len()), (mars, 4));
    let again = device("d1-again", &PHONE.replace("0.2", "0.1"));
    register(&mut net, &again);
    assert_eq!(contacts(&net).len(), 4);
}

#[test]
fn reg_id_needs_ob_in_the_first_hops_path() {
    let mut net = Net::new(config());
    for (path, status) in [
        ("<sip:term@pcscf.visited.example;lr>", 439),
        ("<sip:ibcf.example;lr;ob>, <sip:term@pcscf.visited.example;lr>", 439),
        ("<sip:ibcf.example;lr>, <sip:term@pcscf.visited.example;lr;ob>", 401),
    ] {
        let refused = net.register(&Register { path: Some(path), ..device("phone", PHONE) });
        assert_eq!(refused.status(), Some(status), "{path}");
    }
    // Without +sip.instance a reg-id means nothing.
    let nameless = Register { contact: "<sip:10.9.0.2:7002>;reg-id=1".into(), ..Register::first() };
    assert_eq!(net.register(&nameless).status(), Some(401));
}

#[test]
fn a_profile_that_changes_with_a_re_registration_is_told_as_a_whole() {
    let mut net = Net::new(config());
    let second = net.registered();
    net.subscribe(&Subscribe { uri: TEL.into(), asserted: Some(format!("<{TEL}>")), ..Subscribe::of_ue() });
    net.notifies.clear();
    net.hss.barred = true;
    let third = second.next();
    register(&mut net, &third);
    let told = net.take_notifies("sub-ue").remove(0);
    assert!(told.full);
    assert_eq!(told.aors.iter().map(|aor| aor.0.as_str()).collect::<Vec<_>>(), [TEL]);
}
