//! The repository as the rules see it: texts, paths and crates, all read once.

use super::rust_text::RustText;
use anyhow::{Context, bail};
use cargo_metadata::{Metadata, MetadataCommand};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Everything the rules look at. Built from a folder by [`Tree::read`], or by hand in tests.
#[derive(Default)]
pub struct Tree {
    /// Text files that are tracked by git or could be, by path.
    pub files: BTreeMap<String, File>,
    /// Every such path, files that are not text included, and every folder above one.
    pub paths: BTreeSet<String>,
    /// The crates of the workspace.
    pub crates: Vec<Crate>,
    /// Every package that a build of the workspace can need, on any platform.
    pub packages: Vec<Package>,
}

/// One text file.
pub struct File {
    /// As it lies on disk.
    pub text: String,
    /// For Rust sources: the same without comments and strings.
    pub rust: Option<RustText>,
}

/// One crate of the workspace.
#[derive(Default)]
pub struct Crate {
    /// Its package name.
    pub name: String,
    /// Path of its Cargo.toml.
    pub manifest: String,
    /// `package.metadata.neuro.layer`.
    pub layer: Option<u64>,
    /// Names of everything it depends on, for building, running or testing.
    pub dependencies: Vec<String>,
}

/// One package of the dependency tree.
#[derive(Default)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The features that are switched on.
    pub features: Vec<String>,
    /// The licence expression its author gave.
    pub licence: Option<String>,
    /// Where cargo gets it from; none for a folder.
    pub source: Option<String>,
    /// Whether it is a crate of this workspace.
    pub own: bool,
}

impl Tree {
    /// Reads the repository at `root`.
    ///
    /// # Errors
    ///
    /// When git or cargo is missing or fails, or a listed file cannot be read.
    pub fn read(root: &Path) -> anyhow::Result<Self> {
        let mut tree = Self::default();
        for path in listed_files(root)? {
            let bytes = std::fs::read(root.join(&path)).with_context(|| format!("cannot read {path}"))?;
            tree.add(&path, String::from_utf8(bytes).ok());
        }
        let metadata = MetadataCommand::new().current_dir(root).exec().context("cargo metadata failed")?;
        tree.crates = own_crates(&metadata, root);
        tree.packages = needed_packages(&metadata, root)?;
        Ok(tree)
    }

    /// Adds a path and, where it is text, its content.
    pub fn add(&mut self, path: &str, text: Option<String>) {
        let mut above = path;
        while let Some((folder, _)) = above.rsplit_once('/') {
            self.paths.insert(folder.to_owned());
            above = folder;
        }
        self.paths.insert(path.to_owned());
        if let Some(text) = text {
            let rust = path.ends_with(".rs").then(|| RustText::new(&text));
            self.files.insert(path.to_owned(), File { text, rust });
        }
    }

    /// The text of one file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(|file| file.text.as_str())
    }

    /// Every Rust source with its path.
    pub fn rust_files(&self) -> impl Iterator<Item = (&str, &RustText)> {
        self.files.iter().filter_map(|(path, file)| Some((path.as_str(), file.rust.as_ref()?)))
    }

    /// Every Rust source that is not test code as a whole.
    pub fn production_files(&self) -> impl Iterator<Item = (&str, &RustText)> {
        self.rust_files().filter(|(path, _)| !is_test_path(path))
    }

    /// A tree of the given files alone.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        files.iter().for_each(|(path, text)| tree.add(path, Some((*text).to_owned())));
        tree
    }
}

/// Whether a path holds nothing but tests or measurements.
pub fn is_test_path(path: &str) -> bool {
    let (folders, file) = path.rsplit_once('/').unwrap_or(("", path));
    folders.split('/').any(|folder| ["tests", "benches", "fuzz"].contains(&folder))
        || file == "tests.rs"
        || file.ends_with("_tests.rs")
}

/// What git tracks or would track: build results and other ignored files are not the repository.
fn listed_files(root: &Path) -> anyhow::Result<Vec<String>> {
    let names =
        output_of("git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"], root)?;
    // A file that is deleted but not yet committed is still listed.
    Ok(names.split('\0').filter(|n| !n.is_empty() && root.join(n).is_file()).map(str::to_owned).collect())
}

