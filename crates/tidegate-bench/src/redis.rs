//! The example `redis` beside `redis-server`, by `redis-benchmark`: both as programs, on the servers'
//! core, and the client on its own.
#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::contest::{Contender, Contest, Unit};
use crate::suite::Scale;
use crate::sys::cores::{Core, pin};

/// Clients of `redis-benchmark`.
const CLIENTS: &str = "50";
/// Keys that it chooses from.
const KEYS: &str = "100000";

/// A server, for as long as this lives.
struct Server {
    child: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts it, and waits until it listens.
    fn start(program: &str, arguments: impl Fn(&str) -> Vec<String>) -> Result<Server, String> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| e.to_string())?;
        let port = free.local_addr().map_err(|e| e.to_string())?.port();
        drop(free);
        // A program begins on the core of the thread that starts it.
        pin(Core::Server);
        let child =
            Command::new(program).args(arguments(&port.to_string())).stdout(Stdio::null()).spawn();
        pin(Core::Client);
        let child = child.map_err(|e| format!("{program}: {e}"))?;
        let server = Server { child, port };
        let end = Instant::now() + Duration::from_secs(5);
        while TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_err() {
            if Instant::now() > end {
                return Err(format!("{program} does not listen"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(server)
    }

    /// CPU time of all its threads, in ns.
    fn cpu(&self) -> f64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let of = |task: std::fs::DirEntry| {
            let times = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            times.split(' ').next()?.parse::<f64>().ok()
        };
        tasks.into_iter().flatten().flatten().filter_map(of).sum()
    }

    /// Sends so many of one command; the time and the CPU time of one, in ns.
    fn bench(&self, test: &str, pipeline: u32, n: u64) -> Vec<f64> {
        let (port, n_text, pipeline) = (self.port.to_string(), n.to_string(), pipeline.to_string());
        let before = self.cpu();
        let output = Command::new("redis-benchmark")
            .args(["-p", &port, "-t", test, "-n", &n_text, "-P", &pipeline])
            .args(["-c", CLIENTS, "-r", KEYS, "--csv"])
            .output();
        let cpu = (self.cpu() - before) / n as f64;
        let output = output.expect("it ran before");
        let said = String::from_utf8_lossy(&output.stdout);
        // "SET","101010.10",...
        let rate = said.lines().last().and_then(|line| line.split('"').nth(3)?.parse::<f64>().ok());
        let rate = rate.unwrap_or_else(|| panic!("redis-benchmark says {said:?}"));
        vec![1e9 / rate, cpu]
    }
}

/// Builds the example as this program was built.
fn build() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let folder = own.parent().ok_or("where is this program?")?;
    let target = folder.parent().ok_or("where is this program?")?;
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let built = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--package", "tidegate", "--example", "redis"])
        .args(["--profile", profile, "--target-dir"])
        .arg(target)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .status();
    match built {
        Ok(status) if status.success() => Ok(folder.join("examples/redis")),
        Ok(status) => Err(format!("the example does not build: {status}")),
        Err(e) => Err(format!("cargo: {e}")),
    }
}

/// SET and GET, one command at a time and sixteen; or why that cannot be measured here.
pub fn contests(scale: Scale) -> Result<Vec<Contest>, String> {
    for program in ["redis-server", "redis-benchmark"] {
        let found = Command::new(program).arg("--version").stdout(Stdio::null()).status();
        found.map_err(|e| format!("{program}: {e}"))?;
    }
    let own = build()?;
    let own = own.to_str().ok_or("the path of the example is not UTF-8")?;
    let ours = Rc::new(Server::start(own, |port| vec![format!("127.0.0.1:{port}")])?);
    let theirs = Rc::new(Server::start("redis-server", |port| {
        let arguments = ["--port", port, "--save", "", "--appendonly", "no"];
        arguments.map(str::to_owned).into()
    })?);
    let mut contests = Vec::new();
    for (pipeline, n) in [(1, scale.some), (16, scale.some * 16)] {
        for test in ["set", "get"] {
            let name = format!("{}, {pipeline} in a pipeline", test.to_uppercase());
            let (ours, theirs) = (ours.clone(), theirs.clone());
            let measures = [("", Unit::PerSecond), ("by CPU", Unit::Cpu)];
            contests.push(Contest::new(name, &measures, scale.cycles, move || {
                let contender = |name, server: &Rc<Server>| {
                    let server = server.clone();
                    Contender::new(name, move || server.bench(test, pipeline, n))
                };
                vec![contender("tidegate", &ours), contender("redis-server", &theirs)]
            }));
        }
    }
    Ok(contests)
}
