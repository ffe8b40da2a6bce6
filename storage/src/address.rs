//! Where a store is, as people write it.

use std::path::PathBuf;

use ::postgres::Config;
use ::postgres::config::{Host, SslMode};
use neuro_orchestrator::store::StoreError;

/// A store's place.
#[derive(Debug)]
pub enum Address {
    /// A file.
    Sqlite(PathBuf),
    /// A server's database.
    Postgres(Box<Config>),
}

impl Address {
    /// Reads an address. What has a scheme that is not known is refused: a typo must not make an empty database.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        match scheme(text) {
            None => file(text, text),
            Some("sqlite") => file(text, &text["sqlite:".len()..]),
            Some("postgres" | "postgresql") => server(text),
            Some(_) => Err(unknown(text)),
        }
    }
}

/// What stands before the first colon, if it may be a scheme. A single letter is a drive.
fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(':')?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    (scheme.len() > 1 && scheme.chars().all(fits)).then_some(scheme)
}

/// `sqlite://name` would be a file in the root folder, which nobody means.
fn file(text: &str, path: &str) -> Result<Address, StoreError> {
    let slashes = path.len() - path.trim_start_matches('/').len();
    if path.is_empty() || slashes == 2 {
        return Err(unknown(text));
    }
    Ok(Address::Sqlite(PathBuf::from(path)))
}

fn server(text: &str) -> Result<Address, StoreError> {
    let config: Config = text.parse().map_err(|_| unknown(text))?;
    check_privacy(&config)?;
    Ok(Address::Postgres(Box::new(config)))
}

/// This program speaks to PostgreSQL without TLS. Beyond this machine that has to be said.
fn check_privacy(config: &Config) -> Result<(), StoreError> {
    let insecure = |reason| StoreError::Insecure { place: place(config), reason };
    match config.get_ssl_mode() {
        SslMode::Disable => Ok(()),
        SslMode::Prefer if config.get_hosts().iter().all(is_here) => Ok(()),
        SslMode::Prefer => Err(insecure(
            "expected a server on this machine, or sslmode=disable in the URL: there is no TLS to PostgreSQL here",
        )),
        _ => Err(insecure("expected no sslmode that asks for TLS: there is no TLS to PostgreSQL here")),
    }
}

fn is_here(host: &Host) -> bool {
    match host {
        #[cfg(unix)]
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            let address = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
            name == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
    }
}

/// The database as it may be shown: without the password.
pub fn place(config: &Config) -> String {
    let hosts = config.get_hosts().iter().map(|host| match host {
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
        Host::Tcp(name) => name.clone(),
    });
    let hosts: Vec<String> = hosts.collect();
    format!("PostgreSQL at {}, database {}", hosts.join(", "), config.get_dbname().unwrap_or("of the user's name"))
}

/// Of an address that is not understood only the scheme is repeated: the rest may have a password in it.
fn unknown(text: &str) -> StoreError {
    let got = match scheme(text) {
        Some(scheme) => format!("{scheme}:…"),
        None => format!("{text:?}"),
    };
    StoreError::Address { got }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of(text: &str) -> Option<String> {
        match Address::parse(text) {
            Ok(Address::Sqlite(path)) => Some(path.display().to_string()),
            _ => None,
        }
    }

    #[test]
    fn paths_and_sqlite_addresses_are_files() {
        for (text, path) in [
            ("store.sqlite", "store.sqlite"),
            ("/var/neuro/a b", "/var/neuro/a b"),
            ("sqlite:here", "here"),
            ("sqlite:/there", "/there"),
            ("sqlite:///there", "///there"),
            ("./odd:name", "./odd:name"),
        ] {
            assert_eq!(file_of(text).as_deref(), Some(path), "{text}");
        }
    }

    #[test]
    fn typos_are_refused_and_passwords_not_repeated() {
        for text in ["postgre://u:secret@h/d", "mysql://u:secret@h/d", "sqlite3:x", "sqlite:", "sqlite://x", ""] {
            let error = Address::parse(text).unwrap_err();
            assert!(matches!(error, StoreError::Address { .. }), "{text}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_server_elsewhere_needs_a_word_and_tls_is_refused() {
        let refused = |text: &str| matches!(Address::parse(text), Err(StoreError::Insecure { .. }));
        for here in ["postgres://u@localhost/d", "postgresql://u@127.0.0.1/d", "postgres:///d?host=/run/postgresql"] {
            assert!(Address::parse(here).is_ok(), "{here}");
        }
        assert!(refused("postgres://u:secret@db.example.org/d"));
        assert!(refused("postgres://u@localhost/d?sslmode=require"));
        assert!(!refused("postgres://u@db.example.org/d?sslmode=disable"));
        let shown = Address::parse("postgres://u:secret@db.example.org/d").unwrap_err().to_string();
        assert!(shown.contains("db.example.org") && !shown.contains("secret"), "{shown}");
    }
}
