//! A private model's folders: what they hold, and what is refused.

use std::fs;
use std::path::{Path, PathBuf};

use neuro_model::Checkpoint;
use neuro_node::smpc_role::secret_weights::{
    MAX_LARGEST, Manifest, OwnerLimits, PartyFolder, PublicPart, QueryError, QueryLedger, SecretWeightsError, split,
};
use neuro_primitives::{Hash, NodeId, NodeKey};
use neuro_smpc::party::PartyId;
use tempfile::TempDir;

fn skills() -> Checkpoint {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/models/skills/checkpoint");
    Checkpoint::open(&path).unwrap()
}

fn key() -> NodeKey {
    NodeKey::from_secret(&[7; 32])
}

const LIMITS: OwnerLimits = OwnerLimits { queries: 100, largest: 1 };

fn shares(folder: &TempDir, name: &str) -> PathBuf {
    let out = folder.path().join(name);
    split(&skills(), &out, &key(), LIMITS).unwrap();
    out
}

fn sample() -> Manifest {
    Manifest {
        owner: key().node_id(),
        public: Hash([1; 32]),
        components: [Hash([2; 32]), Hash([3; 32]), Hash([4; 32])],
        input_bound: 65536,
        limits: LIMITS,
        tied: false,
    }
}

#[test]
fn a_manifest_has_one_form_and_its_owner_s_signature() {
    let file = sample().signed(&key());
    assert_eq!(Manifest::verified(&file).unwrap(), sample());
    assert_eq!(&sample().hash().to_string()[..16], CONFORMANCE, "docs/spec/smpc-session.md");
    for at in 0..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert!(Manifest::verified(&changed).is_err(), "byte {at}");
        assert!(Manifest::verified(&file[..at]).is_err(), "{at} bytes");
    }
    let other = sample().signed(&NodeKey::from_secret(&[8; 32]));
    assert!(Manifest::verified(&other).unwrap_err().contains("not signed by the owner"));
}

#[test]
fn limits_that_cannot_be_are_refused() {
    let limits = |queries, largest| OwnerLimits { queries, largest };
    for manifest in [
        Manifest { limits: limits(0, 1), ..sample() },
        Manifest { limits: limits(1, 0), ..sample() },
        Manifest { limits: limits(1, MAX_LARGEST + 1), ..sample() },
        Manifest { input_bound: u64::MAX, ..sample() },
    ] {
        assert!(Manifest::verified(&manifest.signed(&key())).is_err(), "{manifest:?}");
    }
}

#[test]
fn three_folders_hold_what_the_manifest_names_and_two_of_them_are_needed() {
    let folder = tempfile::tempdir().unwrap();
    let (out, others) = (shares(&folder, "one"), shares(&folder, "other"));
    let names: Vec<String> = PartyId::ALL
        .iter()
        .map(|party| {
            let held = PartyFolder::read(&out.join(format!("party-{}", party.index())), *party).unwrap();
            assert_eq!(held.facts.hash, held.manifest.hash());
            held.facts.hash.to_string()
        })
        .collect();
    assert!(names.iter().all(|name| *name == names[0]), "one model");
    let [first, second, _] = PartyId::ALL;
    assert!(PartyFolder::read(&out.join("party-0"), second).is_err(), "another party's folder");
    let (ours, theirs) = (out.join("party-0/component-1.shares"), others.join("party-0/component-1.shares"));
    assert_eq!(fs::read(&ours).unwrap(), fs::read(out.join("party-1/component-1.shares")).unwrap());
    assert_ne!(fs::read(&ours).unwrap(), fs::read(&theirs).unwrap(), "fresh randomness");
    fs::copy(theirs, &ours).unwrap();
    let refused = PartyFolder::read(&out.join("party-0"), first).err().unwrap().to_string();
    assert!(refused.contains("component-1.shares is not component 1 of the manifest"), "{refused}");
    assert!(matches!(split(&skills(), &out, &key(), LIMITS), Err(SecretWeightsError::Exists { .. })));
}

#[test]
fn a_changed_public_part_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let public = shares(&folder, "one").join("public");
    let manifest = Manifest::read(&public).unwrap();
    assert!(PublicPart::read(&public, &manifest).is_ok());
    let table = public.join("embedding.f32");
    let mut bytes = fs::read(&table).unwrap();
    bytes[100] ^= 1;
    fs::write(&table, bytes).unwrap();
    assert!(matches!(PublicPart::read(&public, &manifest), Err(SecretWeightsError::Public { .. })));
}

#[test]
fn queries_are_counted_for_each_client_and_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let open = || QueryLedger::open(folder.path().to_owned());
    let (model, client, other) = (Hash([1; 32]), NodeId([2; 32]), NodeId([3; 32]));
    let ledger = open();
    let mut session = ledger.reserve(model, client, 6, 10).unwrap();
    session.spend(2);
    let reached = ledger.reserve(model, client, 5, 10).err().unwrap().to_string();
    assert!(reached.contains("have 10 tokens; 6 of them are used or reserved"), "{reached}");
    assert!(ledger.reserve(model, other, 10, 10).is_ok(), "another client");
    assert_eq!(open().used(model, client).unwrap(), 6, "on disk before anything is told");
    drop(session);
    assert_eq!(open().used(model, client).unwrap(), 2, "what was not used is given back");
    let mut rest = open().reserve(model, client, 8, 10).unwrap();
    rest.spend(8);
    drop(rest);
    assert!(matches!(open().reserve(model, client, 1, 10), Err(QueryError::Reached { used: 10, .. })));
    fs::write(folder.path().join(format!("{model}-{client}")), "many").unwrap();
    assert!(matches!(open().reserve(model, client, 1, 10), Err(QueryError::Io(_))), "nothing is told uncounted");
}

/// The first digits of the hash of [`sample`].
const CONFORMANCE: &str = "441a486da509d664";