fn own_crates(metadata: &Metadata, root: &Path) -> Vec<Crate> {
    let own = |package: &&cargo_metadata::Package| Crate {
        name: package.name.to_string(),
        manifest: package.manifest_path.strip_prefix(root).unwrap_or(&package.manifest_path).to_string(),
        layer: package.metadata["neuro"]["layer"].as_u64(),
        dependencies: package.dependencies.iter().map(|d| d.name.clone()).collect(),
    };
    metadata.workspace_packages().iter().map(own).collect()
}

/// What a build really needs. `cargo metadata` alone also lists optional packages that nothing switches on, and knows
/// no features; `cargo tree` knows both but not the licences.
fn needed_packages(metadata: &Metadata, root: &Path) -> anyhow::Result<Vec<Package>> {
    let tree = output_of("cargo", &["tree", "--workspace", "--target=all", "--prefix=none", "--format={p}|{f}"], root)?;
    let needed = features_by_package(&tree);
    let package = |p: &cargo_metadata::Package| {
        let (name, version) = (p.name.to_string(), p.version.to_string());
        let features = needed.get(&(name.clone(), version.clone()))?.iter().cloned().collect();
        let source = p.source.as_ref().map(|s| s.repr.clone());
        let own = metadata.workspace_members.contains(&p.id);
        Some(Package { name, version, features, licence: p.license.clone(), source, own })
    };
    Ok(metadata.packages.iter().filter_map(package).collect())
}

/// Reads lines such as `serde v1.0.2 (proc-macro)|default,derive (*)`.
fn features_by_package(tree: &str) -> BTreeMap<(String, String), BTreeSet<String>> {
    let mut needed: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for (package, features) in tree.lines().filter_map(|line| line.split_once('|')) {
        let mut words = package.split(' ');
        if let (Some(name), Some(version)) = (words.next(), words.next().and_then(|v| v.strip_prefix('v'))) {
            let features = features.trim_end_matches(" (*)").split(',').filter(|f| !f.is_empty());
            needed.entry((name.to_owned(), version.to_owned())).or_default().extend(features.map(str::to_owned));
        }
    }
    needed
}

/// What a command prints.
fn output_of(program: &str, arguments: &[&str], root: &Path) -> anyhow::Result<String> {
    let output = Command::new(program).args(arguments).current_dir(root).output();
    let output = output.with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!("{program} {} failed: {}", arguments[0], String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{program} printed something that is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_above_a_file_are_paths_too() {
        let tree = Tree::of(&[("a/b/c.md", "")]);
        assert_eq!(tree.paths.iter().map(String::as_str).collect::<Vec<_>>(), ["a", "a/b", "a/b/c.md"]);
    }

    #[test]
    fn test_paths_are_told_from_production() {
        for path in ["node/tests/join.rs", "node/src/http/tests.rs", "model/src/rope_tests.rs", "node/benches/a.rs"] {
            assert!(is_test_path(path), "{path}");
        }
        for path in ["node/src/attests.rs", "node/src/latest.rs", "cli/src/main.rs"] {
            assert!(!is_test_path(path), "{path}");
        }
    }

    #[test]
    fn the_features_of_a_package_are_gathered_from_every_place_it_stands() {
        let tree = "neuro v0.1.0 (/x/cli)|\nserde v1.0.2 (proc-macro)|default (*)\nserde v1.0.2|derive,std\n\n";
        let needed = features_by_package(tree);
        assert_eq!(needed.len(), 2);
        let features: Vec<_> = needed[&("serde".to_owned(), "1.0.2".to_owned())].iter().cloned().collect();
        assert_eq!(features, ["default", "derive", "std"]);
    }

    #[test]
    fn a_binary_file_is_a_path_without_text() {
        let mut tree = Tree::default();
        tree.add("weights.bin", None);
        assert!(tree.paths.contains("weights.bin") && tree.files.is_empty());
    }
}
