//! The text of tickets, and who is let in.

use super::*;

const NOW: UnixMillis = UnixMillis(1_000);

fn key() -> NodeKey {
    NodeKey::from_secret(&[3; 32])
}

fn ticket() -> Ticket {
    Ticket {
        orchestrator: key().node_id(),
        control: vec!["192.0.2.7:7401".to_owned()],
        p2p: vec!["/ip4/192.0.2.7/tcp/7402".to_owned(), "/ip4/192.0.2.7/udp/7402/quic-v1".to_owned()],
        expires: UnixMillis(2_000),
        nonce: [5; 16],
    }
}

/// The ticket with other bytes, as text, signature included.
fn rewritten(change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut bytes = text_bytes(&ticket().sign(&key()).to_text()).unwrap();
    change(&mut bytes);
    format!("{PREFIX}{}", data_encoding::BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
}

fn malformed_reason(text: &str) -> String {
    match SignedTicket::from_text(text) {
        Err(TicketError::Malformed { reason }) => reason,
        other => panic!("{text:?} gave {other:?}"),
    }
}

#[test]
fn a_ticket_survives_its_text() {
    let signed = ticket().sign(&key());
    let text = signed.to_text();
    assert!(text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'), "{text}");
    assert!(text.len() < 400, "a ticket with three addresses has {} characters", text.len());
    let read = SignedTicket::from_text(&text).unwrap();
    assert_eq!(read, signed);
    assert_eq!(read.verify(NOW), Ok(&ticket()));
}

#[test]
fn a_ticket_survives_wrapping_and_capitals() {
    let text = ticket().sign(&key()).to_text();
    let wrapped = format!("  {}\n\t{}\r\n", &text[..80], text[80..].to_uppercase());
    assert_eq!(SignedTicket::from_text(&wrapped), SignedTicket::from_text(&text));
}

#[test]
fn a_ticket_lets_in_until_it_expires() {
    let signed = ticket().sign(&key());
    assert!(signed.verify(UnixMillis(1_999)).is_ok());
    for now in [UnixMillis(2_000), UnixMillis(u64::MAX)] {
        assert_eq!(signed.verify(now), Err(TicketError::Expired { at: UnixMillis(2_000), now }));
    }
}

#[test]
fn a_ticket_signed_by_another_key_is_forged() {
    let signed = ticket().sign(&NodeKey::from_secret(&[4; 32]));
    let forged = Err(TicketError::Forged { orchestrator: key().node_id() });
    assert_eq!(signed.verify(NOW), forged);
    assert_eq!(signed.verify(UnixMillis(u64::MAX)), forged, "a forged ticket was called expired");
}

#[test]
fn an_orchestrator_accepts_only_its_own_tickets() {
    let other = NodeKey::from_secret(&[4; 32]);
    let own_of_other = Ticket { orchestrator: other.node_id(), ..ticket() }.sign(&other);
    let refusal = TicketError::OtherOrchestrator { expected: key().node_id(), got: other.node_id() };
    assert_eq!(own_of_other.verify_issued_by(key().node_id(), NOW), Err(refusal.clone()));
    assert!(!refusal.is_retryable());
    assert_eq!(ticket().sign(&key()).verify_issued_by(key().node_id(), NOW), Ok(&ticket()));
}

#[test]
fn no_flipped_bit_of_a_ticket_goes_unnoticed() {
    let length = text_bytes(&ticket().sign(&key()).to_text()).unwrap().len();
    for at in 0..length {
        let text = rewritten(|bytes| bytes[at] ^= 1 << (at % 8));
        let accepted = SignedTicket::from_text(&text).is_ok_and(|signed| signed.verify(NOW).is_ok());
        assert!(!accepted, "byte {at}");
    }
}

#[test]
fn what_is_no_ticket_says_why() {
    let text = ticket().sign(&key()).to_text();
    assert!(malformed_reason("").contains("begin with neuro-ticket-"));
    assert!(malformed_reason(&text[1..]).contains("begin with neuro-ticket-"));
    assert!(malformed_reason(PREFIX).contains("expected 1 more bytes"));
    assert!(malformed_reason(&format!("{text}!")).contains("after neuro-ticket-"));
    assert!(malformed_reason(&text.replacen('a', "é", 1)).contains("after neuro-ticket-"));
    assert!(malformed_reason(&" ".repeat(MAX_TICKET_TEXT_BYTES + 1)).contains("at most 8192"));
    for cut in PREFIX.len()..text.len() {
        malformed_reason(&text[..cut]);
    }
}

#[test]
fn bytes_of_another_form_are_malformed() {
    assert!(malformed_reason(&rewritten(|bytes| bytes.push(0))).contains("follow"));
    assert!(malformed_reason(&rewritten(|bytes| bytes[0] = 2)).contains("format 1, got 2"));
    assert!(malformed_reason(&rewritten(|bytes| bytes[33] = 9)).contains("at most 8 addresses"));
    assert!(malformed_reason(&rewritten(|bytes| bytes[36] = 0xff)).contains("at most 8 addresses"));
    assert!(malformed_reason(&rewritten(|bytes| bytes[41] = 0x1b)).contains("is no address"));
}

#[test]
fn addresses_that_cannot_be_carried_are_left_out_when_signing() {
    let bad = ["a\nb".to_owned(), String::new(), "x".repeat(MAX_ADDRESS_BYTES + 1)];
    let good = (0..10).map(|port| format!("192.0.2.1:{port}"));
    let crowded = Ticket { control: bad.into_iter().chain(good).collect(), ..ticket() };
    let read = SignedTicket::from_text(&crowded.sign(&key()).to_text()).unwrap();
    let control = &read.verify(NOW).unwrap().control;
    assert_eq!((control.len(), control[0].as_str()), (MAX_TICKET_ADDRESSES, "192.0.2.1:0"));
}

#[test]
fn the_largest_ticket_fits_its_limit() {
    let addresses = vec!["x".repeat(MAX_ADDRESS_BYTES); MAX_TICKET_ADDRESSES];
    let text = Ticket { control: addresses.clone(), p2p: addresses, ..ticket() }.sign(&key()).to_text();
    assert!(text.len() <= MAX_TICKET_TEXT_BYTES, "{}", text.len());
    assert!(SignedTicket::from_text(&text).is_ok());
}
