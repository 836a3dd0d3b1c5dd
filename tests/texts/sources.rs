//! Rules on the sources themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn rust_files(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

fn crates() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root).unwrap() {
        rust_files(&entry.unwrap().path().join("src"), &mut files);
    }
    assert!(files.len() > 20, "{files:?}");
    files.into_iter().map(|f| (f.clone(), std::fs::read_to_string(f).unwrap())).collect()
}

fn tests() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"), &mut files);
    assert!(files.len() > 20, "{files:?}");
    files.into_iter().map(|f| (f.clone(), std::fs::read_to_string(f).unwrap())).collect()
}

/// `unsafe` stands only under `sys/`: crate roots deny it, allow it on `mod
/// sys` alone, and every other file forbids it.
#[test]
fn unsafe_only_under_sys() {
    for (file, text) in crates() {
        let name = file.display();
        let in_sys = file.components().any(|c| c.as_os_str() == "sys");
        let is_root = file.file_name().is_some_and(|n| n == "lib.rs");
        if is_root {
            assert!(text.contains("#![deny(unsafe_code)]"), "{name}");
            for (at, _) in text.match_indices("#[allow(unsafe_code)]") {
                let rest = &text[at..];
                let next = rest.lines().nth(1).unwrap_or_default();
                assert_eq!(next.trim().trim_start_matches("pub "), "mod sys;", "{name}");
            }
        } else if !in_sys {
            assert!(text.contains("#![forbid(unsafe_code)]"), "{name}");
        }
        if !in_sys {
            let uses = ["unsafe {", "unsafe fn", "unsafe impl"];
            assert!(!uses.iter().any(|u| text.contains(u)), "{name}");
        }
    }
}

/// Platform code sits in `sys/`; nothing else has `cfg(target_os)` or
/// `cfg(unix)`.
#[test]
fn platforms_only_under_sys() {
    for (file, text) in crates() {
        if file.components().any(|c| c.as_os_str() == "sys") {
            continue;
        }
        for word in ["target_os", "cfg(unix)", "cfg(windows)", "cfg(not(unix))"] {
            assert!(!text.contains(word), "{word} in {}", file.display());
        }
    }
}

/// The machines are sans-I/O: they name no loop, socket, clock or `std::io`.
#[test]
fn machines_name_no_io() {
    let room = Path::new("tidegate-stream").join("src").join("machine");
    let mut machines = 0;
    for (file, text) in crates() {
        if !file.parent().is_some_and(|folder| folder.ends_with(&room)) {
            continue;
        }
        machines += 1;
        for word in ["std::io", "std::net", "std::time", "std::thread", "tidegate_loop", "mio"] {
            assert!(!text.contains(&format!("{word}::")), "{word} in {}", file.display());
        }
    }
    assert!(machines >= 5, "{machines} files in {}", room.display());
}

/// What the stream crate stands on: bytes and the loop, nothing else.
#[test]
fn the_stream_crate_depends_on_little() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/tidegate-stream/Cargo.toml");
    let text = std::fs::read_to_string(manifest).unwrap();
    let dependencies = text.split("[dependencies]").nth(1).unwrap().split('[').next().unwrap();
    let names: Vec<_> = dependencies.lines().filter_map(|l| l.split(['.', ' ']).next()).collect();
    assert_eq!(names.join(" ").trim(), "bytes slab tidegate-loop");
}

/// One concept, one file: none has more than 500 lines, and each says first what lives there.
#[test]
fn files_stay_small() {
    for (file, text) in crates().into_iter().chain(tests()) {
        let lines = text.lines().count();
        assert!(lines <= 500, "{} has {lines} lines", file.display());
        assert!(
            text.trim_start().starts_with("//!") || text.starts_with("#![doc"),
            "{}",
            file.display()
        );
    }
}

/// A folder of tests has at most ten files beside its `main.rs` or `mod.rs`: more want rooms.
#[test]
fn tests_stand_in_rooms() {
    let mut folders = BTreeMap::<PathBuf, usize>::new();
    for (file, _) in tests() {
        if !file.ends_with("main.rs") && !file.ends_with("mod.rs") {
            *folders.entry(file.parent().unwrap().to_owned()).or_default() += 1;
        }
    }
    folders.retain(|_, files| *files > 10);
    assert!(folders.is_empty(), "{folders:?}");
}

