//! Payloads in one go, in pieces, wrong ones and uninvited ones.

use super::*;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

fn node() -> NodeId {
    NodeId([5; 32])
}

fn payload() -> Vec<u8> {
    (0..300_000_u32).map(|at| (at * 7) as u8).collect()
}

/// 120,000 entries fill it.
fn modulus() -> Modulus {
    Modulus::new(20).unwrap()
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
    let uploads = Uploads::open(folder.path(), 120_000).unwrap();
    uploads.await_payload(node(), Hash::of(&payload()), 300_000, modulus());
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
    let uploads = Uploads::open(folder.path(), 120_000).unwrap();
    uploads.await_payload(node(), Hash::of(&payload()), 300_000, modulus());
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

#[tokio::test]
async fn a_payload_with_a_one_behind_its_last_entry_is_none() {
    let folder = tempfile::tempdir().unwrap();
    // 87 bits in 11 bytes: the last one has a bit to spare.
    let uploads = Uploads::open(folder.path(), 3).unwrap();
    let bytes = [[0; 10].as_slice(), &[0x80]].concat();
    uploads.await_payload(node(), Hash::of(&bytes), 11, Modulus::new(29).unwrap());
    let start = UploadStart { round: 1, cohort: 0, payload: Hash::of(&bytes).0.to_vec(), offset: 0 };
    for _ in 0..2 {
        let refused = uploads.receive(node(), &start, stream(&bytes, false)).await.unwrap_err();
        assert_eq!(refused.kind, ControlErrorKind::BadRequest);
        let state = uploads.state(node()).unwrap();
        assert!(!state.complete && state.unfit && state.held == 0, "{state:?}");
    }
}

#[tokio::test]
async fn an_older_stream_of_a_member_writes_no_more() {
    let (_folder, uploads) = uploads();
    let (sender, chunks) = mpsc::channel(1);
    let start = start(0);
    let older = uploads.receive(node(), &start, Box::pin(ReceiverStream::new(chunks)));
    let newer = async {
        // The second is sent once the first is taken: the older stream is under way.
        for _ in 0..2 {
            sender.send(Ok(vec![1; 1000])).await.unwrap();
        }
        let reply = uploads.receive(node(), &start, stream(&payload(), false)).await.unwrap();
        sender.send(Ok(vec![1; 1000])).await.ok();
        drop(sender);
        reply
    };
    let (older, newer) = tokio::join!(older, newer);
    assert_eq!(older.unwrap_err().kind, ControlErrorKind::BadRequest);
    assert!(newer.complete && uploads.state(node()).unwrap().complete);
    assert!(fs::read(uploads.path(node())).unwrap() == payload());
}
