//! Links between the pages of the repository lead somewhere.

use super::finding::Finding;
use super::tree::Tree;

/// Looks at every `[text](target)` and `[name]: target` outside code that is no web address.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let pages = tree.files.iter().filter(|(path, _)| path.ends_with(".md"));
    pages.flat_map(|(path, file)| broken(tree, path, &file.text)).collect()
}

fn broken(tree: &Tree, page: &str, text: &str) -> Vec<Finding> {
    let links = prose(text).flat_map(|(number, line)| targets(&line).into_iter().map(move |t| (number, t)));
    let dead = links.filter(|(_, target)| !leads_somewhere(tree, page, target));
    dead.map(|(number, target)| {
        Finding::at(page, number, format!("the link to {target} leads nowhere"), "mend the path or the heading")
    })
    .collect()
}

/// Numbered lines outside fenced code, with code spans blanked.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> + '_ {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then(|| (at + 1, line.split('`').step_by(2).collect::<Vec<_>>().join("")))
    })
}

fn targets(line: &str) -> Vec<String> {
    let inline = line.match_indices("](").filter_map(|(at, _)| line[at + 2..].split([')', ' ']).next());
    let named = line.strip_prefix('[').and_then(|l| l.split_once("]: ")).map(|(_, target)| target.trim());
    let all = inline.chain(named).filter(|t| !t.is_empty());
    all.filter(|t| !["http:", "https:", "mailto:"].iter().any(|s| t.starts_with(s))).map(str::to_owned).collect()
}

fn leads_somewhere(tree: &Tree, page: &str, target: &str) -> bool {
    let (path, heading) = target.split_once('#').map_or((target, None), |(path, heading)| (path, Some(heading)));
    let Some(path) = (if path.is_empty() { Some(page.to_owned()) } else { resolve(page, path) }) else { return false };
    match (heading, tree.text(&path)) {
        (Some(heading), Some(text)) if path.ends_with(".md") => {
            text.lines().any(|l| anchor(l).as_deref() == Some(heading))
        }
        _ => path.is_empty() || tree.paths.contains(&path),
    }
}

/// The target from the root of the repository; none when it lies outside.
fn resolve(page: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The anchor that web views make of a heading: lower case, words joined by hyphens, other signs dropped.
fn anchor(line: &str) -> Option<String> {
    let heading = line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' ')?;
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    Some(kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(page: &str) -> Vec<String> {
        let tree = Tree::of(&[("docs/a.md", page), ("docs/b.md", "# Way of one token, or two\n"), ("README.md", "")]);
        check(&tree).iter().map(|f| f.what.clone()).collect()
    }

    #[test]
    fn links_that_lead_somewhere_are_fine() {
        for link in [
            "[b](b.md)",
            "[b](./b.md#way-of-one-token-or-two)",
            "[r](../README.md), [d](../docs)",
            "[w](https://example.org/x.md)",
            "`[x](gone.md)`",
            "```\n[x](gone.md)\n```",
            "## Here\n[h](#here)",
            "[n]: ../README.md",
        ] {
            assert!(dead(link).is_empty(), "{link}: {:?}", dead(link));
        }
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        for link in ["[x](gone.md)", "[x](b.md#other)", "[x](../../out.md)", "[x](#nothing)", "[x]: gone.md"] {
            assert_eq!(dead(link).len(), 1, "{link}");
        }
    }
}
