//! The daemon's end of a control socket.

use std::fmt::Display;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use socket2::{Domain, SockAddr, Socket, Type};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::Lines;
use super::protocol::{Answer, LONGEST_REQUEST, parse};

/// Operators at once; one more is sent away.
const CONNECTIONS: usize = 16;
/// Octets read at once.
const PIECE: usize = 4096;
/// Requests that wait for the daemon.
const QUEUE: usize = 16;
/// A connection that asks nothing, or takes no answer, for this long is closed.
const IDLE: Duration = Duration::from_secs(60);

/// Why there is no control socket. Text fits after "failed to ".
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ControlError {
    #[error("listen at {path}: {source}")]
    Listen { path: PathBuf, source: io::Error },
    #[error("listen at {path}: a daemon answers there")]
    InUse { path: PathBuf },
    #[error("listen at {path}: something is there that is no socket")]
    NoSocket { path: PathBuf },
}

/// A control socket. It and its file go when this is dropped.
#[derive(Debug)]
pub struct Control<R> {
    asked: mpsc::Receiver<Asked<R>>,
    acceptor: JoinHandle<()>,
    _file: SocketFile,
}

/// A request, and where its answer goes.
#[derive(Debug)]
pub struct Asked<R> {
    pub request: R,
    pub reply: ReplyTo,
}

/// Takes the answer. Dropped without one, the operator hears that there is none.
#[derive(Debug)]
pub struct ReplyTo(oneshot::Sender<Answer>);

impl ReplyTo {
    pub fn done(self, result: &impl Serialize) {
        // An operator who has left needs no answer.
        let _ = self.0.send(Answer::done(result));
    }

    /// `error` fits after "failed to …".
    pub fn refuse(self, error: &dyn Display) {
        let _ = self.0.send(Answer::refused(error));
    }
}

impl<R: DeserializeOwned + Send + 'static> Control<R> {
    /// Inside a runtime. A socket that a dead daemon left is replaced; one that answers is not.
    pub fn listen(path: &Path) -> Result<Self, ControlError> {
        make_room(path)?;
        let failed = |source| ControlError::Listen { path: path.to_owned(), source };
        let listener = listener(path).map_err(failed)?;
        let file = SocketFile::of(path).map_err(failed)?;
        let (sender, asked) = mpsc::channel(QUEUE);
        let acceptor = tokio::spawn(accept(listener, sender));
        Ok(Self { asked, acceptor, _file: file })
    }

    async fn next(&mut self) -> Asked<R> {
        match self.asked.recv().await {
            Some(asked) => asked,
            None => std::future::pending().await,
        }
    }
}

/// The next request; never, when there is no socket. May be cancelled without loss.
pub async fn next<R: DeserializeOwned + Send + 'static>(control: &mut Option<Control<R>>) -> Asked<R> {
    match control {
        Some(control) => control.next().await,
        None => std::future::pending().await,
    }
}

impl<R> Drop for Control<R> {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

/// The name in the file system, ours as long as the inode is.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), inode: inode(path)? })
    }
}

/// Device and inode number.
fn inode(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A successor's socket at the same path is not ours to remove.
        if inode(&self.path).is_ok_and(|found| found == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket nobody answers at. Anything else that stands there is left alone.
fn make_room(path: &Path) -> Result<(), ControlError> {
    let failed = |source| ControlError::Listen { path: path.to_owned(), source };
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if !found.file_type().is_socket() {
        return Err(ControlError::NoSocket { path: path.to_owned() });
    }
    match StdUnixStream::connect(path) {
        Ok(_) => Err(ControlError::InUse { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Nobody can connect before `listen`, and then the file is its owner's alone.
fn listener(path: &Path) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    socket.listen(8)?;
    socket.set_nonblocking(true)?;
    UnixListener::from_std(socket.into())
}

async fn accept<R: DeserializeOwned + Send + 'static>(
    listener: UnixListener,
    requests: mpsc::Sender<Asked<R>>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // Ends every conversation with the acceptor.
    let mut conversations = JoinSet::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept on the control socket");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        while conversations.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!(limit = CONNECTIONS, "too many operators, closed one");
            continue;
        };
        let requests = requests.clone();
        conversations.spawn(async move {
            // A conversation that fails concerns nobody but the operator, who sees it end.
            let _ = converse(stream, requests).await;
            drop(place);
        });
    }
}

async fn converse<R: DeserializeOwned>(
    mut stream: UnixStream,
    requests: mpsc::Sender<Asked<R>>,
) -> io::Result<()> {
    // A line may hold keys (`akasec sub add`).
    let mut lines = Lines::with_room(LONGEST_REQUEST, PIECE);
    let mut chunk = Zeroizing::new([0; PIECE]);
    loop {
        let answer = match lines.next_line() {
            Ok(Some(line)) => match parse(line) {
                Ok(request) => answer(request, &requests).await,
                Err(malformed) => malformed,
            },
            Ok(None) => {
                let read = timeout(IDLE, stream.read(chunk.as_mut_slice())).await??;
                if read == 0 {
                    return Ok(());
                }
                lines.push(chunk.get(..read).unwrap_or_default());
                continue;
            }
            Err(too_long) => {
                let answer = Answer::Malformed { error: too_long.to_string() };
                return timeout(IDLE, stream.write_all(&answer.to_line())).await?;
            }
        };
        timeout(IDLE, stream.write_all(&answer.to_line())).await??;
    }
}

async fn answer<R>(request: R, requests: &mpsc::Sender<Asked<R>>) -> Answer {
    let (sender, answer) = oneshot::channel();
    let sent = requests.send(Asked { request, reply: ReplyTo(sender) }).await;
    match (sent, answer.await) {
        (Ok(()), Ok(answer)) => answer,
        _ => Answer::refused(&"answer: the daemon is ending"),
    }
}
