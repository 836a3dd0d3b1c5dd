//! Instructions per operation: the bench `instructions`, run by cargo under valgrind.
#![forbid(unsafe_code)]

use std::process::{Command, Stdio};

use serde_json::Value;
use tidegate_bench::counted::OPERATIONS;

use super::{Count, Counted};

/// A line of the runner's output: the operation's name, and the instructions of its run.
fn parse(line: &str) -> Option<Count> {
    let summary: Value = serde_json::from_str(line).ok()?;
    let name = summary["id"].as_str()?;
    let total = summary["profiles"].as_array()?.iter().find_map(|profile| {
        let ir = &profile["summaries"]["total"]["summary"]["Callgrind"]["Ir"]["metrics"];
        let now = ["Left", "Both"].iter().find_map(|side| match &ir[side] {
            Value::Array(pair) => pair.first(),
            Value::Null => None,
            one => Some(one),
        })?;
        now["Int"].as_u64().or(now.as_u64())
    })?;
    Some((format!("instructions/{name}"), total as f64 / f64::from(OPERATIONS)))
}

pub(super) fn count() -> Counted {
    for (tool, install) in [
        ("valgrind", "install it from your system's packages"),
        ("gungraun-runner", "cargo install gungraun-runner --version 0.18.2"),
    ] {
        let found = Command::new(tool).arg("--version").stdout(Stdio::null()).status();
        found.map_err(|e| format!("no {tool} ({e}): {install}"))?;
    }
    println!("counting instructions ...");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let ran = Command::new(cargo)
        .args(["bench", "-q", "-p", "tidegate-bench", "--bench", "instructions", "--"])
        .arg("--output-format=json")
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&ran.stdout);
    let counts: Vec<Count> = said.lines().filter_map(parse).collect();
    if !ran.status.success() || counts.is_empty() {
        return Err(format!("the bench ended with {}: {said}", ran.status));
    }
    Ok(counts)
}
