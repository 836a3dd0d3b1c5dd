//! Two reports: how far their ratios are apart.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::process::ExitCode;

/// More than this, and one of the two runs is not to be trusted.
const MOST: f64 = 0.10;

/// Every ratio of a page, by section, workload and contender.
fn ratios(page: &str) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    let (mut section, mut header) = ("", Vec::new());
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            section = title;
        }
        let Some(row) = line.strip_prefix('|').and_then(|l| l.strip_suffix('|')) else {
            header.clear();
            continue;
        };
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        if header.is_empty() {
            header = cells;
            continue;
        }
        for (name, cell) in header.iter().zip(&cells) {
            let ratio = cell.split_once(" ±").and_then(|(ratio, _)| ratio.parse().ok());
            let ratio = ratio.filter(|r: &f64| *r > 0.0);
            if let (Some(ratio), Some(what)) = (ratio, cells.last()) {
                found.insert(format!("{section}: {what}, to {name}"), ratio);
            }
        }
    }
    found
}

/// Says the largest differences; fails if one is too large, or there is nothing to compare.
pub(crate) fn run(old: &str, new: &str) -> Result<ExitCode, String> {
    let (old, new) = (ratios(old), ratios(new));
    let mut apart: Vec<(f64, &String, f64, f64)> = old
        .iter()
        .filter_map(|(name, a)| new.get(name).map(|b| ((b / a - 1.0).abs(), name, *a, *b)))
        .collect();
    if apart.is_empty() {
        return Err("the two have no ratio in common".into());
    }
    apart.sort_by(|a, b| b.0.total_cmp(&a.0));
    let beyond = apart.iter().filter(|d| d.0 >= MOST).count();
    println!("{} ratios in both; {beyond} differ by 10 % or more; the largest:", apart.len());
    for (share, name, a, b) in apart.iter().take(beyond.max(5)) {
        println!("{:>5.1} %  {a:.2} -> {b:.2}  {name}", share * 100.0);
    }
    Ok(if beyond == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "## A\n\n| floor | libuv | tidegate | workload |\n|---:|---:|---:|---|\n\
                        | 1.00 ±0.01 | - | 5 us | accept, 64 at once |\n\n| x | y |\n|---|---|\n\
                        | 1 | 2 |\n";

    #[test]
    fn ratios_are_found_by_name() {
        let found = ratios(PAGE);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found["A: accept, 64 at once, to floor"], 1.0);
    }

    #[test]
    fn a_tenth_is_too_much() {
        assert_eq!(run(PAGE, &PAGE.replace("1.00 ±", "1.09 ±")), Ok(ExitCode::SUCCESS));
        assert_eq!(run(PAGE, &PAGE.replace("1.00 ±", "1.11 ±")), Ok(ExitCode::FAILURE));
        assert!(run(PAGE, "").is_err());
    }
}
