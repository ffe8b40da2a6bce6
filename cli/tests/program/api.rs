//! A bare client of the HTTP API: HTTP 1.0, so that an answer is all bytes until the end of the connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use serde_json::Value;

use crate::stage::PATIENCE;

/// The data of an event stream, one item an event.
pub struct Events(BufReader<TcpStream>);

/// The text and the end of one streamed completion.
#[derive(Debug, Default, PartialEq)]
pub struct Streamed {
    /// The pieces of text, joined.
    pub text: String,
    /// Whether the stream ended as a whole one does.
    pub done: bool,
    /// The error that it ended with.
    pub error: Option<Value>,
}

/// Sends `body` and reads the whole answer: its status and its object.
pub fn post(api: &str, path: &str, body: &Value) -> (u16, Value) {
    let (status, mut reader) = open(api, path, body);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}")))
}

/// The one choice of a completion that is answered.
pub fn complete(api: &str, body: &Value) -> Value {
    let (status, answer) = post(api, "/v1/completions", body);
    assert_eq!(status, 200, "{answer}");
    answer["choices"][0].clone()
}

/// Sends `body`, to be answered by an event stream.
pub fn stream(api: &str, path: &str, body: &Value) -> Events {
    let (status, reader) = open(api, path, body);
    assert_eq!(status, 200);
    Events(reader)
}

fn open(api: &str, path: &str, body: &Value) -> (u16, BufReader<TcpStream>) {
    let address = api.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    let body = body.to_string();
    let length = body.len();
    let head = format!("POST {path} HTTP/1.0\r\nhost: {address}\r\ncontent-type: application/json\r\n");
    connection.write_all(format!("{head}content-length: {length}\r\n\r\n{body}").as_bytes()).unwrap();
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("no HTTP: {line:?}")).parse().unwrap();
    while line.trim_end() != "" {
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
    (status, reader)
}

impl Iterator for Events {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let begun = Instant::now();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            // Comments keep a connection alive whose answer does not go on.
            assert!(begun.elapsed() < PATIENCE, "an event stream says nothing");
            if let Some(data) = line.trim_end().strip_prefix("data: ") {
                return Some(data.to_owned());
            }
        }
    }
}

impl Events {
    /// Takes `chunks` pieces of text.
    pub fn take_chunks(&mut self, chunks: usize, streamed: &mut Streamed) {
        let mut taken = 0;
        while taken < chunks {
            let data = self.next().expect("the stream goes on");
            let before = streamed.text.len();
            streamed.hear(&data);
            assert!(!streamed.done && streamed.error.is_none(), "it ended early: {data}");
            taken += usize::from(streamed.text.len() > before);
        }
    }

    /// Takes all that is left.
    pub fn take_rest(self, streamed: &mut Streamed) {
        self.for_each(|data| streamed.hear(&data));
    }
}

impl Streamed {
    fn hear(&mut self, data: &str) {
        if data == "[DONE]" {
            self.done = true;
            return;
        }
        let chunk: Value = serde_json::from_str(data).unwrap();
        self.error = chunk.get("error").cloned().or(self.error.take());
        self.text.push_str(chunk["choices"][0]["text"].as_str().unwrap_or_default());
    }
}
