//! [`Program`]: a server that is a program, on the servers' core, and the CPU time that it uses.
#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
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
}
