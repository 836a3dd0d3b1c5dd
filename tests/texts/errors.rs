//! The catalogue of errors, `docs/manual/errors.md`, names every error, stage and code of the loop,
//! the streams, the connections and the futures, and none that is not there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::links::sources;

/// Types that are no errors themselves, but say what went wrong.
const PARTS: [&str; 5] = ["Reason", "Stage", "Scope", "AddressFault", "PipeStage"];

/// Errors that only carry those of the catalogue.
const CARRIERS: [&str; 4] = ["NetError", "PipeError", "FilterFault", "AddressError"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names of a file's types that are errors: `impl<F> std::error::Error for TickFull<F>`.
fn errors(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|l| l.starts_with("impl"));
    let named = lines
        .filter_map(|l| l.split_once("Error for "))
        .map(|(_, name)| name.chars().take_while(|c| c.is_alphanumeric()).collect());
    named.collect()
}

/// `Type::Variant` of an enum that stands in this file; of a struct, its name.
fn names(text: &str, name: &str) -> Vec<String> {
    let generic = |l: &str, what: &str| {
        l.strip_prefix(&format!("pub {what} {name}"))
            .is_some_and(|l| l.starts_with([' ', '<', ';', '(']))
    };
    if text.lines().any(|l| generic(l, "struct")) {
        return vec![name.to_owned()];
    }
    let body = text.lines().skip_while(|l| !generic(l, "enum")).skip(1).take_while(|l| *l != "}");
    let variants =
        body.filter_map(|l| l.strip_prefix("    ")).filter(|l| l.starts_with(char::is_uppercase));
    variants
        .map(|l| l.chars().take_while(|c| c.is_alphanumeric()).collect::<String>())
        .map(|variant| format!("{name}::{variant}"))
        .collect()
}

#[test]
fn the_catalogue_is_whole() {
    let catalogue = fs::read_to_string(root().join("docs/manual/errors.md")).unwrap();
    let listed: BTreeSet<&str> = catalogue
        .lines()
        .filter_map(|l| l.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name)
        .collect();
    let (mut there, mut types) = (BTreeSet::new(), 0);
    for name in ["tidegate-loop", "tidegate-stream", "tidegate-net", "tidegate-async"] {
        for (_, text) in sources(&root().join("crates").join(name).join("src")) {
            let found = errors(&text).into_iter().filter(|e| !CARRIERS.contains(&e.as_str()));
            for error in found.chain(PARTS.map(str::to_owned)) {
                let names = names(&text, &error);
                types += usize::from(!names.is_empty());
                there.extend(names);
            }
        }
    }
    assert!(types >= 20, "{types} types of errors are found");
    let codes = fs::read_to_string(root().join("crates/tidegate-net/src/sys/unix.rs")).unwrap();
    let (_, codes) = codes.split_once("    names! {").unwrap();
    there.extend(codes.split_once('}').unwrap().0.split_whitespace().map(str::to_owned));
    there.extend(["ENOTFOUND", "EAI_AGAIN"].map(str::to_owned));
    // These are listed by their codes.
    there.retain(|name| !name.starts_with("LookupFault::"));

    let missing: Vec<_> = there.iter().filter(|n| !listed.contains(n.as_str())).collect();
    assert!(missing.is_empty(), "docs/manual/errors.md does not have {missing:#?}");
    let gone: Vec<_> = listed.iter().filter(|n| !there.contains(**n)).collect();
    assert!(gone.is_empty(), "docs/manual/errors.md has what is not there: {gone:#?}");
    for fault in ["NotFound", "TryAgain"] {
        assert!(catalogue.contains(&format!("`LookupFault::{fault}`")));
    }
    for carrier in CARRIERS {
        assert!(catalogue.contains(carrier), "{carrier}");
    }
}

#[test]
fn enums_and_structs_are_taken_apart() {
    let text = "impl<F> std::error::Error for Full<F> {}\npub enum Full<F> {\n    /// A\n    One(F),\n    Two {\n        /// B\n        a: u8,\n    },\n}\npub struct Other;\n";
    assert_eq!(errors(text), ["Full"]);
    assert_eq!(names(text, "Full"), ["Full::One", "Full::Two"]);
    assert_eq!(names(text, "Other"), ["Other"]);
    assert!(names(text, "Fu").is_empty());
}
