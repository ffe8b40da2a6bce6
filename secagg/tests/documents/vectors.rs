//! Conformance: the committed bytes of roster, configuration, messages and announcements.
//!
//! A difference means that two builds would not understand each other. After a wanted change, `NEURO_BLESS=1 cargo test
//! -p neuro-secagg --test documents` writes the files anew.

use std::convert::Infallible;

use neuro_primitives::{UnixMillis, Untrusted};
use neuro_secagg::config::{RoundConfig, SignedConfig};
use neuro_secagg::messages::{Announcement, Message};
use neuro_secagg::roster::{Pin, Registry, SignedRoster};

use crate::committed::{Vector, check_committed, path, read};
use crate::samples;

fn vectors() -> Vec<Vector> {
    let (config, private) = (samples::config(), samples::private_config());
    let config_vector = |name, config: &RoundConfig| Vector {
        name,
        about: format!("config hash {}, signed", config.hash()),
        bytes: samples::signed_config(config).encode(),
    };
    let messages = samples::messages().into_iter().map(|(name, about, message)| Vector {
        name,
        about: about.to_owned(),
        bytes: message.encode(),
    });
    let announcements = samples::announcements().into_iter().map(|(name, about, announcement)| Vector {
        name,
        about,
        bytes: announcement.sign(&samples::aggregator()),
    });
    let roster = Vector {
        name: "roster",
        about: format!("task {}, hash {}, signed", samples::roster().task(), samples::roster().hash()),
        bytes: samples::signed_roster().encode(),
    };
    let documents = [roster, config_vector("config", &config), config_vector("config-private", &private)];
    documents.into_iter().chain(messages).chain(announcements).collect()
}

fn committed(name: &str) -> Vec<u8> {
    read(&path(name)).unwrap()
}

fn inside<T>(untrusted: Untrusted<T>) -> T {
    untrusted.verify(Ok::<_, Infallible>).unwrap()
}

#[test]
fn every_encoder_writes_the_committed_bytes() {
    check_committed(&vectors());
}

#[test]
fn every_committed_vector_decodes_to_its_sample() {
    let shape = samples::shape();
    for (name, _, message) in samples::messages() {
        assert_eq!(Message::decode(&committed(name), Some(&shape)), Ok(message), "{name}");
    }
    let aggregator = samples::aggregator().node_id();
    for (name, _, announcement) in samples::announcements() {
        assert_eq!(Announcement::open(&committed(name), aggregator, Some(&shape)), Ok(announcement), "{name}");
    }
    for (name, config) in [("config", samples::config()), ("config-private", samples::private_config())] {
        let signed = SignedConfig::decode(&committed(name)).unwrap();
        assert_eq!(signed.verify(|signed| signed.check(&samples::roster())), Ok(config), "{name}");
    }
    assert_eq!(inside(SignedRoster::decode(&committed("roster")).unwrap()), samples::signed_roster());
}

#[test]
fn the_committed_roster_is_good_until_it_expires() {
    let pin = Pin { owner: samples::owner().node_id(), task: samples::roster().task(), newest: None };
    let check = |now| SignedRoster::decode(&committed("roster")).unwrap().verify(|signed| signed.check(&pin, now));
    assert!(check(UnixMillis(1_799_999_999_999)).is_ok());
    assert!(check(UnixMillis(1_800_000_000_000)).is_err());
}

#[test]
fn every_statement_of_the_vectors_is_signed_by_its_member() {
    let (keys, cohort, seed) = (samples::keys(), samples::cohort(), samples::seed());
    assert!(cohort.rows.iter().all(|row| cohort.join(row).verify().is_ok()));
    assert!(samples::shares().statement.verify().is_ok());
    for dealing in samples::inbox().dealings {
        let dealer = cohort.row(dealing.dealer).unwrap().node;
        assert_eq!(dealing.statement(cohort.hash(), seed, dealer).verify(), Ok(()));
    }
    let (survivors, bytes) = (samples::survivors(), samples::config().payload_bytes(cohort.modulus_bits));
    let shown = survivors.uploads[0].upload(survivors.cohort, survivors.sharers, keys[2].node_id(), bytes);
    assert_eq!(shown.verify(), Ok(()));
    for (member, vote) in samples::certificate().votes() {
        assert_eq!(vote.verify(cohort.row(member).unwrap().node), Ok(()));
    }
    assert_eq!(samples::answer().verify(keys[0].node_id()), Ok(()));
}
