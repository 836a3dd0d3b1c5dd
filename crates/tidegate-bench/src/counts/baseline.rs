//! The figures of the last commit: `counts.txt`, a name and a count on each line.
//! Instructions depend on the compiler, so they stand under its version and are compared
//! with none but their own.
#![forbid(unsafe_code)]

use std::fmt::Write;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use super::Count;

/// What a count may grow by without a new baseline, as a share of it.
const TOLERANCE: f64 = 0.03;
/// A growth below this is none: counts that are zero stay comparable.
const SMALLEST: f64 = 0.02;

const RUSTC: &str = env!("TIDEGATE_BENCH_RUSTC");
const HEAD: &str = "\
# Counts per operation. Written by: cargo run --release -p tidegate-bench -- counts --update
# A count that grows by more than 3 % fails; change this file in the same commit, and say why.
";

fn needs_compiler(name: &str) -> bool {
    name.starts_with("instructions/")
}

/// The lines that hold for this compiler.
fn lines(text: &str) -> impl Iterator<Item = (&str, f64)> {
    let mut rustc = None;
    text.lines().filter_map(move |line| {
        if let Some(section) = line.strip_prefix('[') {
            rustc = section.strip_suffix(']');
        }
        let (name, count) = line.split_once(' ')?;
        let holds = rustc.is_none_or(|rustc| rustc == RUSTC);
        Some((name, count.trim().parse().ok()?)).filter(|_| holds)
    })
}

/// What other compilers counted stays.
fn other_sections(text: &str) -> String {
    let sections = text.split("\n[").skip(1);
    let others = sections.filter(|s| s.split(']').next() != Some(RUSTC));
    others.map(|s| format!("\n[{}\n", s.trim_end())).collect()
}

pub(super) fn write(file: &Path, counts: &[Count]) -> io::Result<()> {
    let old = std::fs::read_to_string(file).unwrap_or_default();
    let mut text = HEAD.to_owned();
    let line = |text: &mut String, (name, count): &Count| {
        let _ = writeln!(text, "{name:<36} {count:>10.2}");
    };
    counts.iter().filter(|c| !needs_compiler(&c.0)).for_each(|c| line(&mut text, c));
    let _ = write!(text, "\n[{RUSTC}]\n");
    counts.iter().filter(|c| needs_compiler(&c.0)).for_each(|c| line(&mut text, c));
    text += &other_sections(&old);
    std::fs::write(file, text)
}

pub(super) fn compare(text: &str, counts: &[Count]) -> ExitCode {
    let mut grown = Vec::new();
    println!("\n{:<36} {:>10} {:>10}", "per operation", "before", "now");
    for (name, now) in counts {
        let before = lines(text).find(|(known, _)| known == name).map(|(_, count)| count);
        let Some(before) = before else {
            println!("{name:<36} {:>10} {now:>10.2}  no baseline for {RUSTC}", "-");
            continue;
        };
        let grew = now - before > (before * TOLERANCE).max(SMALLEST);
        println!("{name:<36} {before:>10.2} {now:>10.2}{}", if grew { "  GREW" } else { "" });
        if grew {
            grown.push(name.as_str());
        }
    }
    if grown.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "\n{} grew by more than {:.0} %: if that is what you want, run \
         `cargo run --release -p tidegate-bench -- counts --update` and commit counts.txt",
        grown.join(", "),
        TOLERANCE * 100.0
    );
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(count: f64, rustc: &str) -> String {
        format!("# a\nallocations/echo 0.00\n\n[{rustc}]\ninstructions/echo {count}\n")
    }

    fn compared(before: f64, now: f64) -> bool {
        let counts = [("instructions/echo".to_owned(), now)];
        format!("{:?}", compare(&text(before, RUSTC), &counts))
            == format!("{:?}", ExitCode::SUCCESS)
    }

    #[test]
    fn a_count_may_grow_by_three_percent() {
        assert!(compared(100.0, 103.0) && compared(100.0, 50.0));
        assert!(!compared(100.0, 103.1));
    }

    #[test]
    fn zero_stays_zero() {
        let counts = [("allocations/echo".to_owned(), 1.0)];
        let failed = format!("{:?}", compare(&text(1.0, RUSTC), &counts));
        assert_eq!(failed, format!("{:?}", ExitCode::FAILURE));
    }

    #[test]
    fn instructions_of_another_compiler_are_not_compared_and_stay() {
        let old = text(1.0, "rustc 0.1");
        assert_eq!(lines(&old).collect::<Vec<_>>(), [("allocations/echo", 0.0)]);
        assert_eq!(other_sections(&old), "\n[rustc 0.1]\ninstructions/echo 1\n");
        assert_eq!(other_sections(&text(1.0, RUSTC)), "");
    }
}
