//! The outputs in the manual are what the examples print. Each example is run, and the shapes
//! are compared.
//!
//! An output is a block of this form; `...` alone on a line stands for any number of lines:
//!
//! ```text
//! cargo run --release --example NAME [-- ARGUMENT...]
//!
//! what it prints
//! ...
//! ```
//! Numbers, durations, addresses and the width of gaps, rules (`---`) and bars (`###`) may
//! differ; all else may not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use crate::example;
use crate::shape::{mismatch, shape};
use crate::support::DEADLINE;

const COMMAND: &str = "cargo run --release --example ";

fn folder() -> PathBuf {
    root().join("docs/manual")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The chapters by name, line by line; the contents are `README`.
fn chapters() -> BTreeMap<String, Vec<String>> {
    let mut chapters = BTreeMap::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let bare = |l: &str| l.trim().to_owned();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        chapters.insert(name, text.lines().map(bare).collect());
    }
    chapters
}

/// An output in a chapter.
struct Output {
    chapter: String,
    /// The example's name, and its arguments.
    example: String,
    /// Each with its number in the file.
    lines: Vec<(usize, String)>,
}

fn outputs() -> Vec<Output> {
    let mut outputs = Vec::new();
    for (chapter, text) in chapters() {
        let mut lines = text.into_iter().zip(1..).map(|(text, number)| (number, text));
        while let Some((_, line)) = lines.next() {
            if line != "```text" {
                continue;
            }
            let mut block = lines.by_ref().take_while(|(_, l)| l != "```");
            let example = match block.next() {
                Some((_, first)) => first.strip_prefix(COMMAND).map(str::to_owned),
                None => None,
            };
            let lines: Vec<_> = block.filter(|(_, l)| !l.is_empty()).collect();
            if let Some(example) = example {
                outputs.push(Output { chapter: chapter.clone(), example, lines });
            }
        }
    }
    outputs
}

fn name(example: &str) -> &str {
    example.split(' ').next().unwrap_or_default()
}

/// What the example prints, up to the deadline.
fn run(binaries: &Path, example: &str) -> Vec<String> {
    let (_, arguments) = example.split_once(" -- ").unwrap_or_default();
    let mut child = Command::new(binaries.join(name(example)))
        .args(arguments.split_whitespace())
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (done, printed) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = stdout.read_to_string(&mut text).map(|_| text);
        done.send(read)
    });
    let printed = printed.recv_timeout(DEADLINE);
    if printed.is_err() {
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    let Ok(printed) = printed else { panic!("{example} does not end") };
    assert!(status.success(), "{example}: {status}");
    let printed = printed.unwrap();
    printed.lines().map(|l| l.trim_end().to_owned()).filter(|l| !l.is_empty()).collect()
}

