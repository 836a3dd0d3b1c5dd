//! [`Program`]: a server that is a program, on the servers' core, and the CPU time and memory that it
//! uses; and examples, which are built for that.
#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::sys::cores::{Core, pin};

/// A server, for as long as this lives.
pub struct Program {
    child: Child,
    port: u16,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    /// Starts it with arguments that name its port, and waits until it listens.
    pub fn start(
        program: &str,
        arguments: impl Fn(&str) -> Vec<String>,
    ) -> Result<Program, String> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| e.to_string())?;
        let port = free.local_addr().map_err(|e| e.to_string())?.port();
        drop(free);
        // A program begins on the core of the thread that starts it.
        pin(Core::Server);
        let child =
            Command::new(program).args(arguments(&port.to_string())).stdout(Stdio::null()).spawn();
        pin(Core::Client);
        let child = child.map_err(|e| format!("{program}: {e}"))?;
        let program = program.to_owned();
        let server = Program { child, port };
        let end = Instant::now() + Duration::from_secs(5);
        while TcpStream::connect(server.at()).is_err() {
            if Instant::now() > end {
                return Err(format!("{program} does not listen"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(server)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it listens.
    pub fn at(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// CPU time of all its threads, in ns.
    pub fn cpu(&self) -> f64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let of = |task: std::fs::DirEntry| {
            let times = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            times.split(' ').next()?.parse::<f64>().ok()
        };
        tasks.into_iter().flatten().flatten().filter_map(of).sum()
    }

    /// Memory of it and of the processes that it started, in bytes: what the kernel counts as
    /// theirs alone or as their share.
    pub fn memory(&self) -> f64 {
        let own = self.child.id().to_string();
        let children = format!("/proc/{own}/task/{own}/children");
        let children = std::fs::read_to_string(children).unwrap_or_default();
        let of = |id: &str| {
            let rollup = std::fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
            let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            line.trim().trim_end_matches(" kB").parse::<f64>().ok()
        };
        let all = std::iter::once(own.as_str()).chain(children.split_whitespace());
        all.filter_map(of).sum::<f64>() * 1024.0
    }
}

/// Builds an example as this program was built; where it is.
pub fn build(example: &str, features: &[&str]) -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let folder = own.parent().ok_or("where is this program?")?;
    let target = folder.parent().ok_or("where is this program?")?;
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let built = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--package", "tidegate", "--example", example])
        .args(["--features", &features.join(",")])
        .args(["--profile", profile, "--target-dir"])
        .arg(target)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .status();
    match built {
        Ok(status) if status.success() => Ok(folder.join("examples").join(example)),
        Ok(status) => Err(format!("the example does not build: {status}")),
        Err(e) => Err(format!("cargo: {e}")),
    }
}
