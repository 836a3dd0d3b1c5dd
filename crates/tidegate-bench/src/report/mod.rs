//! The report: measures every section, or one of them anew, and writes the page. `sections`
//! holds what is measured, in order; `page` its text. Start there to add a section.
#![forbid(unsafe_code)]

pub(crate) mod compare;
mod machine;
pub(crate) mod memory;
mod page;
mod plots;
mod sections;
mod tuning;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use self::sections::{Bench, Failed, SECTIONS};
use tidegate_bench::suite::Scale;

fn bench(quick: bool, out: &Path) -> Bench {
    // Before anything else uses libuv.
    #[cfg(libuv)]
    tidegate_bench::sys::libuv::count_allocations();
    Bench {
        quick,
        scale: if quick { Scale::QUICK } else { Scale::FULL },
        out: out.to_path_buf(),
        descriptors: tidegate_bench::prepare(),
        begin: Instant::now(),
        busy: None,
        fair: None,
    }
}

fn written(bench: &Bench, at: PathBuf, page: &str) -> io::Result<()> {
    std::fs::create_dir_all(&bench.out)?;
    std::fs::write(&at, page)?;
    bench.say(&format!("written: {}", at.display()));
    Ok(())
}

/// Measures everything, and writes the page and its plots below `out`.
pub(crate) fn run(quick: bool, out: &Path) -> io::Result<()> {
    let mut bench = bench(quick, out);
    let mut page = page::head(quick, &machine::table());
    for section in SECTIONS {
        let text = match (section.measure)(&mut bench) {
            Ok(text) => text,
            Err(Failed::Missing(why)) => {
                bench.say(&format!("skipped: {}: {why}", section.title));
                format!("Not measured: {why}.")
            }
            Err(Failed::Io(error)) => return Err(error),
        };
        page.push_str(&page::section(section.title, &text));
    }
    written(&bench, out.join("BENCHMARKS.md"), &format!("{}\n", page.trim_end()))
}

/// Measures the section of this name, and puts it into the page that is below `out`. A section
/// that cannot be measured leaves the page as it is.
pub(crate) fn one(name: &str, quick: bool, out: &Path) -> io::Result<()> {
    let Some(at) = SECTIONS.iter().position(|s| s.title.eq_ignore_ascii_case(name)) else {
        let names: Vec<&str> = SECTIONS.iter().map(|s| s.title).collect();
        let known = names.join("\n  ");
        return Err(io::Error::other(format!("no section {name:?}; there are:\n  {known}")));
    };
    let path = out.join("BENCHMARKS.md");
    let old = std::fs::read_to_string(&path)?;
    let mut bench = bench(quick, out);
    let section = &SECTIONS[at];
    let text = (section.measure)(&mut bench).map_err(|failed| match failed {
        Failed::Missing(why) => io::Error::other(format!("{}: {why}", section.title)),
        Failed::Io(error) => error,
    })?;
    let look = if quick { ", with `--quick`: a look, not a result" } else { "" };
    let when = format!("{}{look}", machine::when());
    let when = page::later(&old, &when, &machine::settings());
    let text = page::section(section.title, &format!("{when}{text}"));
    let later: Vec<&str> = SECTIONS[at + 1..].iter().map(|s| s.title).collect();
    written(&bench, path, &page::replaced(&old, section.title, &text, &later))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_section_is_an_error_that_names_those_there_are() {
        let error = one("No such", true, Path::new("/nowhere")).unwrap_err().to_string();
        assert!(error.contains("\n  Tuning accept"), "{error}");
    }

    #[test]
    fn the_page_in_the_repository_has_the_sections_in_their_order() {
        let page = include_str!("../../../../BENCHMARKS.md");
        let titles: Vec<&str> = page.lines().filter_map(|l| l.strip_prefix("## ")).collect();
        let known: Vec<&str> = SECTIONS.iter().map(|s| s.title).collect();
        let known: Vec<&str> = known.into_iter().filter(|t| titles.contains(t)).collect();
        assert_eq!(titles[0], "The machine");
        assert_eq!(titles[1..], known, "every heading is a section, in its order");
    }
}
