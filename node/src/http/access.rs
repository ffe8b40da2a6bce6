//! Who may ask, and through which name.
//!
//! A page in a browser can make the browser speak to this listener. Two checks stop it: the Host header must name this
//! listener (a hostile name that resolves here, *DNS rebinding*, is refused), and a request that a page of another
//! origin makes is refused by its Origin header. There are no CORS headers, so such a page could read no answer either.

use std::net::IpAddr;

use axum::http::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri};

use super::error::ApiError;
use super::keys::ApiKeys;

/// The rules of a listener.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) keys: Option<ApiKeys>,
    pub(super) allowed_hosts: Vec<String>,
    pub(super) allowed_origins: Vec<String>,
}

/// The address that a connection reached: with a listener on every interface, each connection has its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reached(pub(super) IpAddr);

impl Access {
    /// Checks name and origin. `reached` is the address of this end of the connection.
    pub(super) fn check_origin(&self, uri: &Uri, headers: &HeaderMap, reached: IpAddr) -> Result<(), ApiError> {
        let host = host(headers)?;
        self.check_host(&host, reached)?;
        if let Some(target) = uri.authority() {
            self.check_host(target, reached)?;
        }
        match single(headers, ORIGIN)? {
            Some(origin) if !self.allows_origin(origin, &host) => {
                let message = format!("requests from web pages of origin {origin} are not allowed");
                Err(ApiError::new(StatusCode::FORBIDDEN, "origin_not_allowed", message))
            }
            _ => Ok(()),
        }
    }

    /// Checks the bearer key. Returns the key's name, if keys are asked for.
    pub(super) fn check_key(&self, headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
        let Some(keys) = &self.keys else { return Ok(None) };
        let unauthorized = |code, message: &str| ApiError::new(StatusCode::UNAUTHORIZED, code, message);
        let Some(key) = single(headers, AUTHORIZATION)?.and_then(bearer) else {
            return Err(unauthorized("missing_api_key", "expected a header `Authorization: Bearer KEY`"));
        };
        match keys.name_of(key) {
            Some(name) => Ok(Some(name)),
            None => Err(unauthorized("invalid_api_key", "this API key is not known here")),
        }
    }

    fn check_host(&self, host: &Authority, reached: IpAddr) -> Result<(), ApiError> {
        let name = host.host();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let allowed = match bare.parse::<IpAddr>() {
            Ok(ip) => ip.to_canonical().is_loopback() || ip.to_canonical() == reached.to_canonical(),
            Err(_) => name.eq_ignore_ascii_case("localhost"),
        };
        if allowed || self.allowed_hosts.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            return Ok(());
        }
        let message =
            format!("requests for host {name} are not served here; to serve them, add it to the allowed hosts");
        Err(ApiError::new(StatusCode::FORBIDDEN, "host_not_allowed", message))
    }

    /// Whether `origin` is the API's own (it names the host that was asked, which was checked) or one of the allowed.
    fn allows_origin(&self, origin: &str, host: &Authority) -> bool {
        let own = origin.strip_prefix("http://").is_some_and(|rest| rest.eq_ignore_ascii_case(host.as_str()));
        own || self.allowed_origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
    }
}

/// The Host header, of which there must be exactly one.
fn host(headers: &HeaderMap) -> Result<Authority, ApiError> {
    let bad = || ApiError::bad_request("bad_host", "expected one Host header with a name and an optional port");
    let text = single(headers, HOST)?.ok_or_else(bad)?;
    // User information has no place in a Host header, and `a@b` could be read as either name.
    if text.contains('@') { Err(bad()) } else { text.parse().map_err(|_| bad()) }
}

/// A header's text; more than one, or one that is not text, is an error.
fn single(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, ApiError> {
    let bad = || ApiError::bad_request("bad_header", format!("expected one plain {name} header"));
    let mut values = headers.get_all(&name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(bad());
    }
    value.to_str().map(Some).map_err(|_| bad())
}

/// The key in `Bearer KEY`; the scheme's name has no case (RFC 9110, 11.1).
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, key) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

#[cfg(test)]
mod tests;
