//! Conformance: the committed bytes of every frame, of the manifest and of the ticket.
//!
//! A difference means that two builds would not understand each other, or would give a model another id. After a
//! wanted change, `NEURO_BLESS=1 cargo test -p neuro-protocol --test vectors` writes the files anew.

use std::fs;
use std::io;

use neuro_primitives::{Hash, ModelId, UnixMillis};
use neuro_protocol::{Evidence, Frame, Manifest, SignedManifest, SignedTicket};

#[path = "../../tests/shared/vectors.rs"]
mod committed;
#[path = "support/samples.rs"]
mod samples;

use committed::{Vector, check_committed, folder, path, read};

fn vectors() -> Vec<Vector> {
    let vector = |name, about: &str, bytes| Vector { name, about: about.to_owned(), bytes };
    let frames = samples::frames().into_iter().map(|(name, about, frame)| vector(name, about, frame.encode()));
    let (manifest, signed) = (samples::manifest(), samples::signed_manifest());
    let ticket = samples::ticket().to_text();
    let about_manifest = format!("model {}", manifest.model_id());
    let blocks = samples::manifest_in_blocks();
    let about_blocks = format!("model {}", blocks.model_id());
    let about_signed = format!("manifest.hex, signed by {}", signed.publisher);
    frames
        .chain([
            vector("manifest", &about_manifest, manifest.to_canonical()),
            vector("manifest-blocks", &about_blocks, blocks.to_canonical()),
            vector("signed-manifest", &about_signed, signed.encode()),
            vector(
                "evidence",
                "task 1 of task-blocks.hex, answered by the key 42: row 1, expert 1",
                samples::evidence().encode(),
            ),
            vector("ticket", &format!("text {ticket}"), samples::ticket_bytes(&ticket).unwrap_or_default()),
        ])
        .collect()
}

fn committed(name: &str) -> io::Result<Vec<u8>> {
    read(&path(name))
}

#[test]
fn every_encoder_writes_the_committed_bytes() {
    check_committed(&vectors());
}

#[test]
fn no_vector_is_left_over() {
    let names: Vec<&str> = vectors().iter().map(|vector| vector.name).collect();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap().to_owned();
        assert!(names.contains(&name.as_str()), "{} belongs to no sample", path.display());
    }
}

#[test]
fn every_committed_frame_decodes_to_its_sample() {
    for (name, _, frame) in samples::frames() {
        assert_eq!(Frame::decode(&committed(name).unwrap()), Ok(frame), "{name}");
    }
}

#[test]
fn the_committed_answer_fits_the_committed_task() {
    let frame = |name| Frame::decode(&committed(name).unwrap()).unwrap();
    let (Frame::Task(task), Frame::Answer(answer)) = (frame("task"), frame("answer")) else { panic!("other kinds") };
    assert_eq!(task.task, answer.task);
    let whole: Vec<usize> = task.routes.iter().map(<[_]>::len).collect();
    assert_eq!(answer.check(&task.routes, &whole, 8), Ok(()));
}

#[test]
fn the_committed_manifest_is_its_sample_and_names_the_model() {
    let bytes = committed("manifest").unwrap();
    assert_eq!(Manifest::from_canonical(&bytes), Ok(samples::manifest()));
    let signed = SignedManifest::decode(&committed("signed-manifest").unwrap());
    let verified = signed.and_then(SignedManifest::verify).unwrap();
    assert_eq!(verified.model_id(), ModelId(Hash::of(&bytes)));
    assert_eq!(verified.publisher(), samples::key().node_id());
}

#[test]
fn the_committed_manifest_in_blocks_is_its_sample_and_names_the_model_of_its_task() {
    let bytes = committed("manifest-blocks").unwrap();
    let manifest = Manifest::from_canonical(&bytes).unwrap();
    assert_eq!(manifest, samples::manifest_in_blocks());
    let Ok(Frame::Task(task)) = Frame::decode(&committed("task-blocks").unwrap()) else { panic!("another kind") };
    assert_eq!(task.model, ModelId(Hash::of(&bytes)));
    assert_eq!(task.hidden.format(), manifest.activation_formats[usize::from(task.layer)]);
}

#[test]
fn the_committed_evidence_holds_against_the_committed_manifest() {
    let evidence = Evidence::decode(&committed("evidence").unwrap()).unwrap();
    assert_eq!(evidence, samples::evidence());
    let manifest = Manifest::from_canonical(&committed("manifest-blocks").unwrap()).unwrap();
    assert_eq!(evidence.check(&manifest), Ok(()));
}

#[test]
fn the_committed_ticket_lets_in_until_it_expires() {
    let text = fs::read_to_string(path("ticket")).unwrap();
    let text = text.lines().next().and_then(|line| line.strip_prefix("# text ")).unwrap();
    let ticket = SignedTicket::from_text(text).unwrap();
    assert_eq!(ticket, samples::ticket());
    assert!(ticket.verify(UnixMillis(samples::EXPIRES.0 - 1)).is_ok());
    assert!(ticket.verify(samples::EXPIRES).is_err());
}
