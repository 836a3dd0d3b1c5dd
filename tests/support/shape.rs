//! Outputs that stand in documents, compared with what programs print. Figures may differ.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeSet;

/// A line without what differs from run to run.
pub fn shape(line: &str) -> String {
    let bar = |word: &&str| word.chars().all(|c| c == '#');
    let words = line.split_whitespace().filter(|word| !bar(word));
    let mut line = words.collect::<Vec<_>>().join(" ");
    while line.contains("---") {
        line = line.replace("---", "--");
    }
    let mut shape = String::new();
    let mut rest = line.as_str();
    let digit = |c: char| c.is_ascii_digit();
    while let Some(at) = rest.find(digit) {
        shape.push_str(&rest[..at]);
        rest = &rest[at..];
        let mut end = 0;
        // 127.0.0.1:80 is one number, and so is 0.5; a full stop at the end is none.
        while rest[end..].starts_with(digit)
            || rest[end..].starts_with(['.', ':']) && rest[end + 1..].starts_with(digit)
        {
            end += 1;
        }
        let number = &rest[..end];
        rest = &rest[end..];
        let after = rest.strip_prefix(' ').unwrap_or(rest);
        let unit = ["ns", "us", "µs", "ms", "s"].into_iter().find(|unit| {
            after.strip_prefix(unit).is_some_and(|r| !r.starts_with(char::is_alphanumeric))
        });
        if let Some(unit) = unit {
            shape.push_str("TIME");
            rest = &after[unit.len()..];
        } else {
            shape.push_str(if number.contains(':') { "ADDRESS" } else { "NUMBER" });
        }
    }
    shape + rest
}

/// Whether these lines are what was printed; if not, the first that is not.
pub fn mismatch(lines: &[String], printed: &[String]) -> Option<usize> {
    let gap = |at: usize| lines.get(at).is_some_and(|l| l == "...");
    // Where in the chapter's lines one may be: a gap is also its own end.
    let through = |mut at: usize, places: &mut BTreeSet<usize>| {
        while places.insert(at) && gap(at) {
            at += 1;
        }
    };
    let mut places = BTreeSet::new();
    through(0, &mut places);
    let mut furthest = places.clone();
    for line in printed {
        let mut next = BTreeSet::new();
        for at in places {
            if gap(at) {
                through(at, &mut next);
            } else if lines.get(at) == Some(line) {
                through(at + 1, &mut next);
            }
        }
        furthest.extend(&next);
        places = next;
    }
    if places.contains(&lines.len()) { None } else { furthest.pop_last() }
}
