//! An arrow between two crates goes to a strictly lower layer, so the crates can be read from the bottom up.

use super::finding::Finding;
use super::tree::{Crate, Tree};

/// Looks at `package.metadata.neuro.layer` and the dependencies of every crate of the workspace.
pub fn check(tree: &Tree) -> Vec<Finding> {
    tree.crates.iter().flat_map(|from| arrows(tree, from)).collect()
}

fn arrows(tree: &Tree, from: &Crate) -> Vec<Finding> {
    let Some(layer) = from.layer else {
        let remedy = "add [package.metadata.neuro] with layer = N, one above the highest crate it depends on";
        return vec![Finding::about(&from.manifest, format!("{} names no layer", from.name), remedy)];
    };
    let targets = tree.crates.iter().filter(|to| from.dependencies.contains(&to.name));
    let wrong = targets.filter(|to| to.layer.is_some_and(|lower| lower >= layer));
    wrong.map(|to| wrong_arrow(tree, from, layer, to)).collect()
}

fn wrong_arrow(tree: &Tree, from: &Crate, layer: u64, to: &Crate) -> Finding {
    let text = tree.text(&from.manifest).unwrap_or_default();
    let line = text.lines().position(|l| depends_on(l, &to.name)).map_or(0, |at| at + 1);
    let what = format!("{} (layer {layer}) depends on {} (layer {})", from.name, to.name, to.layer.unwrap_or_default());
    Finding::at(&from.manifest, line, what, "move the shared type down or the decision up")
}

/// Whether a line of a Cargo.toml is the entry of `name`: the name, then a dot, a space or an equals sign.
fn depends_on(line: &str, name: &str) -> bool {
    line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn krate(name: &str, layer: Option<u64>, dependencies: &[&str]) -> Crate {
        let dependencies = dependencies.iter().map(|d| (*d).to_owned()).collect();
        Crate { name: name.into(), manifest: format!("{name}/Cargo.toml"), layer, dependencies }
    }

    fn findings(crates: Vec<Crate>) -> Vec<String> {
        let mut tree = Tree::of(&[("b/Cargo.toml", "[dependencies]\nanyhow = \"1\"\na.workspace = true\n")]);
        tree.crates = crates;
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn arrows_down_are_fine() {
        assert!(findings(vec![krate("a", Some(0), &["serde"]), krate("b", Some(3), &["a"])]).is_empty());
    }

    #[test]
    fn an_arrow_sideways_or_up_is_found_at_its_line() {
        for layer in [1, 2] {
            let found = findings(vec![krate("a", Some(layer), &[]), krate("b", Some(1), &["a"])]);
            assert_eq!(found.len(), 1);
            let expected = format!("b/Cargo.toml:3: b (layer 1) depends on a (layer {layer})");
            assert!(found[0].starts_with(&expected), "{found:?}");
        }
    }

    #[test]
    fn a_crate_without_a_layer_is_found() {
        let found = findings(vec![krate("a", None, &[])]);
        assert!(found[0].contains("a names no layer"), "{found:?}");
    }
}
