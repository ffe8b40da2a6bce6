//! Trust on first use: a model's name belongs to whoever published it first.

use neuro_protocol::manifest::VerifiedManifest;

use super::WorkerError;
use crate::data_dir::DataDir;

/// The file with `publisher name` lines.
const PUBLISHERS_FILE: &str = "publishers";

/// Remembers the publisher of a new name, and refuses another publisher for a known one.
///
/// # Errors
/// When the name is known with another publisher, or the file cannot be used.
pub fn check_publisher(data_dir: &DataDir, manifest: &VerifiedManifest) -> Result<(), WorkerError> {
    let (name, publisher) = (&manifest.manifest().name, manifest.publisher().to_string());
    let lines = data_dir.lines(PUBLISHERS_FILE)?;
    let known = lines.iter().filter_map(|line| line.split_once(' ')).find(|(_, known_name)| known_name == name);
    match known {
        None => Ok(data_dir.append(PUBLISHERS_FILE, &format!("{publisher} {}", one_line(name)))?),
        Some((known, _)) if known == publisher => Ok(()),
        Some((known, _)) => Err(WorkerError::Publisher {
            model: name.clone(),
            known: known.to_owned(),
            got: publisher,
            file: data_dir.join(PUBLISHERS_FILE).display().to_string(),
        }),
    }
}

/// A name cannot add lines to the file.
fn one_line(name: &str) -> String {
    name.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use neuro_primitives::{Hash, NodeKey, Untrusted};
    use neuro_protocol::frame::ActivationFormat;
    use neuro_protocol::manifest::{Manifest, SignedManifest, TensorEntry, TensorPlace, TensorType};

    fn manifest(name: &str, publisher: u8) -> VerifiedManifest {
        let weights = TensorEntry {
            name: "weights".to_owned(),
            place: TensorPlace::Trunk,
            tensor_type: TensorType::F32,
            shape: vec![1],
            length: 4,
            hash: Hash([0; 32]),
        };
        let manifest = Manifest {
            name: name.to_owned(),
            architecture: "mixtral".to_owned(),
            engine_spec: 2,
            config: b"{}".to_vec(),
            assets: Vec::new(),
            activation_formats: vec![ActivationFormat::F32],
            tensors: vec![weights],
        };
        let signed = SignedManifest::sign(&manifest, &NodeKey::from_secret(&[publisher; 32]));
        SignedManifest::verify(Untrusted::new(signed)).unwrap()
    }

    #[test]
    fn a_name_belongs_to_its_first_publisher() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(folder.path()).unwrap();
        for name in ["one", "one two", "one"] {
            check_publisher(&data_dir, &manifest(name, 1)).unwrap();
        }
        check_publisher(&data_dir, &manifest("two", 2)).unwrap();
        assert_eq!(data_dir.lines(PUBLISHERS_FILE).unwrap().len(), 3, "each name once");
        for name in ["one", "one two"] {
            let error = check_publisher(&data_dir, &manifest(name, 2)).unwrap_err();
            assert!(matches!(&error, WorkerError::Publisher { model, .. } if model == name), "{error}");
        }
    }
}
