//! The example `redis` beside `redis-server`, by `redis-benchmark`: both as programs, on the servers'
//! core, and the client on its own.
#![forbid(unsafe_code)]

use std::process::{Command, Stdio};
use std::rc::Rc;

use crate::contest::{Contender, Contest, Unit};
use crate::program::{self, Program};
use crate::suite::Scale;

/// Clients of `redis-benchmark`.
const CLIENTS: &str = "50";
/// Keys that it chooses from.
const KEYS: &str = "100000";
/// Microseconds that the example asks the poller again before it sleeps, if it does.
const BUSY: &str = "20";

/// Sends so many of one command; the time and the CPU time of one, in ns.
fn bench(server: &Program, test: &str, pipeline: u32, n: u64) -> Vec<f64> {
    let (port, n_text) = (server.port().to_string(), n.to_string());
    let before = server.cpu();
    let output = Command::new("redis-benchmark")
        .args(["-p", &port, "-t", test, "-n", &n_text, "-P", &pipeline.to_string()])
        .args(["-c", CLIENTS, "-r", KEYS, "--csv"])
        .output();
    let cpu = (server.cpu() - before) / n as f64;
    let output = output.expect("it ran before");
    let said = String::from_utf8_lossy(&output.stdout);
    // "SET","101010.10",...
    let rate = said.lines().last().and_then(|line| line.split('"').nth(3)?.parse::<f64>().ok());
    let rate = rate.unwrap_or_else(|| panic!("redis-benchmark says {said:?}"));
    vec![1e9 / rate, cpu]
}

/// SET and GET, one command at a time and sixteen; or why that cannot be measured here.
pub fn contests(scale: Scale) -> Result<Vec<Contest>, String> {
    for program in ["redis-server", "redis-benchmark"] {
        let found = Command::new(program).arg("--version").stdout(Stdio::null()).status();
        found.map_err(|e| format!("{program}: {e}"))?;
    }
    let own = program::build("redis", &[])?;
    let own = own.to_str().ok_or("the path of the example is not UTF-8")?;
    let start = |busy: &str| {
        Program::start(own, |port| vec![format!("127.0.0.1:{port}"), busy.to_owned()]).map(Rc::new)
    };
    let servers = [("", start("0")?), (", busy polling", start(BUSY)?)];
    let theirs = Rc::new(Program::start("redis-server", |port| {
        let arguments = ["--port", port, "--save", "", "--appendonly", "no"];
        arguments.map(str::to_owned).into()
    })?);
    let mut contests = Vec::new();
    for (pipeline, n) in [(1, scale.some), (16, scale.some * 16)] {
        for (test, (how, ours)) in
            ["set", "get"].iter().flat_map(|t| servers.iter().map(move |s| (*t, s)))
        {
            let name = format!("{}, {pipeline} in a pipeline{how}", test.to_uppercase());
            let (ours, theirs) = (ours.clone(), theirs.clone());
            let measures = [("", Unit::PerSecond), ("by CPU", Unit::Cpu)];
            contests.push(Contest::new(name, &measures, scale.cycles, move || {
                let contender = |name, server: &Rc<Program>| {
                    let server = server.clone();
                    Contender::new(name, move || bench(&server, test, pipeline, n))
                };
                vec![contender("tidegate", &ours), contender("redis-server", &theirs)]
            }));
        }
    }
    Ok(contests)
}
