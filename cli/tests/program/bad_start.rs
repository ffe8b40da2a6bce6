//! Nodes that cannot start, and commands that find nobody.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;

use crate::network::FREE_PORTS;
use crate::stage::Stage;

/// What `neuro serve` says when it cannot start, with ports called `PORT`.
fn refused(stage: &Stage, options: &[&str], port: Option<u16>) -> String {
    let arguments = [&["serve", "--data-dir", "node"], options].concat();
    let refused = stage.run(&arguments);
    assert_eq!(refused.stdout, "");
    let said = stage.transcript(&arguments, &refused);
    port.map_or(said.clone(), |port| said.replace(&port.to_string(), "PORT"))
}

#[test]
fn a_port_in_use_is_named() {
    let stage = Stage::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let p2p = format!("/ip4/127.0.0.1/tcp/{port}");
    let api = ["--api", &address, "--control", "127.0.0.1:0", "--p2p", "/ip4/127.0.0.1/tcp/0"];
    insta::assert_snapshot!("port_of_the_api_in_use", refused(&stage, &api, Some(port)));
    let control = ["--api", "127.0.0.1:0", "--control", &address, "--p2p", "/ip4/127.0.0.1/tcp/0"];
    insta::assert_snapshot!("port_of_the_control_services_in_use", refused(&stage, &control, Some(port)));
    let peers = ["--api", "127.0.0.1:0", "--control", "127.0.0.1:0", "--p2p", &p2p];
    insta::assert_snapshot!("port_of_peer_to_peer_in_use", refused(&stage, &peers, Some(port)));
}

#[test]
fn a_quic_port_in_use_is_named() {
    let stage = Stage::new();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let quic = format!("/ip4/127.0.0.1/udp/{port}/quic-v1");
    let peers = ["--api", "127.0.0.1:0", "--control", "127.0.0.1:0", "--p2p", &quic];
    insta::assert_snapshot!(refused(&stage, &peers, Some(port)));
}

#[test]
fn an_address_that_is_none_is_named() {
    let stage = Stage::new();
    let api = ["--api", "here", "--control", "127.0.0.1:0", "--p2p", "/ip4/127.0.0.1/tcp/0"];
    insta::assert_snapshot!("address_that_is_none", refused(&stage, &api, None));
    let peers = ["--api", "127.0.0.1:0", "--control", "127.0.0.1:0", "--p2p", "127.0.0.1:80"];
    insta::assert_snapshot!("multiaddr_that_is_none", refused(&stage, &peers, None));
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let stage = Stage::new();
    fs::create_dir(stage.path("node")).unwrap();
    fs::write(stage.path("node/node.key"), "ab".repeat(32)).unwrap();
    fs::set_permissions(stage.path("node/node.key"), fs::Permissions::from_mode(0o644)).unwrap();
    insta::assert_snapshot!(refused(&stage, FREE_PORTS, None));
}

#[test]
fn the_api_beyond_loopback_needs_keys() {
    let stage = Stage::new();
    let open = ["--api", "0.0.0.0:0", "--control", "127.0.0.1:0", "--p2p", "/ip4/127.0.0.1/tcp/0"];
    insta::assert_snapshot!("no_keys_beyond_loopback", port_free(&refused(&stage, &open, None)));
    fs::write(stage.path("keys"), "alice: 0123456789abcdef0123456789abcdef\n").unwrap();
    fs::set_permissions(stage.path("keys"), fs::Permissions::from_mode(0o644)).unwrap();
    let exposed = [&open[..], &["--api-key-file", "keys"]].concat();
    insta::assert_snapshot!("keys_that_others_can_read", refused(&stage, &exposed, None));
    let missing = [&open[..], &["--api-key-file", "no"]].concat();
    insta::assert_snapshot!("keys_that_are_missing", refused(&stage, &missing, None));
}

/// The port that the operating system chose becomes `PORT`.
fn port_free(said: &str) -> String {
    let words = said.split(' ').map(|word| match word.strip_prefix("0.0.0.0:") {
        Some(port) if port.parse::<u16>().is_ok_and(|port| port > 0) => "0.0.0.0:PORT",
        _ => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn nobody_answers() {
    let stage = Stage::new();
    // A port that was free a moment ago and that nobody listens on.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let arguments = ["ask", "--url", &url, "Hello?"];
    let asked = stage.run(&arguments);
    assert_eq!(asked.code, Some(4));
    insta::assert_snapshot!(stage.transcript(&arguments, &asked).replace(&port.to_string(), "PORT"));
    let asked = stage.run(&["ask", "--json", "--url", &url, "Hello?"]);
    let error: serde_json::Value = serde_json::from_str(&asked.stderr).expect("with --json, errors are objects");
    assert!(error["error"]["hint"].as_str().unwrap().contains("neuro up"));
    let arguments = ["dashboard", "--json"];
    let looked = stage.run(&arguments);
    assert_eq!(looked.code, Some(4));
    insta::assert_snapshot!("nobody_to_watch", stage.transcript(&arguments, &looked));
}
