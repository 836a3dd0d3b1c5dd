//! System calls per operation: strace at a process of ours, and what its loop's thread
//! called. Two runs of different length, so that what begins and ends it falls out.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use super::{Count, Counted, operate};

/// Rounds.
const SHORT: u64 = 20;
const LONG: u64 = 120;

type Calls = BTreeMap<String, f64>;

/// The calls of the process's first thread, by name.
fn trace(name: &str, rounds: u64) -> Result<Calls, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let log = std::env::temp_dir().join(format!("tidegate-{}-{name}.strace", std::process::id()));
    let traced = Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(&log)
        .arg(own)
        .args(["operate", name, &rounds.to_string()])
        .stdout(Stdio::null())
        .output()
        .map_err(|e| format!("strace cannot be started: {e}"))?;
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    let _ = std::fs::remove_file(&log);
    if !traced.status.success() {
        return Err(String::from_utf8_lossy(&traced.stderr).trim().to_owned());
    }
    // "17 read(5, ...) = 1"; "17 <... read resumed>" is the end of one that was counted.
    let thread = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let first = text.lines().next().and_then(thread);
    let mut calls = Calls::new();
    for line in text.lines().filter(|line| thread(line) == first) {
        let call = line.split_whitespace().nth(1).and_then(|call| call.split_once('('));
        // That is how the threads wait for each other.
        if let Some((call, _)) = call.filter(|(call, _)| *call != "futex") {
            *calls.entry(call.to_owned()).or_default() += 1.0;
        }
    }
    Ok(calls)
}

fn per_operation(name: &str) -> Result<Count, String> {
    let (short, long) = (trace(name, SHORT)?, trace(name, LONG)?);
    let operations = ((LONG - SHORT) * operate::CROWD) as f64;
    let each: Vec<(&String, f64)> = long
        .iter()
        .map(|(call, n)| (call, (n - short.get(call).unwrap_or(&0.0)) / operations))
        .filter(|(_, n)| n.abs() >= 0.01)
        .collect();
    let names: Vec<String> = each.iter().map(|(call, n)| format!("{call} {n:.2}")).collect();
    println!("{name}: {}", names.join(", "));
    Ok((format!("system_calls/{name}"), each.iter().map(|(_, n)| n).sum()))
}

pub(super) fn count() -> Counted {
    operate::names().map(per_operation).collect()
}
