//! `x-request-id`: taken from the client when it is plain, made here otherwise, and always sent back.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::limits::REQUEST_ID_BYTES;

/// The header's name.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The client's id, or a new one. An id with other than visible ASCII characters could forge log lines.
pub(super) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let plain = |value: &&HeaderValue| {
        (1..=REQUEST_ID_BYTES).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    if let Some(given) = headers.get(REQUEST_ID).filter(plain) {
        return given.clone();
    }
    HeaderValue::from_str(&format!("req-{}", random_hex())).unwrap_or(HeaderValue::from_static("req-unnamed"))
}

/// Sixteen hexadecimal digits that no other request has.
pub(super) fn random_hex() -> String {
    format!("{:016x}", random_u64())
}

/// 64 random bits. Without the operating system's randomness, the clock's nanoseconds: ids and unseeded sampling need
/// difference, not secrecy.
pub(super) fn random_u64() -> u64 {
    getrandom::u64().unwrap_or_else(|_| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        now.as_nanos() as u64
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_ids_are_echoed_and_others_replaced() {
        let echo = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(value).unwrap());
            request_id(&headers).as_bytes() == value
        };
        assert!(echo(b"trace-1/2:3"));
        assert!(echo(&[b'x'; REQUEST_ID_BYTES]));
        assert!(!echo(&[b'x'; REQUEST_ID_BYTES + 1]));
        assert!(!echo(b"two words"));
        assert!(!echo(b""));
        assert!(!echo("é".as_bytes()));
        let (a, b) = (request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
        assert!(a != b && a.to_str().unwrap().starts_with("req-"));
    }
}
