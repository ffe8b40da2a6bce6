//! Addresses for servers that must be found there, also when they start again.

use tokio::net::TcpSocket;

/// A port of the loopback that the system gives to nobody else while this lives: it is bound and does not listen, so that
/// a server that is told of it can listen there.
pub struct Place(TcpSocket);

impl Place {
    /// Any port.
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self(socket)
    }

    /// Where a server is to listen.
    pub fn address(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }
}
