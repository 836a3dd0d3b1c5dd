//! The proxy for Redis: answers in their order, refused commands among them, few connections behind
//! many clients, and a server that is killed and comes back.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::running::{Running, installed};
use crate::support::*;

/// redis-server on a port; killed when it is dropped.
struct Backend {
    child: Child,
    at: SocketAddr,
}

impl Backend {
    /// `None`, with the reason said, if it is not installed.
    fn start(at: SocketAddr) -> Option<Backend> {
        let child = Command::new("redis-server")
            .args(["--port", &at.port().to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .current_dir(std::env::temp_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let child = match child {
            Ok(child) => child,
            Err(e) => {
                eprintln!("skipped: redis-server: {e}");
                return None;
            }
        };
        let end = Instant::now() + DEADLINE;
        while TcpStream::connect(at).is_err() {
            assert!(Instant::now() < end, "redis-server does not listen");
            std::thread::yield_now();
        }
        Some(Backend { child, at })
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn proxy(backend: SocketAddr) -> Running {
    Running::start("database_proxy", &["127.0.0.1:0", &backend.to_string(), "none"])
}

struct Lines(TcpStream, BufReader<TcpStream>);

impl Lines {
    fn new(at: SocketAddr) -> Lines {
        let peer = client(at);
        Lines(peer.try_clone().unwrap(), BufReader::new(peer))
    }

    fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn ask(&mut self, text: &str) -> String {
        self.send(&format!("{text}\r\n"));
        self.line()
    }
}

#[test]
fn answers_come_in_their_order() {
    let Some(backend) = Backend::start(closed_port()) else { return };
    let proxy = proxy(backend.at);
    {
        let mut c = Lines::new(proxy.at);
        assert_eq!(c.ask("SET tide high"), "+OK");
        let forbidden = "-ERR the proxy forbids FLUSHALL";
        assert_eq!(c.ask("flushall"), forbidden);
        assert_eq!(c.ask("CONFIG SET maxmemory 1"), "-ERR the proxy forbids CONFIG");
        let sticky = "-ERR the proxy shares its connections, and does not pass SUBSCRIBE on";
        assert_eq!(c.ask("SUBSCRIBE news"), sticky);
        // Between others, in one piece and byte by byte.
        let talk = "GET tide\r\nFLUSHALL\r\n*2\r\n$3\r\nGET\r\n$4\r\ntide\r\nKEYS *\r\nSUBSCRIBE a\r\nMGET tide no\r\nPING\r\n";
        let expected = [
            "$4",
            "high",
            forbidden,
            "$4",
            "high",
            "-ERR the proxy forbids KEYS",
            sticky,
            "*2",
            "$4",
            "high",
            "$-1",
            "+PONG",
        ];
        for piece in [talk.len(), 1, 7] {
            for piece in talk.as_bytes().chunks(piece) {
                c.0.write_all(piece).unwrap();
            }
            for (i, line) in expected.iter().enumerate() {
                assert_eq!(c.line(), *line, "line {i}");
            }
        }
        // A transaction has its connection; another client does not get into it.
        assert_eq!(c.ask("MULTI"), "+OK");
        assert_eq!(c.ask("INCR n"), "+QUEUED");
        let mut other = Lines::new(proxy.at);
        assert_eq!(other.ask("INCR n"), ":1");
        assert_eq!(c.ask("INCR n"), "+QUEUED");
        assert_eq!(c.ask("EXEC"), "*2");
        assert_eq!((c.line(), c.line()), (":2".to_owned(), ":3".to_owned()));
        // A large value, through both queues.
        let value = "v".repeat(4 << 20);
        assert_eq!(
            c.ask(&format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n{value}", value.len())),
            "+OK"
        );
        c.send("GET k\r\nPING\r\n");
        assert_eq!(c.line(), format!("${}", value.len()));
        assert!(c.line() == value);
        assert_eq!(c.line(), "+PONG");
        assert!(c.ask("*x").starts_with("-ERR Protocol error: "));
    }
    let said = proxy.stop();
    let uses = said.lines().last().unwrap();
    assert!(uses.contains(" uses of 2 connections; 0 could not be made"), "{said}");
}

/// Many clients, few connections; and what the tools of Redis say.
#[test]
fn redis_cli_and_redis_benchmark() {
    let Some(backend) = Backend::start(closed_port()) else { return };
    let proxy = proxy(backend.at);
    let port = proxy.at.port().to_string();
    if let Some(output) = installed("redis-cli", &["-p", &port, "SET", "tide", "high"]) {
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "OK\n");
    }
    for pipeline in ["1", "16"] {
        let flags = [
            "-p",
            &port,
            "-t",
            "ping,set,get,lpush,lrange_100,mset",
            "-n",
            "2000",
            "-P",
            pipeline,
            "--csv",
        ];
        if let Some(output) = installed("redis-benchmark", &flags) {
            let said = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success(), "{said}");
            for test in ["PING_MBULK", "SET", "GET", "LPUSH", "MSET (10 keys)"] {
                assert!(said.contains(&format!("\"{test}\",")), "{test}: {said}");
            }
        }
    }
    proxy.stop();
}

/// Killed while clients are connected: they get errors that say the stage, and are served again when
/// it is back; the proxy does not have to be told.
#[test]
fn a_server_that_is_killed_and_comes_back() {
    let Some(backend) = Backend::start(closed_port()) else { return };
    let (at, proxy) = (backend.at, proxy(backend.at));
    {
        let mut clients: Vec<_> = (0..10).map(|_| Lines::new(proxy.at)).collect();
        for c in &mut clients {
            assert_eq!(c.ask("PING"), "+PONG");
        }
        // One waits for an answer that does not come.
        clients[0].send("BLPOP nothing 0\r\n");
        assert_eq!(clients[1].ask("PING"), "+PONG");
        drop(backend);
        let lost = clients[0].line();
        assert!(lost.starts_with("-ERR the proxy: the server is gone: "), "{lost}");
        for c in &mut clients {
            let refused = c.ask("PING");
            // The first may meet an idle connection whose end was not seen yet.
            let staged = refused.starts_with("-ERR the proxy: connect to ");
            assert!(staged || refused.contains("the server is gone"), "{refused}");
        }
        let refused = clients[0].ask("PING");
        assert!(refused.contains("connection refused (ECONNREFUSED)"), "{refused}");
        let Some(_backend) = Backend::start(at) else { return };
        for c in &mut clients {
            assert_eq!(c.ask("PING"), "+PONG");
        }
    }
    let said = proxy.stop();
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn help_and_wrong_arguments_are_said() {
    let folder = crate::example::build(&["database_proxy"]);
    let run = |arguments: &[&str]| {
        let done = Command::new(folder.join("database_proxy")).args(arguments).output().unwrap();
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    };
    assert_eq!(run(&["--help"]).0, Some(0));
    for wrong in [&["127.0.0.1:0"][..], &["127.0.0.1:0", "nonsense"], &["127.0.0.1:0", "a:1", "b"]]
    {
        let (code, said) = run(wrong);
        assert!(code == Some(2) && said.contains("usage: database_proxy "), "{said}");
    }
}
