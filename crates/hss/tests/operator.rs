//! An operator at the control socket of a running HSS, and an S-CSCF that hears of it over Diameter.

mod process;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use aka::{Impi, Impu, Sqn};
use cx::{
    Answer, AnswerWith, BaseCode, ClientConfig, DiameterClient, ExperimentalCode, Link, Origin, ReasonCode,
    Request, Server, ServerAssignmentRequest, ServerAssignmentType, ServerName,
};
use hss::control::{Change, Existing, Reason, Request as Asked, Row};
use node::control::{AskError, ask};
use process::{Daemon, K1, LONG, OPC};
use serde_json::Value;
use tokio::time::timeout;

const IMPI: &str = "alice@home.example";
const IMPU: &str = "sip:alice@home.example";
const TEL: &str = "tel:+15550100";

/// An S-CSCF that agrees to everything, and remembers it.
#[derive(Default)]
struct SCscf(Mutex<Vec<Request>>);

impl Server for SCscf {
    fn handle(&self, _from: &Origin, request: Request, answer: AnswerWith) {
        let done = match &request {
            Request::Rtr(rtr) if rtr.info.as_deref() == Some("refuse") => {
                request.refused(ExperimentalCode::UserUnknown)
            }
            Request::Rtr(_) => Answer::Rta(Ok(cx::RegistrationTermination::default())),
            Request::Ppr(_) => Answer::Ppa(Ok(())),
            other => other.refused(BaseCode::UnableToComply),
        };
        self.0.lock().unwrap().push(request);
        answer(done);
    }
}

async fn operate(socket: &Path, request: Asked) -> Result<Value, AskError> {
    let socket: PathBuf = socket.to_owned();
    tokio::task::spawn_blocking(move || ask(&socket, &request, LONG)).await.unwrap()
}

fn add(rows: &[String], existing: Existing) -> Asked {
    let rows = (2..).zip(rows).map(|(line, text)| Row { line, text: text.clone().into() });
    Asked::Add { header: "impi,k,opc,impus".into(), rows: rows.collect(), existing }
}

async fn register(client: &DiameterClient) {
    let sar = ServerAssignmentRequest {
        impi: Some(Impi::new(IMPI).unwrap()),
        impus: vec![Impu::new(IMPU).unwrap()],
        server_name: ServerName::new("sip:scscf.home.example").unwrap(),
        assignment: ServerAssignmentType::Registration,
        user_data_already_available: false,
        restoration: None,
    };
    let (tell, told) = tokio::sync::oneshot::channel();
    client.call(Request::Sar(sar), Box::new(move |answer| drop(tell.send(answer))));
    let answer = timeout(LONG, told).await.unwrap().unwrap();
    assert!(matches!(answer, Ok(Answer::Saa(Ok(_)))), "{answer:?}");
}

