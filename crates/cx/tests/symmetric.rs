//! What the HSS asks of its own accord, over the connections the CSCFs have opened.

use std::sync::Arc;
use std::time::Duration;

use aka::Impi;
use cx::{
    Answer, AnswerWith, BaseCode, ClientConfig, DiameterClient, LinkError, Origin, PeerLink, Peers,
    PushProfileRequest, ReasonCode, RegistrationTermination, RegistrationTerminationRequest, Request, Server,
    ServerConfig,
};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(20);

/// Answers RTR with its own name as the associated identity, and PPR only when it is told to.
struct Cscf {
    name: &'static str,
    held: std::sync::Mutex<Vec<AnswerWith>>,
}

impl Server for Cscf {
    fn handle(&self, from: &Origin, request: Request, answer: AnswerWith) {
        assert_eq!(from.host, "hss.home.example");
        match request {
            Request::Rtr(_) => answer(Answer::Rta(Ok(RegistrationTermination {
                associated: vec![Impi::new(&format!("{}@home.example", self.name)).unwrap()],
            }))),
            Request::Ppr(_) => self.held.lock().unwrap().push(answer),
            other => panic!("{}", other.name()),
        }
    }
}

struct Nobody;

impl Server for Nobody {
    fn handle(&self, _: &Origin, request: Request, answer: AnswerWith) {
        answer(request.refused(BaseCode::UnableToComply));
    }
}

fn origin(host: &str) -> Origin {
    Origin { host: format!("{host}.home.example"), realm: "home.example".into() }
}

fn rtr() -> Request {
    Request::Rtr(RegistrationTerminationRequest {
        impi: Impi::new("a@home.example").unwrap(),
        impus: Vec::new(),
        associated: Vec::new(),
        reason: ReasonCode::PermanentTermination,
        info: None,
    })
}

fn ppr() -> Request {
    Request::Ppr(PushProfileRequest { impi: Impi::new("a@home.example").unwrap(), user_data: None })
}

fn ask(peers: &Peers, to: &str, request: Request) -> oneshot::Receiver<Result<Answer, LinkError>> {
    let (tell, told) = oneshot::channel();
    peers.call(&origin(to), request, Box::new(move |answer| drop(tell.send(answer))));
    told
}

async fn answer_of(told: oneshot::Receiver<Result<Answer, LinkError>>) -> Result<Answer, LinkError> {
    timeout(LONG, told).await.expect("the reply must be called").expect("exactly once")
}

#[tokio::test]
async fn cx_1_the_hss_reaches_each_cscf_by_its_name() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let peers = Peers::new(ServerConfig::new(origin("hss")));
    assert_eq!(answer_of(ask(&peers, "s1", rtr())).await, Err(LinkError::NotConnected), "before it serves");
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = {
        let peers = peers.clone();
        tokio::spawn(async move {
            let until = async {
                let _ = stopped.await;
            };
            peers.serve(vec![listener], Arc::new(Nobody), until).await;
        })
    };
    let mut clients = Vec::new();
    for name in ["s1", "s2"] {
        let cscf = Arc::new(Cscf { name, held: std::sync::Mutex::default() });
        let config = ClientConfig::new(origin(name), address, "home.example".into());
        let client = DiameterClient::start_with_server(config, Arc::clone(&cscf) as Arc<dyn Server>);
        timeout(LONG, client.wait_until_connected()).await.unwrap();
        clients.push((client, cscf));
    }
    for name in ["s1", "s2", "S2"] {
        let expected = vec![Impi::new(&format!("{}@home.example", name.to_lowercase())).unwrap()];
        match answer_of(ask(&peers, name, rtr())).await {
            Ok(Answer::Rta(Ok(rta))) => assert_eq!(rta.associated, expected),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(answer_of(ask(&peers, "s3", rtr())).await, Err(LinkError::NotConnected));

    // Answers go out as they come, in any order; one that never comes is UNABLE_TO_COMPLY.
    let asked: Vec<_> = (0..3).map(|_| ask(&peers, "s1", ppr())).collect();
    let held = loop {
        let held = std::mem::take(&mut *clients[0].1.held.lock().unwrap());
        if held.len() == 3 {
            break held;
        }
        clients[0].1.held.lock().unwrap().extend(held);
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(matches!(answer_of(ask(&peers, "s1", rtr())).await, Ok(Answer::Rta(Ok(_)))), "overtakes");
    for (number, answer) in held.into_iter().enumerate().rev() {
        if number > 0 {
            answer(Answer::Ppa(Ok(())));
        }
    }
    let mut answers = Vec::new();
    for told in asked {
        answers.push(answer_of(told).await.unwrap());
    }
    let refused = Answer::Ppa(Err(BaseCode::UnableToComply.into()));
    assert_eq!(answers, [refused, Answer::Ppa(Ok(())), Answer::Ppa(Ok(()))]);

    stop.send(()).unwrap();
    timeout(LONG, serving).await.expect("serve must end").unwrap();
    assert_eq!(
        answer_of(ask(&peers, "s1", rtr())).await,
        Err(LinkError::NotConnected),
        "after it has served"
    );
}

#[tokio::test]
async fn cx_1_a_client_without_a_server_refuses() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let peers = Peers::new(ServerConfig::new(origin("hss")));
    let serving = peers.clone();
    tokio::spawn(
        async move { serving.serve(vec![listener], Arc::new(Nobody), std::future::pending()).await },
    );
    let client = DiameterClient::start(ClientConfig::new(origin("s1"), address, "home.example".into()));
    timeout(LONG, client.wait_until_connected()).await.unwrap();
    let refused = Err(LinkError::Protocol(BaseCode::CommandUnsupported));
    assert_eq!(answer_of(ask(&peers, "s1", rtr())).await, refused);
}
