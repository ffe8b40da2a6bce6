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
