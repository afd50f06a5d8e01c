//! The control socket of a running S-CSCF: real sockets, no HSS.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cx::{Link, LinkError, Request as CxRequest, ServerName};
use node::Shutdown;
use node::control::{AskError, ask};
use scscf::Config;
use scscf::control::{How, List, Request};
use scscf::shell::Shell;

/// An HSS that is never there.
#[derive(Debug)]
struct Nowhere;

impl Link for Nowhere {
    fn call(&self, _request: CxRequest, reply: cx::Reply) {
        reply(Err(LinkError::NotConnected));
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

fn with(client: impl FnOnce(PathBuf) + Send + 'static) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scscf.sock");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let name = ServerName::new("sip:scscf.home.example:6060").unwrap();
        let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let shell = Shell::start(Config::new(name, "home.example"), free, Arc::new(Nowhere)).unwrap();
        let shell = shell.with_control(&path).unwrap();
        let (handle, shutdown) = Shutdown::new();
        let at = path.clone();
        let thread = std::thread::spawn(move || {
            client(at);
            handle.trigger();
        });
        shell.run(shutdown).await.unwrap();
        thread.join().unwrap();
    });
    assert!(!path.exists(), "the socket goes with the daemon");
}

#[test]
fn an_operator_gets_lists_and_clear_refusals() {
    with(|path| {
        let list = ask(&path, &Request::List { user: None, most: None }, PATIENCE).unwrap();
        let list: List = serde_json::from_value(list).unwrap();
        assert_eq!(list, List { registered: 0, users: Vec::new() });
        let user = || "nobody@home.example".to_owned();
        let refused = |request: &Request| match ask(&path, request, PATIENCE) {
            Err(AskError::Refused(why)) => why,
            other => panic!("{other:?}"),
        };
        let unknown = "find the user among those registered here";
        let deregister = |user, retry_after| Request::Deregister { user, how: How::Rejected, retry_after };
        assert_eq!(&*refused(&deregister(user(), None)), unknown);
        assert_eq!(&*refused(&Request::Reauthenticate { user: user(), expires: 60 }), unknown);
        assert!(refused(&deregister("x".into(), None)).starts_with("read the user"));
        assert!(refused(&deregister(user(), Some(1))).starts_with("use retry_after"));
    });
}
