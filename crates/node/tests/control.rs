//! The control socket, with real sockets.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use node::control::protocol::LONGEST_REQUEST;
use node::control::{AskError, Control, ControlError, ask, next};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase", deny_unknown_fields)]
enum Request {
    Double { number: u32 },
    Fail,
    Ignore,
}

fn listen(path: &Path) -> Result<Control<Request>, ControlError> {
    Control::listen(path)
}

async fn serve(control: Control<Request>) {
    let mut control = Some(control);
    loop {
        let asked = next(&mut control).await;
        match asked.request {
            Request::Double { number } => asked.reply.done(&(u64::from(number) * 2)),
            Request::Fail => asked.reply.refuse(&"do it"),
            Request::Ignore => drop(asked.reply),
        }
    }
}

/// Serves while `client` runs in a thread of its own.
fn with<T: Send + 'static>(client: impl FnOnce(PathBuf) -> T + Send + 'static) -> T {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sock");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let result = runtime.block_on(async {
        let control = listen(&path).unwrap();
        let serving = tokio::spawn(serve(control));
        let at = path.clone();
        let (sender, done) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let _ = sender.send(());
            client(at)
        });
        done.await.unwrap();
        while !thread.is_finished() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        serving.abort();
        let _ = serving.await;
        thread.join().unwrap()
    });
    assert!(!path.exists(), "the file goes with the socket");
    result
}

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn asks_and_answers() {
    with(|path| {
        assert_eq!(ask(&path, &Request::Double { number: 21 }, PATIENCE).unwrap(), 42);
        assert!(
            matches!(ask(&path, &Request::Fail, PATIENCE), Err(AskError::Refused(why)) if &*why == "do it")
        );
        assert!(matches!(ask(&path, &Request::Ignore, PATIENCE), Err(AskError::Refused(_))));
        assert!(matches!(ask(&path, &"nonsense", PATIENCE), Err(AskError::NotUnderstood(_))));
        assert_eq!(ask(&path, &Request::Double { number: 1 }, PATIENCE).unwrap(), 2);
    });
}

#[test]
fn only_the_owner_may_open_it() {
    with(|path| {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    });
}

#[test]
fn one_connection_may_ask_many_things_in_pieces() {
    with(|path| {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let line = b"{\"command\":\"double\",\"number\":4}\n{\"command\":\"dou";
        for piece in line.chunks(7) {
            stream.write_all(piece).unwrap();
        }
        stream.write_all(b"ble\",\"number\":5}\nnonsense\n").unwrap();
        let mut found = String::new();
        while found.matches('\n').count() < 3 {
            let mut chunk = [0; 64];
            let read = stream.read(&mut chunk).unwrap();
            found.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
        }
        let lines: Vec<&str> = found.lines().collect();
        assert_eq!(lines[0], "{\"outcome\":\"done\",\"result\":8}");
        assert_eq!(lines[1], "{\"outcome\":\"done\",\"result\":10}");
        assert!(lines[2].starts_with("{\"outcome\":\"malformed\""));
    });
}

#[test]
fn hostile_operators_harm_nobody_else() {
    with(|path| {
        // A line without an end.
        let mut endless = UnixStream::connect(&path).unwrap();
        endless.set_read_timeout(Some(PATIENCE)).unwrap();
        // The daemon may close while we still write.
        let _ = endless.write_all(&vec![b'x'; LONGEST_REQUEST + 8192]);
        let mut answer = Vec::new();
        let _ = endless.read_to_end(&mut answer);
        // Binary noise.
        let mut noise = UnixStream::connect(&path).unwrap();
        noise.write_all(&[0, 255, 10, 13, 10]).unwrap();
        drop(noise);
        // More connections than allowed: those over it are closed at once.
        let mut held: Vec<UnixStream> = (0..40).map(|_| UnixStream::connect(&path).unwrap()).collect();
        let closed = held.iter_mut().skip(16).all(|stream| {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            matches!(stream.read(&mut [0; 8]), Ok(0) | Err(_))
        });
        assert!(closed);
        drop(held);
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            // The places come back when the daemon has seen the ends.
            match ask(&path, &Request::Double { number: 3 }, PATIENCE) {
                Ok(result) => break assert_eq!(result, 6),
                Err(_) => assert!(std::time::Instant::now() < deadline),
            }
        }
    });
}

#[tokio::test]
async fn a_dead_daemons_socket_is_replaced_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sock");
    // Left behind: the file stays when a listener dies.
    drop(UnixListener::bind(&path).unwrap());
    let control = listen(&path).unwrap();
    assert!(matches!(listen(&path), Err(ControlError::InUse { .. })), "one that answers is not replaced");
    drop(control);
    assert!(!path.exists());

    fs::write(&path, "precious").unwrap();
    assert!(matches!(listen(&path), Err(ControlError::NoSocket { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    let nowhere = folder.path().join("none").join("a.sock");
    assert!(matches!(listen(&nowhere), Err(ControlError::Listen { .. })));
    let long = folder.path().join("x".repeat(120));
    assert!(matches!(listen(&long), Err(ControlError::Listen { .. })));
    assert!(matches!(ask(&nowhere, &Request::Fail, PATIENCE), Err(AskError::Unreachable { .. })));
}

#[tokio::test]
async fn a_successors_socket_is_not_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sock");
    let old = listen(&path).unwrap();
    fs::remove_file(&path).unwrap();
    // Keeps the old inode from being given again.
    fs::write(folder.path().join("filler"), "").unwrap();
    let new = listen(&path).unwrap();
    drop(old);
    assert!(path.exists());
    drop(new);
    assert!(!path.exists());
}
