//! Rules on the sources themselves.

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
    for (file, text) in crates() {
        let name = file.file_name().unwrap().to_str().unwrap();
        let in_stream = file.to_string_lossy().contains("tidegate-stream");
        if in_stream && ["write.rs", "read.rs", "duplex.rs"].contains(&name) {
            for word in ["std::io", "std::net", "std::time", "std::thread", "tidegate_loop", "mio"]
            {
                assert!(!text.contains(&format!("{word}::")), "{word} in {name}");
            }
        }
    }
}

/// What the stream crate stands on: bytes and the loop, nothing else.
#[test]
fn the_stream_crate_depends_on_two() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/tidegate-stream/Cargo.toml");
    let text = std::fs::read_to_string(manifest).unwrap();
    let dependencies = text.split("[dependencies]").nth(1).unwrap().split('[').next().unwrap();
    let names: Vec<_> = dependencies.lines().filter_map(|l| l.split(['.', ' ']).next()).collect();
    assert_eq!(names.join(" ").trim(), "bytes tidegate-loop");
}

/// One concept, one file: none over 800 lines, and the turn under 500.
#[test]
fn files_stay_small() {
    for (file, text) in crates() {
        let lines = text.lines().count();
        assert!(lines <= 800, "{} has {lines} lines", file.display());
        assert!(
            text.trim_start().starts_with("//!") || text.starts_with("#![doc"),
            "{}",
            file.display()
        );
    }
    let turn = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/tidegate-loop/src/turn.rs");
    let lines = std::fs::read_to_string(turn).unwrap().lines().count();
    assert!(lines < 500, "turn.rs has {lines} lines");
}
