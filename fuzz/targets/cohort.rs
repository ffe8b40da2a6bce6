//! What members of a cohort and their aggregator send each other. Nothing panics, and what is accepted is the one form of
//! what came out. Messages whose lengths follow from a round are decoded as those of no round.

#![no_main]

use std::convert::Infallible;

use libfuzzer_sys::fuzz_target;
use neuro_primitives::Untrusted;
use neuro_secagg::config::{RoundConfig, SignedConfig};
use neuro_secagg::messages::{Announcement, Message};
use neuro_secagg::roster::SignedRoster;

fn inside<T>(untrusted: Untrusted<T>) -> T {
    match untrusted.verify(Ok::<_, Infallible>) {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

fuzz_target!(|input: &[u8]| {
    if let Ok(roster) = SignedRoster::decode(input).map(inside) {
        assert_eq!(roster.encode(), input);
    }
    if let Ok(config) = RoundConfig::decode(input) {
        assert_eq!(config.encode(), input);
    }
    if let Ok(config) = SignedConfig::decode(input).map(inside) {
        assert_eq!(config.encode(), input);
    }
    if let Ok(message) = Message::decode(input, None) {
        assert_eq!(message.encode(), input);
    }
    if let Ok(announcement) = Announcement::decode(input, None).map(inside) {
        assert_eq!(announcement.unsigned(), input);
    }
});
