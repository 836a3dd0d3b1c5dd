//! The client: `wrk`, one thread, for a second.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::{Command, Stdio};

use crate::program::Program;

pub(super) fn find() -> Result<(), String> {
    let found = Command::new("wrk").arg("--version").stdout(Stdio::null()).status();
    found.map(|_| ()).map_err(|e| format!("wrk: {e}"))
}

/// A script that sends so many requests in one write.
pub(super) fn script(depth: u32) -> String {
    match depth {
        1 => String::new(),
        depth => format!(
            "local batch\n\
             init = function() batch = string.rep(wrk.format(), {depth}) end\n\
             request = function() return batch end\n"
        ),
    }
}

/// A second of load; the time and the CPU time of one request, in ns.
pub(super) fn slice(server: &Program, connections: u32, script: &Path) -> Vec<f64> {
    let before = server.cpu();
    let output = Command::new("wrk")
        .args(["-t1", &format!("-c{connections}"), "-d1s", "-s"])
        .arg(script)
        .arg(format!("http://{}/hello", server.at()))
        .output()
        .expect("it ran before");
    let cpu = server.cpu() - before;
    let said = String::from_utf8_lossy(&output.stdout);
    let (requests, rate) = parse(&said).unwrap_or_else(|| panic!("wrk says {said:?}"));
    vec![1e9 / rate, cpu / requests]
}

/// The number of requests, and how many there were in a second. None if there were errors.
fn parse(said: &str) -> Option<(f64, f64)> {
    if said.contains("Socket errors") || said.contains("Non-2xx") {
        return None;
    }
    let requests = said.lines().find(|l| l.contains(" requests in "))?;
    let requests = requests.split_whitespace().next()?.parse().ok()?;
    let rate = said.lines().find_map(|l| l.strip_prefix("Requests/sec:"))?;
    Some((requests, rate.trim().parse().ok()?)).filter(|(requests, _)| *requests > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "Running 1s test @ http://127.0.0.1:1/hello\n  1 threads and 64 connections\n\
        \x20 107254 requests in 1.00s, 14.12MB read\nRequests/sec: 107212.13\n\
        Transfer/sec:     14.11MB\n";

    #[test]
    fn figures_are_found_and_errors_are_seen() {
        assert_eq!(parse(SAID), Some((107_254.0, 107_212.13)));
        for error in ["  Socket errors: connect 0, read 1\n", "  Non-2xx or 3xx responses: 7\n"] {
            assert_eq!(parse(&(SAID.to_owned() + error)), None);
        }
        assert_eq!(parse(""), None);
    }
}
