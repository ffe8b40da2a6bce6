//! Which Host and Origin headers get in.

use std::net::Ipv4Addr;

use axum::http::HeaderValue;

use super::*;

const REACHED: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

fn access() -> Access {
    Access {
        keys: None,
        allowed_hosts: vec!["Neuro.example".to_owned()],
        allowed_origins: vec!["https://chat.example".to_owned()],
    }
}

fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn check(pairs: &[(HeaderName, &str)]) -> Result<(), u16> {
    check_uri("/v1/models", pairs)
}

fn check_uri(uri: &str, pairs: &[(HeaderName, &str)]) -> Result<(), u16> {
    let uri = uri.parse().unwrap();
    access().check_origin(&uri, &headers(pairs), REACHED).map_err(|error| error.status.as_u16())
}

#[test]
fn a_request_must_name_this_listener() {
    let cases = [
        ("localhost", Ok(())),
        ("LOCALHOST:8080", Ok(())),
        ("127.0.0.1:1", Ok(())),
        ("127.3.2.1", Ok(())),
        ("[::1]:8080", Ok(())),
        ("[::ffff:127.0.0.1]", Ok(())),
        ("192.0.2.7:8080", Ok(())),
        ("neuro.example:443", Ok(())),
        ("192.0.2.8", Err(403)),
        ("rebound.example", Err(403)),
        ("localhost.rebound.example", Err(403)),
        ("127.0.0.1.rebound.example", Err(403)),
        ("rebound.example@localhost", Err(400)),
        ("localhost@rebound.example", Err(400)),
        ("a b", Err(400)),
    ];
    for (host, expected) in cases {
        assert_eq!(check(&[(HOST, host)]), expected, "{host}");
    }
}

#[test]
fn none_or_two_hosts_and_a_strange_target_are_refused() {
    assert_eq!(check(&[]), Err(400));
    assert_eq!(check(&[(HOST, "localhost"), (HOST, "rebound.example")]), Err(400));
    assert_eq!(check_uri("http://rebound.example/v1/models", &[(HOST, "localhost")]), Err(403));
    assert_eq!(check_uri("http://localhost/v1/models", &[(HOST, "localhost")]), Ok(()));
}

#[test]
fn pages_of_other_origins_are_refused() {
    let cases = [
        ("http://127.0.0.1:8080", Ok(())),
        ("https://chat.example", Ok(())),
        ("http://chat.example", Err(403)),
        ("https://127.0.0.1:8080", Err(403)),
        ("http://127.0.0.1:8081", Err(403)),
        ("https://elsewhere.example", Err(403)),
        ("null", Err(403)),
    ];
    for (origin, expected) in cases {
        assert_eq!(check(&[(HOST, "127.0.0.1:8080"), (ORIGIN, origin)]), expected, "{origin}");
    }
}

#[test]
fn the_bearer_scheme_has_no_case_and_other_schemes_are_no_key() {
    assert_eq!(bearer("Bearer abc"), Some("abc"));
    assert_eq!(bearer("bearer  abc"), Some("abc"));
    assert_eq!(bearer("Basic abc"), None);
    assert_eq!(bearer("Bearer"), None);
}