#[test]
fn the_outputs_in_the_manual_are_those_of_the_examples() {
    if !cfg!(target_os = "linux")
        || cfg!(any(mio_unsupported_force_poll_poll, tidegate_like_kqueue))
    {
        eprintln!("skipped: the outputs in the manual are those of Linux and its epoll");
        return;
    }
    let outputs = outputs();
    assert!(!outputs.is_empty(), "the manual shows no output");
    let names: BTreeSet<&str> = outputs.iter().map(|o| name(&o.example)).collect();
    let binaries = example::build(&names.into_iter().collect::<Vec<_>>());
    let mut printed: BTreeMap<&str, Vec<String>> = BTreeMap::new();

    let mut wrong = Vec::new();
    for Output { chapter, example, lines } in &outputs {
        let printed = printed.entry(example).or_insert_with(|| run(&binaries, example));
        let here: Vec<String> = lines.iter().map(|(_, l)| shape(l)).collect();
        let there: Vec<String> = printed.iter().map(|l| shape(l)).collect();
        if let Some(at) = mismatch(&here, &there) {
            let (number, line) = match lines.get(at) {
                Some((number, line)) => (*number, line.as_str()),
                None => (lines.last().map_or(0, |(n, _)| n + 1), "the end of the block"),
            };
            let printed = printed.join("\n    ");
            wrong.push(format!(
                "docs/manual/{chapter}.md:{number}: not what is printed: {line}\n\
                 {COMMAND}{example} prints now:\n    {printed}\n"
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// A file beside the others is no chapter before it is one of the contents.
#[test]
fn each_chapter_is_in_the_contents() {
    let module = fs::read_to_string(root().join("crates/tidegate/src/manual.rs")).unwrap();
    let mut chapters = chapters();
    let contents = chapters.remove("README").unwrap();
    for name in chapters.keys() {
        assert!(module.lines().any(|l| l.trim() == name), "{name} is not in rustdoc");
        let link = format!("[manual::{name}]: {name}.md");
        assert!(contents.contains(&link), "{name} is not linked");
    }
}

/// The names in the links of a text: `[text][name]`.
fn linked(text: &[String]) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for line in text {
        for (at, _) in line.match_indices("][") {
            names.extend(line[at + 2..].split(']').next());
        }
    }
    names
}

/// A link has two targets: a file, where the folder is browsed, and the documentation of the
/// item, in rustdoc. rustdoc checks the second.
#[test]
fn links_lead_somewhere_in_both_forms() {
    let in_rustdoc = fs::read_to_string(root().join("crates/tidegate/src/links.md")).unwrap();
    let mut wrong = Vec::new();
    let mut checked = 0;
    let mut pages = chapters();
    let tutorial = fs::read_to_string(root().join("docs/tutorial/README.md")).unwrap();
    pages.insert("../tutorial/README".into(), tutorial.lines().map(str::to_owned).collect());
    for (chapter, text) in &pages {
        let defined: BTreeMap<&str, &str> =
            text.iter().filter_map(|l| l.strip_prefix('[')?.split_once("]: ")).collect();
        let linked = linked(text);
        for name in &linked {
            checked += 1;
            if !in_rustdoc.lines().any(|l| l.starts_with(&format!("[{name}]: "))) {
                wrong.push(format!("{name} of {chapter} is not in crates/tidegate/src/links.md"));
            }
            let Some(path) = defined.get(name) else {
                wrong.push(format!("{chapter}: [{name}] has no file"));
                continue;
            };
            let item = name.rsplit("::").next().unwrap();
            match fs::read_to_string(folder().join(format!("{chapter}.md")).with_file_name(path)) {
                Err(e) => wrong.push(format!("{chapter}: {path}: {e}")),
                Ok(file) if !name.starts_with("manual") && !file.contains(item) => {
                    wrong.push(format!("{chapter}: {path} has no {item}"));
                }
                Ok(_) => {}
            }
        }
        let unused = defined.keys().filter(|name| !linked.contains(*name));
        wrong.extend(unused.map(|name| format!("{chapter}: nothing links to [{name}]")));
    }
    assert!(checked > 100, "{checked} links");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn shapes_keep_all_but_figures() {
    for (line, expected) in [
        ("turn  3", "turn NUMBER"),
        ("again in 14ms", "again in TIME"),
        (
            "timed out after 50.5 ms (from 127.0.0.1:5976; idle)",
            "timed out after TIME (from ADDRESS; idle)",
        ),
        ("on 192.0.2.1:0: it took 1.5s.", "on ADDRESS: it took TIME."),
        ("3 servers, 4 sockets.", "NUMBER servers, NUMBER sockets."),
        ("done in 418.745µs", "done in TIME"),
        ("3K #### | 0K      |", "NUMBERK | NUMBERK |"),
        ("----+-------", "--+--"),
        ("", ""),
    ] {
        assert_eq!(shape(line), expected);
    }
}

#[test]
fn a_gap_is_any_number_of_lines() {
    let lines = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    for (chapter, printed, wrong) in [
        ("a b c", "a b c", None),
        ("a ... c", "a c", None),
        ("... c", "a b c b c", None),
        ("a ...", "a b c", None),
        ("a ... b c ... d", "a b x b c d", None),
        ("a b c", "a x c", Some(1)),
        ("a b", "a b c", Some(2)),
        ("... b ... d", "a b c", Some(3)),
        ("a ... b", "b", Some(0)),
    ] {
        assert_eq!(mismatch(&lines(chapter), &lines(printed)), wrong, "{chapter} / {printed}");
    }
}