/// CX-9, CX-10: each operation, its effect at the HSS, and what the S-CSCF hears.
#[tokio::test]
async fn cx_9_cx_10_an_operator_changes_and_the_s_cscf_hears() {
    let folder = tempfile::tempdir().unwrap();
    let config = process::write_files(folder.path(), &process::subscribers(1));
    let socket = folder.path().join("hss.sock");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}control = {:?}\n", socket.display().to_string())).unwrap();
    let daemon = Daemon::start(&config);
    let origin = Origin { host: "scscf.home.example".into(), realm: "home.example".into() };
    let s_cscf = Arc::new(SCscf::default());
    let server: Arc<dyn Server> = s_cscf.clone();
    let client = DiameterClient::start_with_server(
        ClientConfig::new(origin, daemon.address(), "home.example".into()),
        server,
    );
    timeout(LONG, client.wait_until_connected()).await.unwrap();
    let heard = || std::mem::take(&mut *s_cscf.0.lock().unwrap());
    let operate = async |request| operate(&socket, request).await;
    let user = || IMPU.to_owned();
    let mut answers = String::new();

    let row = format!("{IMPI},{K1},{OPC},{IMPU} {TEL}");
    let added = operate(add(std::slice::from_ref(&row), Existing::Refuse)).await.unwrap();
    assert_eq!(added["added"], 1);
    let again = operate(add(std::slice::from_ref(&row), Existing::Refuse)).await;
    assert!(matches!(&again, Err(AskError::Refused(told)) if told.contains("alice")), "{again:?}");
    let wrong =
        operate(add(&[format!("{IMPI},{K1}0,{OPC},{IMPU}")], Existing::Keep)).await.unwrap_err().to_string();
    assert!(wrong.contains("line 2") && !wrong.contains(K1), "{wrong}");
    assert_eq!(operate(add(std::slice::from_ref(&row), Existing::Keep)).await.unwrap()["kept"], 1);

    register(&client).await;
    let shown = operate(Asked::Show { user: user() }).await.unwrap();
    answers.push_str(&shown.to_string());
    let states: Vec<_> =
        shown["public"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["registered", "registered"]);
    assert_eq!(shown["public"][0]["server_name"], "sip:scscf.home.example");

    // Another profile is pushed.
    let change = Change {
        bar: vec![TEL.into()],
        criteria: Some(
            "<InitialFilterCriteria><Priority>3</Priority><ApplicationServer><ServerName>sip:as@home.example</ServerName>\
             </ApplicationServer></InitialFilterCriteria>"
                .into(),
        ),
        ..Change::default()
    };
    let changed = operate(Asked::Change { user: user(), change }).await.unwrap();
    assert_eq!(changed["told"][0]["result"], "delivered");
    let heard_of = heard();
    let [Request::Ppr(ppr)] = &heard_of[..] else { panic!("{heard_of:?}") };
    let profile = ppr.user_data.as_ref().unwrap();
    let barred: Vec<_> =
        profile.identities().filter(|one| one.barred).map(|one| one.identity.as_str()).collect();
    assert_eq!((barred, profile.profiles[0].filter_criteria.len()), (vec![TEL], 1));
    let shown = operate(Asked::Show { user: user() }).await.unwrap();
    assert!(shown["sets"][0]["criteria"][0].as_str().unwrap().contains("sip:as@home.example"), "{shown}");

    // A registration ends, whatever the S-CSCF says to it.
    let deregister = |info: &str| Asked::Deregister {
        user: user(),
        reason: Reason::ServerChange,
        info: Some(info.into()),
    };
    let ended = operate(deregister("bye")).await.unwrap();
    assert_eq!(ended["told"][0]["result"], "delivered");
    let heard_of = heard();
    let [Request::Rtr(rtr)] = &heard_of[..] else { panic!("{heard_of:?}") };
    assert_eq!(
        (rtr.impi.as_str(), rtr.reason, rtr.info.as_deref()),
        (IMPI, ReasonCode::ServerChange, Some("bye"))
    );
    assert_eq!(
        operate(deregister("bye")).await.unwrap()["told"].as_array().unwrap().len(),
        0,
        "nothing is registered"
    );
    register(&client).await;
    let refused = operate(deregister("refuse")).await.unwrap();
    assert!(refused["told"][0]["result"].as_str().unwrap().starts_with("refused"), "{refused}");

    // The number the card has seen.
    let set =
        |user: &str| Asked::SetSqn { user: user.into(), sqn: Sqn::from_parts(500, 0).unwrap().to_string() };
    assert!(operate(set(IMPU)).await.is_err(), "a public identity has none");
    operate(set(IMPI)).await.unwrap();
    let vectors = process::vectors(&client, IMPI, 1).await.unwrap();
    let ak = process::algorithm().vector(vectors[0].rand, Sqn::default(), vectors[0].autn.amf());
    let masked = vectors[0].autn.as_bytes().iter().zip(ak.autn.as_bytes());
    let sqn: Vec<u8> = masked.take(6).map(|(one, other)| one ^ other).collect();
    assert_eq!(Sqn::from_bytes(sqn.try_into().unwrap()).seq(), 501);

    // All of them; and away.
    let listed = operate(Asked::List { after: None, most: 10 }).await.unwrap();
    answers.push_str(&listed.to_string());
    assert_eq!((listed["subscribers"].as_u64(), listed["users"].as_array().unwrap().len()), (Some(2), 2));
    let replaced = operate(add(&[format!("{IMPI},{K1},{OPC},{IMPU}")], Existing::Replace)).await.unwrap();
    assert_eq!(replaced["replaced"], 1);
    operate(Asked::Remove { user: user() }).await.unwrap();
    assert!(matches!(operate(Asked::Show { user: user() }).await, Err(AskError::Refused(_))));
    for key in [K1, OPC] {
        assert!(!answers.contains(key) && !daemon.log().contains(key), "no answer and no log shows a key");
    }
}
