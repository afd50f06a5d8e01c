use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

const BACKLOG: u32 = 1024;

pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket_for(address)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A socket that will connect from this address (port 0: any).
pub(super) fn bind(local: SocketAddr) -> io::Result<TcpSocket> {
    let socket = socket_for(local)?;
    socket.bind(local)?;
    Ok(socket)
}

fn socket_for(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Several connections leave from one protected client port, and a restarted daemon takes its ports back.
    socket.set_reuseaddr(true)?;
    Ok(socket)
}

pub(super) async fn accept(listener: TcpListener, local: SocketAddr, adopt: impl Fn(TcpStream, SocketAddr)) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => adopt(stream, remote),
            Err(error) => {
                // Out of file descriptors, or the peer has gone: give others time to end.
                tracing::warn!(%local, %error, "TCP accept");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}
