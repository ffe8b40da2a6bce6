//! Another program's figures for the same calculations.

use std::path::PathBuf;

use serde::Deserialize;

use crate::command::bench::Measurement;
use crate::exit_code::Outcome;
use crate::failure::Failure;

/// What a peer measured, case by case.
#[derive(Debug, Default)]
pub struct PeerResults(Vec<PeerCase>);

/// One line of the peer's output; fields that are not named here are passed over.
#[derive(Debug, Deserialize)]
struct PeerCase {
    peer: String,
    version: String,
    case: String,
    median_s: f64,
    max_abs_err: f64,
}

impl PeerResults {
    /// The lines of some files.
    ///
    /// # Errors
    /// A file that cannot be read, or a line that is no result.
    pub fn read(files: &[PathBuf]) -> Result<Self, Failure> {
        let mut cases = Vec::new();
        for file in files {
            let usage = |text: String| Failure::message(Outcome::Usage, text);
            let text = std::fs::read_to_string(file).map_err(|error| usage(format!("{}: {error}", file.display())))?;
            for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
                let case = serde_json::from_str(line);
                cases.push(case.map_err(|error| usage(format!("{}:{}: {error}", file.display(), number + 1)))?);
            }
        }
        Ok(Self(cases))
    }

    /// The time beside the peer's for `case`; alone if it has none.
    pub fn beside_time(&self, measurement: Measurement, case: &str) -> Measurement {
        self.beside(measurement, case, |peer| peer.median_s)
    }

    /// The error beside the peer's for `case`; alone if it has none.
    pub fn beside_error(&self, measurement: Measurement, case: &str) -> Measurement {
        self.beside(measurement, case, |peer| peer.max_abs_err)
    }

    fn beside(&self, measurement: Measurement, case: &str, figure: fn(&PeerCase) -> f64) -> Measurement {
        match self.0.iter().find(|peer| peer.case == case) {
            Some(peer) => measurement.beside_version(&peer.peer, &peer.version, figure(peer)),
            None => measurement,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"peer":"spu","version":"0.9.5","case":"mul1m","median_s":2.0,"max_abs_err":1e-5}"#;

    fn results(text: &str) -> Result<PeerResults, Failure> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), text)?;
        PeerResults::read(&[file.path().to_owned()])
    }

    #[test]
    fn a_figure_stands_beside_that_of_the_same_case() {
        let peer = results(LINE).unwrap();
        let own = Measurement::new("mul1m_malicious", 0.5, "s");
        let beside = peer.beside_time(own.clone(), "mul1m");
        assert_eq!((beside.ratio, beside.peer_version.as_deref()), (Some(0.25), Some("0.9.5")));
        assert_eq!(peer.beside_time(own.clone(), "silu64k"), own);
    }

    #[test]
    fn a_line_that_is_no_result_is_named() {
        let error = results("\n{}\n").unwrap_err();
        assert!(error.text().contains(":2: missing field"), "{}", error.text());
    }
}
