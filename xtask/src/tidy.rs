//! What holds for the whole repository, one module a rule.
//!
//! Every rule is a function from the [`Tree`] to its [`Finding`]s and knows nothing of the others. A finding says where,
//! what is wrong, and what to do.

mod crate_map;
mod dependencies;
mod file_size;
mod finding;
mod function_size;
mod gradients;
mod layers;
mod licence;
mod links;
mod module_docs;
mod names;
mod required_files;
mod rust_text;
mod tree;
mod unsafe_code;
mod unwraps;
mod white_space;

use finding::Finding;
use std::path::Path;
use tree::Tree;

/// A rule over the files and crates of the repository.
type Check = fn(&Tree) -> Vec<Finding>;

const CHECKS: &[Check] = &[
    layers::check,
    crate_map::check,
    dependencies::check,
    gradients::check,
    required_files::check,
    file_size::check,
    function_size::check,
    unwraps::check,
    unsafe_code::check,
    module_docs::check,
    names::check,
    white_space::check,
    links::check,
];

/// The outcome of one look at the repository.
pub struct Report {
    /// Everything that breaks a rule, in the order of the files.
    pub findings: Vec<Finding>,
    files: usize,
    crates: usize,
}

impl Report {
    /// One line that tells how much was looked at and what came of it.
    pub fn summary(&self) -> String {
        let seen = format!("{} rules, {} files, {} crates", CHECKS.len(), self.files, self.crates);
        match self.findings.len() {
            0 => format!("tidy: {seen}, all well"),
            n => format!("tidy: {seen}, {n} to mend"),
        }
    }
}

/// Looks at the repository at `root` with every rule.
///
/// # Errors
///
/// When git or cargo cannot list the repository.
pub fn run(root: &Path) -> anyhow::Result<Report> {
    let tree = Tree::read(root)?;
    let mut findings: Vec<Finding> = CHECKS.iter().flat_map(|check| check(&tree)).collect();
    findings.sort();
    Ok(Report { findings, files: tree.files.len(), crates: tree.crates.len() })
}
