//! What the build pulls in: licences, banned crates and sources, by the lists in `deny.toml`.
//!
//! The file has the form that cargo-deny reads, so both can be used; this check needs nothing to be installed.

use super::finding::Finding;
use super::licence;
use super::tree::{Package, Tree};
use std::collections::BTreeMap;
use toml::{Table, Value};

const LISTS: &str = "deny.toml";

/// Looks at every package that a build can need.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let lists = tree.text(LISTS).ok_or_else(|| "is missing".to_owned()).and_then(Lists::parse);
    match lists {
        Ok(lists) => tree.packages.iter().filter(|p| !p.own).flat_map(|p| lists.judge(p)).collect(),
        Err(what) => vec![Finding::about(LISTS, what, "write it as cargo-deny wants it")],
    }
}

struct Lists {
    licences: Vec<String>,
    /// Package name to the licences it alone may have.
    exceptions: BTreeMap<String, Vec<String>>,
    /// Package name to the licence that was read in its files, where its author left the field out.
    clarified: BTreeMap<String, String>,
    /// Package name to the reason against it.
    banned: BTreeMap<String, String>,
    /// Package name to the features that must stay off.
    banned_features: BTreeMap<String, Vec<String>>,
    registries: Vec<String>,
}

impl Lists {
    fn parse(text: &str) -> Result<Self, String> {
        let root: Table = text.parse().map_err(|e| format!("is not valid: {e}"))?;
        let list = |section: &str, key: &str| root.get(section).and_then(|s| s.get(key));
        let entries = |section, key| list(section, key).and_then(Value::as_array).into_iter().flatten();
        let named = |section, key, value| {
            entries(section, key).filter_map(move |e| Some((string(e.get("crate")?)?, string(e.get(value)?)?)))
        };
        let with_list = |section, key, value| {
            entries(section, key).filter_map(move |e| Some((string(e.get("crate")?)?, strings(e.get(value)))))
        };
        Ok(Self {
            licences: strings(list("licenses", "allow")),
            exceptions: with_list("licenses", "exceptions", "allow").collect(),
            clarified: named("licenses", "clarify", "expression").collect(),
            banned: named("bans", "deny", "reason").collect(),
            banned_features: with_list("bans", "features", "deny").collect(),
            registries: strings(list("sources", "allow-registry")),
        })
    }

    fn judge(&self, package: &Package) -> Vec<Finding> {
        [self.source(package), self.ban(package), self.feature(package), self.licence(package)]
            .into_iter()
            .flatten()
            .collect()
    }

    fn source(&self, package: &Package) -> Option<Finding> {
        let source = package.source.as_deref().unwrap_or("a folder outside the workspace");
        let allowed = source.strip_prefix("registry+").is_some_and(|url| self.registries.iter().any(|r| r == url));
        let what = || format!("{} {} comes from {source}", package.name, package.version);
        (!allowed).then(|| Finding::about("Cargo.lock", what(), "depend on a release from crates.io"))
    }

    fn ban(&self, package: &Package) -> Option<Finding> {
        let reason = self.banned.get(&package.name)?;
        let what = format!("{} {} is banned: {reason}", package.name, package.version);
        let remedy = format!("find who wants it with `cargo tree --target all -i {}`", package.name);
        Some(Finding::about("Cargo.lock", what, remedy))
    }

    fn feature(&self, package: &Package) -> Option<Finding> {
        let banned = self.banned_features.get(&package.name)?;
        let feature = package.features.iter().find(|f| banned.contains(f))?;
        let what = format!("{} {} is built with its feature {feature}, which is banned", package.name, package.version);
        let remedy = format!("find who asks for it with `cargo tree --target all -e features -i {}`", package.name);
        Some(Finding::about("Cargo.lock", what, remedy))
    }

    fn licence(&self, package: &Package) -> Option<Finding> {
        let own = self.exceptions.get(&package.name);
        let allowed = |id: &str| self.licences.iter().chain(own.into_iter().flatten()).any(|l| l == id);
        let expression = package.licence.as_ref().or_else(|| self.clarified.get(&package.name));
        let what = match expression {
            Some(expression) if licence::satisfied(expression, &allowed) => return None,
            Some(expression) => format!("{} {} has the licence {expression}", package.name, package.version),
            None => format!("{} {} names no licence", package.name, package.version),
        };
        Some(Finding::about("Cargo.lock", what, "replace the crate, or allow the licence in deny.toml with a reason"))
    }
}

fn string(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn strings(value: Option<&Value>) -> Vec<String> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTRY: &str = "https://github.com/rust-lang/crates.io-index";
    const DENY: &str = r#"
[licenses]
allow = ["MIT", "Apache-2.0"]
exceptions = [{ crate = "roots", allow = ["MPL-2.0"] }]
clarify = [{ crate = "silent", expression = "MIT" }]
[bans]
deny = [{ crate = "openssl-sys", reason = "rustls is used" }]
features = [{ crate = "esaxx-rs", deny = ["cpp"] }]
[sources]
allow-registry = ["https://github.com/rust-lang/crates.io-index"]
"#;

    fn findings(name: &str, licence: Option<&str>, source: Option<String>) -> Vec<String> {
        let mut tree = Tree::of(&[(LISTS, DENY)]);
        let licence = licence.map(str::to_owned);
        let features = vec!["default".to_owned(), "cpp".to_owned()];
        tree.packages =
            vec![Package { name: name.into(), version: "1.0.0".into(), features, licence, source, own: false }];
        check(&tree).iter().map(ToString::to_string).collect()
    }

    fn from_registry(name: &str, licence: Option<&str>) -> Vec<String> {
        findings(name, licence, Some(format!("registry+{REGISTRY}")))
    }

    #[test]
    fn what_the_lists_allow_passes() {
        assert!(from_registry("good", Some("MIT OR GPL-3.0")).is_empty());
        assert!(from_registry("roots", Some("MPL-2.0")).is_empty());
        assert!(from_registry("silent", None).is_empty());
    }

    #[test]
    fn a_licence_outside_the_list_or_none_is_found() {
        assert!(from_registry("bad", Some("GPL-3.0"))[0].contains("bad 1.0.0 has the licence GPL-3.0"));
        assert!(from_registry("other", Some("MPL-2.0"))[0].contains("MPL-2.0"));
        assert!(from_registry("mute", None)[0].contains("mute 1.0.0 names no licence"));
    }

    #[test]
    fn a_banned_crate_is_found_with_the_reason() {
        assert!(from_registry("openssl-sys", Some("MIT"))[0].contains("is banned: rustls is used"));
    }

    #[test]
    fn a_banned_feature_is_found() {
        assert!(from_registry("esaxx-rs", Some("MIT"))[0].contains("built with its feature cpp"));
        assert!(from_registry("other", Some("MIT")).is_empty());
    }

    #[test]
    fn git_other_registries_and_strange_folders_are_found() {
        for source in [Some("git+https://example.org/a".to_owned()), Some("registry+https://else".to_owned()), None] {
            assert!(findings("a", Some("MIT"), source)[0].contains("comes from"));
        }
    }

    #[test]
    fn a_missing_or_broken_list_is_found() {
        assert!(check(&Tree::of(&[]))[0].to_string().starts_with("deny.toml: is missing"));
        assert!(check(&Tree::of(&[(LISTS, "[")]))[0].to_string().starts_with("deny.toml: is not valid"));
    }
}
