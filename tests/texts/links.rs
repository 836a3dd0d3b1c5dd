//! The links between the files of the repository lead to files and headings that are there. Links of
//! the manual's chapters to items of the documentation are in `manual.rs`; rustdoc checks its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files with this ending below a folder, but for what is built or not ours.
fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with("target") && !name.starts_with('.') && name != "node_modules" {
                files(&path, ending, found);
            }
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
}

/// The source files below a folder, with their texts.
pub(crate) fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    files(folder, ".rs", &mut found);
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// The lines of a page outside of its blocks of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    })
}

/// Where the links of a line lead: `[text](target)`, `[name]: target`, `src="target"`.
fn targets(line: &str) -> Vec<&str> {
    let mut targets = Vec::new();
    for (at, _) in line.match_indices("](") {
        targets.extend(line[at + 2..].split([')', ' ']).next());
    }
    if line.starts_with('[') {
        targets.extend(line.split_once("]: ").map(|(_, target)| target.trim()));
    }
    for (at, start) in line.match_indices("src=\"") {
        targets.extend(line[at + start.len()..].split('"').next());
    }
    targets
}

/// What a heading is called in a link: lower case, words with hyphens.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-' || *c == '_');
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    prose(text).filter(|l| l.starts_with('#')).map(anchor).collect()
}

#[test]
fn links_between_files_lead_somewhere() {
    let mut pages = Vec::new();
    files(root(), ".md", &mut pages);
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for page in pages {
        // Its targets are items of the documentation.
        if page.ends_with("crates/tidegate/src/links.md") {
            continue;
        }
        let text = fs::read_to_string(&page).unwrap();
        let name = page.strip_prefix(root()).unwrap().display().to_string();
        for target in prose(&text).flat_map(targets) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            checked += 1;
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let to = match path {
                "" => page.clone(),
                path => page.parent().unwrap().join(path),
            };
            if !to.exists() {
                wrong.push(format!("{name}: {target}: there is no such file"));
            } else if !heading.is_empty() && path.is_empty() | path.ends_with(".md") {
                let text = fs::read_to_string(&to).unwrap();
                if !anchors(&text).contains(heading) {
                    wrong.push(format!("{name}: {target}: there is no such heading"));
                }
            }
        }
    }
    assert!(checked > 200, "{checked} links");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn targets_and_headings_are_found() {
    assert_eq!(targets("see [a](b.md#c) and [d](e) "), ["b.md#c", "e"]);
    assert_eq!(targets("[a::b]: ../c.rs"), ["../c.rs"]);
    assert_eq!(targets("<img src=\"x.svg\">"), ["x.svg"]);
    assert_eq!(anchor("## Exceptions to law 1"), "exceptions-to-law-1");
    assert_eq!(anchor("# `Full`, and then?"), "full-and-then");
    let text = "a\n```rust\n# [hidden](x)\n```\nb";
    assert_eq!(prose(text).collect::<Vec<_>>(), ["a", "b"]);
}
