//! `tests/README.md` says which test holds which rule. Every test that it names exists.

use std::fs;
use std::path::{Path, PathBuf};

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// The names of the tests in a file of Rust.
fn tests_of(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while lines.any(|line| line == "#[test]") {
        let function = lines.find_map(|line| line.strip_prefix("fn "));
        names.extend(function.and_then(|line| line.split('(').next()));
    }
    names
}

/// All files of Rust below a folder, as paths and texts.
fn sources(folder: &Path, into: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("target") {
                sources(&path, into);
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            into.push((path, text));
        }
    }
}

/// The text of the module at a path: that of a file, or of a room's `mod.rs`.
fn module(path: &Path) -> Option<String> {
    let files = [path.with_extension("rs"), path.join("mod.rs")];
    files.iter().find_map(|file| fs::read_to_string(file).ok())
}

/// Why a name of the form `binary::file`, `binary::room::file::test` or `file.rs::test` names
/// nothing; `None` if it names something, or is no name of a test.
fn names_nothing(name: &str, crates: &[(PathBuf, String)]) -> Option<Result<(), String>> {
    let (first, rest) = name.split_once("::")?;
    let (texts, test): (Vec<String>, _) = if first.ends_with(".rs") {
        let file = |(path, _): &&(PathBuf, String)| path.ends_with(first);
        (crates.iter().filter(file).map(|(_, text)| text.clone()).collect(), Some(rest))
    } else {
        let binary = tests().join(first);
        if !binary.join("main.rs").exists() {
            return None;
        }
        let text = |names: &str| {
            module(&names.split("::").fold(binary.clone(), |path, name| path.join(name)))
        };
        match (text(rest), rest.rsplit_once("::")) {
            (None, Some((file, test))) => (text(file).into_iter().collect(), Some(test)),
            (found, _) => (found.into_iter().collect(), None),
        }
    };
    if texts.is_empty() {
        return Some(Err(format!("{name}: there is no such file")));
    }
    let Some(test) = test else { return Some(Ok(())) };
    let there =
        texts.iter().flat_map(|text| tests_of(text)).any(|t| match test.strip_suffix('*') {
            Some(begin) => t.starts_with(begin),
            None => t == test,
        });
    Some(if there { Ok(()) } else { Err(format!("{name}: there is no such test")) })
}

#[test]
fn every_test_that_the_readme_names_exists() {
    let mut crates = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("crates"), &mut crates);
    let readme = fs::read_to_string(tests().join("README.md")).unwrap();
    // Between backticks: every second piece.
    let names = readme.split('`').skip(1).step_by(2);
    let checked: Vec<_> = names.filter_map(|name| names_nothing(name, &crates)).collect();
    assert!(checked.len() > 200, "{} names", checked.len());
    let missing: Vec<_> = checked.into_iter().filter_map(Result::err).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

/// A binary whose files nobody finds is no help.
#[test]
fn the_architecture_names_every_binary_of_tests() {
    let architecture = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let architecture = fs::read_to_string(architecture).unwrap();
    for entry in fs::read_dir(tests()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if path.join("main.rs").exists() {
            assert!(architecture.contains(&format!("`{name}/`")), "{name}");
        }
    }
}
