//! Payloads in one go, in pieces, wrong ones and uninvited ones.

use super::*;

fn node() -> NodeId {
    NodeId([5; 32])
}

fn payload() -> Vec<u8> {
    (0..300_000_u32).map(|at| (at * 7) as u8).collect()
}

fn start(offset: u64) -> UploadStart {
    UploadStart { round: 1, cohort: 0, payload: Hash::of(&payload()).0.to_vec(), offset }
}

fn stream(bytes: &[u8], breaks: bool) -> PayloadStream {
    let mut chunks: Vec<Result<Vec<u8>, ControlError>> =
        bytes.chunks(1 << 16).map(|chunk| Ok(chunk.to_vec())).collect();
    if breaks {
        chunks.push(Err(ControlError::new(ControlErrorKind::Unavailable, "the connection broke")));
    }
    Box::pin(futures::stream::iter(chunks))
}

fn uploads() -> (tempfile::TempDir, Uploads) {
    let folder = tempfile::tempdir().unwrap();
    let uploads = Uploads::open(folder.path()).unwrap();
    uploads.await_payload(node(), Hash::of(&payload()), 300_000);
    (folder, uploads)
}

#[tokio::test]
async fn a_payload_is_complete_with_its_last_byte() {
    let (_folder, uploads) = uploads();
    let reply = uploads.receive(node(), &start(0), stream(&payload(), false)).await.unwrap();
    assert!(reply.complete && reply.held_bytes == 300_000);
    assert!(fs::read(uploads.path(node())).unwrap() == payload());
}

#[tokio::test]
async fn a_broken_upload_goes_on_even_in_another_process() {
    let (folder, uploads) = uploads();
    let reply = uploads.receive(node(), &start(0), stream(&payload()[..100_000], true)).await.unwrap();
    assert_eq!((reply.held_bytes, reply.complete), (100_000, false));
    drop(uploads);
    let uploads = Uploads::open(folder.path()).unwrap();
    uploads.await_payload(node(), Hash::of(&payload()), 300_000);
    assert_eq!(uploads.state(node()).unwrap().held, 100_000);
    let gap = uploads.receive(node(), &start(100_001), stream(&payload()[100_001..], false)).await.unwrap_err();
    assert_eq!(gap.kind, ControlErrorKind::BadRequest);
    let reply = uploads.receive(node(), &start(100_000), stream(&payload()[100_000..], false)).await.unwrap();
    assert!(reply.complete);
}

#[tokio::test]
async fn other_bytes_than_the_stated_ones_are_no_payload() {
    let (_folder, uploads) = uploads();
    let mut wrong = payload();
    wrong[299_999] ^= 1;
    assert!(uploads.receive(node(), &start(0), stream(&wrong, false)).await.is_err());
    assert_eq!(uploads.state(node()).unwrap().held, 0);
    let longer = [payload(), vec![0]].concat();
    assert!(uploads.receive(node(), &start(0), stream(&longer, false)).await.is_err());
    let other = UploadStart { payload: vec![0; 32], ..start(0) };
    assert!(uploads.receive(node(), &other, stream(&payload(), false)).await.is_err());
    let stranger = NodeId([6; 32]);
    let refused = uploads.receive(stranger, &start(0), stream(&payload(), false)).await.unwrap_err();
    assert_eq!(refused.kind, ControlErrorKind::NotFound);
    assert!(uploads.receive(node(), &start(0), stream(&payload(), false)).await.unwrap().complete);
}