/// The root of `tidegate` shows what programs name; the rest is in its modules. Every name is
/// written there, so that a new one is a decision.
#[test]
fn the_root_shows_at_most_40_names() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/tidegate/src/lib.rs");
    let text = std::fs::read_to_string(file).unwrap();
    let inner = ["//", "    pub use "];
    let root: Vec<_> = text.lines().filter(|l| !inner.iter().any(|i| l.starts_with(i))).collect();
    let root = root.join("\n");
    assert!(!root.contains("::*"), "a glob at the root");
    let mut names = BTreeSet::new();
    for path in paths_after(&root, "\npub use ") {
        assert!(names.insert(path.last().unwrap().clone()), "{path:?} twice");
    }
    for (at, word) in root.match_indices("\npub mod ") {
        let rest = &root[at + word.len()..];
        names.insert(rest.split([' ', ';']).next().unwrap().to_owned());
    }
    for known in ["Loop", "TimerKey", "kind", "tidegate_net", "prelude", "prometheus"] {
        assert!(names.contains(known), "{known} in {names:?}");
    }
    assert!(names.len() <= 40, "{} names: {names:?}", names.len());
}

/// The most files of each crate that may import each other in a circle. These numbers only
/// become smaller.
#[rustfmt::skip] // a line for each crate
const LARGEST_CIRCLES: [(&str, usize); 7] = [
    ("tidegate-loop", 3),
    ("tidegate-stream", 0),
    ("tidegate-net", 0),
    ("tidegate-tls", 0),
    ("tidegate-http", 0),
    ("tidegate-async", 0),
    ("tidegate-otel", 0),
];

/// Imports inside a crate go down: no circle of files is larger than the one that is known.
#[test]
fn imports_go_down() {
    for (name, most) in LARGEST_CIRCLES {
        let imports = imports_of(name);
        let circle = largest_circle(&imports);
        assert!(circle.len() <= most, "{name}: {} files, not {most}: {circle:?}", circle.len());
        assert!(circle.len() == most, "{name}: now {}: write that instead of {most}", circle.len());
    }
}

/// The files of a crate, by the path of their module, and which of them each imports.
fn imports_of(name: &str) -> BTreeMap<String, BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates").join(name).join("src");
    let mut files = BTreeMap::new();
    for (file, text) in crates() {
        let Ok(path) = file.strip_prefix(&root) else { continue };
        let path = path.with_extension("").to_str().unwrap().replace(['/', '\\'], "::");
        let module = path.trim_end_matches("::mod").to_owned();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let code: Vec<_> = code.lines().filter(|l| !l.trim_start().starts_with("//")).collect();
        files.insert(module, code.join("\n"));
    }
    let owner = |path: &[String]| {
        let longest = (1..=path.len()).rev().map(|n| path[..n].join("::"));
        longest.into_iter().find(|module| files.contains_key(module))
    };
    // What the root hands on stands for the file that defines it.
    let handed_on: BTreeMap<_, _> = paths_after(&files["lib"], "use ")
        .into_iter()
        .map(|path| if path[0] == "crate" { path[1..].to_vec() } else { path })
        .filter_map(|path| Some((path.last()?.clone(), owner(&path)?)))
        .collect();
    let imports = |module: &String, code: &String| {
        let paths = paths_after(code, "crate::");
        let known = paths.iter().filter_map(|p| owner(p).or(handed_on.get(&p[0]).cloned()));
        (module.clone(), known.filter(|m| m != module).collect())
    };
    files.iter().filter(|(m, _)| *m != "lib").map(|(m, code)| imports(m, code)).collect()
}

/// Each path after a word, the groups in it taken apart.
fn paths_after(code: &str, word: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices(word) {
        let before = code[..at].chars().next_back();
        if before.is_none_or(|c| !c.is_alphanumeric() && !"_$:".contains(c)) {
            take_path(&code[at + word.len()..], &[], &mut paths);
        }
    }
    paths
}

/// Reads `a::{b, c::d}`; returns what comes after it.
fn take_path<'a>(text: &'a str, before: &[String], paths: &mut Vec<Vec<String>>) -> &'a str {
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = take_path(rest.trim_start(), before, paths).trim_start();
            match rest.strip_prefix(',').map(str::trim_start) {
                Some(more) if !more.starts_with('}') => rest = more,
                Some(end) => return &end[1..],
                None => return rest.strip_prefix('}').unwrap_or(rest),
            }
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let mut path = before.to_vec();
    path.push(text[..end].to_owned());
    match text[end..].strip_prefix("::") {
        Some(rest) => take_path(rest, &path, paths),
        None => {
            paths.push(path);
            &text[end..]
        }
    }
}

/// The most files of which each leads to each other.
fn largest_circle(imports: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<&String> {
    let reached = |from: &String| {
        let mut seen: BTreeSet<&String> = BTreeSet::new();
        let mut next: Vec<_> = imports[from].iter().collect();
        while let Some(file) = next.pop() {
            if seen.insert(file) {
                next.extend(&imports[file]);
            }
        }
        seen
    };
    let reached: BTreeMap<_, _> = imports.keys().map(|file| (file, reached(file))).collect();
    let circle = |file| {
        let back = reached[file].iter().copied().filter(|other| reached[other].contains(file));
        back.collect::<BTreeSet<_>>()
    };
    imports.keys().map(circle).max_by_key(BTreeSet::len).unwrap_or_default()
}
