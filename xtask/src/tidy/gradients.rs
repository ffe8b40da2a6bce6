//! Gradients are asked of burn in one crate alone: whoever only runs a model does not build what trains one.

use super::finding::Finding;
use super::tree::Tree;

/// The crate that may.
const TRAINS: &str = "neuro-training";

/// Features of burn that bring gradients with them.
const FEATURES: [&str; 3] = ["\"autodiff\"", "\"optim\"", "\"train\""];

/// Looks at every manifest, the workspace's among them.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let own = tree.crates.iter().filter(|krate| krate.name != TRAINS).map(|krate| krate.manifest.as_str());
    own.chain(["Cargo.toml"]).flat_map(|manifest| lines(tree, manifest)).collect()
}

fn lines<'a>(tree: &'a Tree, manifest: &'a str) -> impl Iterator<Item = Finding> + 'a {
    let lines = tree.text(manifest).unwrap_or_default().lines().enumerate();
    lines.filter(|(_, line)| asks_for_gradients(line)).map(move |(at, _)| {
        let what = format!("gradients of burn outside {TRAINS}");
        Finding::at(manifest, at + 1, what, format!("move what needs them to {TRAINS}, or leave the feature out"))
    })
}

fn asks_for_gradients(line: &str) -> bool {
    let burn = line.strip_prefix("burn").is_some_and(|rest| rest.starts_with(['.', ' ', '=']));
    line.starts_with("burn-autodiff") || (burn && FEATURES.iter().any(|feature| line.contains(feature)))
}

#[cfg(test)]
mod tests {
    use super::super::tree::Crate;
    use super::*;

    fn findings(name: &str, manifest: &str) -> Vec<String> {
        let mut tree = Tree::of(&[("a/Cargo.toml", manifest), ("Cargo.toml", "burn = { version = \"0.22\" }\n")]);
        tree.crates = vec![Crate { name: name.into(), manifest: "a/Cargo.toml".into(), ..Crate::default() }];
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn gradients_outside_training_are_found_at_their_line() {
        let asked = "[dependencies]\nburn = { workspace = true, features = [\"autodiff\"] }\n";
        assert!(findings("neuro-inference", asked)[0].starts_with("a/Cargo.toml:2: gradients of burn outside"));
        assert_eq!(findings("neuro-inference", "burn-autodiff = \"0.22\"\n").len(), 1);
        assert!(findings(TRAINS, asked).is_empty());
    }

    #[test]
    fn burn_without_gradients_is_fine() {
        assert!(findings("neuro-expert-runtime", "burn = [\"dep:burn\"]\nburn.workspace = true\n").is_empty());
    }
}
