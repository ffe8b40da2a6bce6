//! One story of a store, told on both databases.

// Clippy knows test functions; these are the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod acts;
mod place;
mod server;

use neuro_orchestrator::store::StoreError;

use crate::place::{DatabaseOfServer, File, Place};
use crate::server::Server;

/// Tells every act in a place of its own.
fn tell<P: Place>(new: impl Fn(&str) -> P) {
    for (name, act) in acts::ALL {
        eprintln!("act: {name}");
        act(&mut new(name));
    }
}

#[test]
fn the_story_on_sqlite() {
    tell(|_| File::new());
}

#[test]
fn the_story_on_postgresql() {
    let server = Server::start();
    tell(|name| DatabaseOfServer(server.database(name)));
}

#[test]
fn a_server_that_is_gone_is_an_error_and_its_return_is_enough() {
    let mut server = Server::start();
    let place = DatabaseOfServer(server.database("gone"));
    let mut store = place.open().unwrap();
    store.commit(&acts::batch(1)).unwrap();
    server.stop();
    let error = store.commit(&acts::earning(2, acts::ADA, 5)).unwrap_err();
    assert!(error.is_retryable() && error.remedy().contains("PostgreSQL runs"), "{error}");
    let closed = place.open().err().unwrap();
    assert!(matches!(closed, StoreError::Unavailable { action: "write", .. }), "{closed}");
    server.start_again();
    store.commit(&acts::earning(2, acts::ADA, 5)).unwrap();
    assert_eq!(store.credit(acts::ADA).unwrap().unwrap().credit.total, 5);
}

#[test]
fn a_database_that_is_not_there_is_named_and_not_made() {
    let server = Server::start();
    let error = DatabaseOfServer(server.url("nobody")).open().err().unwrap();
    assert!(error.to_string().contains("nobody") && error.remedy().contains("createdb"), "{error}");
}

#[test]
fn two_orchestrators_add_to_one_worker_at_once() {
    let server = Server::start();
    let place = DatabaseOfServer(server.database("shared"));
    drop(place.open().unwrap());
    std::thread::scope(|scope| {
        for writer in [1, 2] {
            let place = &place;
            scope.spawn(move || {
                let mut store = place.open().unwrap();
                for sequence in 1..=50 {
                    store.commit(&acts::by(writer, acts::earning(sequence, acts::ADA, 3))).unwrap();
                }
            });
        }
    });
    assert_eq!(place.open().unwrap().credit(acts::ADA).unwrap().unwrap().credit.total, 300);
}
