//! What peers send and what is kept of it: frames, manifests, tickets, evidence. Nothing panics, and what is accepted is
//! the one form of what came out.

#![no_main]

use libfuzzer_sys::fuzz_target;
use neuro_protocol::{Evidence, Frame, Manifest, SignedManifest, SignedTicket};

fuzz_target!(|input: &[u8]| {
    if let Ok(frame) = Frame::decode(input) {
        assert_eq!(frame.encode(), input);
    }
    if let Ok(manifest) = Manifest::from_canonical(input) {
        assert_eq!(manifest.to_canonical(), input);
    }
    if let Ok(evidence) = Evidence::decode(input) {
        assert_eq!(evidence.encode(), input);
    }
    drop(SignedManifest::decode(input));
    if let Ok(text) = std::str::from_utf8(input) {
        drop(SignedTicket::from_text(text));
    }
});
