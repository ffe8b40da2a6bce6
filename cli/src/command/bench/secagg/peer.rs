//! Another program's figures for the same cases.

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
    /// The peer's version.
    flwr: String,
    clients: u32,
    dim: u32,
    /// The share of the clients that drops out.
    dropout: f64,
    /// Neighbours of a client, itself included.
    shares: u32,
    server_cpu_s: f64,
    client_median_cpu_s: f64,
    bytes_per_client: f64,
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
            let text = std::fs::read_to_string(file)
                .map_err(|error| Failure::message(Outcome::Usage, format!("{}: {error}", file.display())))?;
            for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
                let wrong = |error| format!("{}:{}: {error}", file.display(), number + 1);
                let case = serde_json::from_str(line);
                cases.push(case.map_err(|error| Failure::message(Outcome::Usage, wrong(error)))?);
            }
        }
        Ok(Self(cases))
    }

    /// The measurement beside each figure that the peer has for the same case; alone if it has none.
    pub fn beside(
        &self,
        measurement: Measurement,
        what: &str,
        members: u32,
        entries: u32,
        percent: u16,
    ) -> Vec<Measurement> {
        let same = |case: &&PeerCase| {
            let dropped = (case.dropout * 100.0).round() as u16;
            (case.clients, case.dim, dropped) == (members, entries, percent)
        };
        let beside = |case: &PeerCase| {
            let neighbours = if case.shares == case.clients { "all".to_owned() } else { case.shares.to_string() };
            let peer = format!("{}, shares {neighbours}", case.peer);
            measurement.clone().beside_version(&peer, &case.flwr, case.figure(what))
        };
        let all: Vec<Measurement> = self.0.iter().filter(same).map(beside).collect();
        if all.is_empty() { vec![measurement] } else { all }
    }
}

impl PeerCase {
    fn figure(&self, what: &str) -> f64 {
        match what {
            "server" => self.server_cpu_s,
            "participant" => self.client_median_cpu_s,
            "bytes" => self.bytes_per_client,
            "error" => self.max_abs_err,
            _ => f64::NAN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"peer":"flower-secaggplus","flwr":"1.41.0","clients":50,"dim":100000,"dropout":0.1,"shares":13,
        "server_cpu_s":2.0,"client_median_cpu_s":0.5,"bytes_per_client":800000,"max_abs_err":1e-6,"threshold":7}"#;

    fn results(text: &str) -> Result<PeerResults, Failure> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), text)?;
        PeerResults::read(&[file.path().to_owned()])
    }

    #[test]
    fn a_figure_stands_beside_that_of_the_same_case() {
        let peer = results(&LINE.replace('\n', "")).unwrap();
        let own = Measurement::new("server_n50_m100k_d10", 0.5, "CPU s");
        let beside = peer.beside(own.clone(), "server", 50, 100_000, 10);
        assert_eq!((beside[0].ratio, beside[0].peer_version.as_deref()), (Some(0.25), Some("1.41.0")));
        assert_eq!(beside[0].peer.as_deref(), Some("flower-secaggplus, shares 13"));
        assert_eq!(peer.beside(own.clone(), "server", 50, 100_000, 0), [own]);
    }

    #[test]
    fn a_line_that_is_no_result_is_named() {
        let error = results("\n{}\n").unwrap_err();
        assert!(error.text().contains(":2: missing field"), "{}", error.text());
        assert!(PeerResults::read(&["/nowhere.jsonl".into()]).is_err());
    }
}
