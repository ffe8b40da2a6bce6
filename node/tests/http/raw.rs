//! Plain sockets, for requests that a well-behaved client does not make.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::scripted::PATIENCE;

/// A connection on which `request` was sent.
pub async fn send(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// All that the other side sends until it closes.
pub async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    read.expect("the connection stays open").unwrap();
    String::from_utf8(bytes).unwrap()
}

/// What the other side sends until `wanted` was seen.
pub async fn read_until(stream: &mut TcpStream, wanted: &str) -> String {
    let mut text = String::new();
    let reading = async {
        let mut piece = [0; 1_024];
        while !text.contains(wanted) {
            let read = stream.read(&mut piece).await.unwrap();
            assert!(read > 0, "closed before {wanted:?}: {text}");
            text.push_str(std::str::from_utf8(&piece[..read]).unwrap());
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("no {wanted:?}"));
    text
}

/// A POST of `body` as one text.
pub fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// The status of an answer.
pub fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or(answer)
}
