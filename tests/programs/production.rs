//! The example `production`, as it is run: behind haproxy, replaced while clients come, killed; one
//! trace across two processes. How long the load lasts: TIDEGATE_LOAD_SECONDS, by default 10.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::example;
use crate::running::{Running, installed};
use crate::support::*;

const CLIENTS: usize = 12;

/// The two sockets of a service, as a supervisor keeps them, and the process that has them now.
struct Supervised {
    sockets: Vec<TcpListener>,
    process: Option<(Child, BufReader<ChildStdout>)>,
}

impl Supervised {
    fn new() -> Supervised {
        let sockets = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let mut new = Supervised { sockets, process: None };
        new.process = Some(new.start());
        new
    }

    fn ports(&self) -> [u16; 2] {
        [0, 1].map(|n: usize| self.sockets[n].local_addr().unwrap().port())
    }

    /// A process that has copies of the sockets, and says that it listens.
    fn start(&self) -> (Child, BufReader<ChildStdout>) {
        // As its standard input and error, so that no child of another test gets them, too.
        let [service, admin] = [0, 1].map(|n: usize| self.sockets[n].try_clone().unwrap());
        let program = example::build(&["production"]).join("production");
        let mut child = Command::new("bash")
            .args(["-c", "exec 3<&0 4<&2 0</dev/null 2>/dev/null; exec \"$@\"", "bash"])
            .arg(program)
            .args(["--proxies", "127.0.0.1", "--drain", "2", "--grace", "10"])
            .env("LISTEN_FDS", "2")
            .env_remove("LISTEN_PID")
            .stdin(OwnedFd::from(service))
            .stderr(OwnedFd::from(admin))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert!(line.starts_with("listening on 127.0.0.1:"), "{line:?}");
        (child, stdout)
    }

    /// A new process takes the place of the old one, which ends in good order.
    fn replace(&mut self) {
        let new = self.start();
        let (mut old, _) = self.process.replace(new).unwrap();
        let id = old.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let end = Instant::now() + DEADLINE;
        loop {
            match old.try_wait().unwrap() {
                Some(status) => break assert!(status.success(), "{status}"),
                None => assert!(Instant::now() < end, "it does not end"),
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// SIGKILL; nobody listens there any more.
    fn kill(mut self) {
        self.sockets.clear();
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.process {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

struct Haproxy(Child, std::path::PathBuf);

impl Haproxy {
    /// With the configuration of examples/production, and these ports.
    fn start(at: SocketAddr, servers: &[Supervised]) -> Option<Haproxy> {
        let mut config = include_str!("../../examples/production/haproxy.cfg")
            .replace("127.0.0.1:8080", &at.to_string());
        for (n, server) in servers.iter().enumerate() {
            let [service, admin] = server.ports().map(|port| port.to_string());
            let n = n + 1;
            config = config
                .replace(&format!("127.0.0.1:808{n} port"), &format!("127.0.0.1:{service} port"))
                .replace(&format!("port 908{n}"), &format!("port {admin}"));
        }
        let name = format!("tidegate-production-{}.cfg", std::process::id());
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, config).unwrap();
        installed("haproxy", &["-v"])?;
        let check = Command::new("haproxy").args(["-c", "-f"]).arg(&file).output().unwrap();
        assert!(check.status.success(), "{check:?}");
        let mut command = Command::new("haproxy");
        command.args(["-db", "-f"]).arg(&file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Some(Haproxy(command.spawn().unwrap(), file))
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = std::fs::remove_file(&self.1);
    }
}

/// A client of haproxy that keeps its connection.
struct Client {
    at: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    /// The body of the answer, or how the request failed.
    fn get(&mut self, path: &str) -> Result<String, String> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => BufReader::new(client(self.at)),
        };
        let request = format!("GET {path} HTTP/1.1\r\nHost: tide\r\n\r\n");
        stream.get_mut().write_all(request.as_bytes()).map_err(|e| format!("write: {e}"))?;
        let (mut status, mut length, mut keeps) = (String::new(), 0, true);
        stream.read_line(&mut status).map_err(|e| format!("read: {e}"))?;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).map_err(|e| format!("read: {e}"))?;
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(n) = line.strip_prefix("content-length: ") {
                length = n.parse().unwrap();
            }
            keeps &= line != "connection: close";
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).map_err(|e| format!("read: {e}"))?;
        if keeps && !status.is_empty() {
            self.stream = Some(stream);
        }
        match status.starts_with("HTTP/1.1 200 ") {
            true => Ok(String::from_utf8(body).unwrap()),
            false => Err(format!("{:?}", status.trim_end())),
        }
    }
}

/// Clients that ask one thing after the other until they are stopped.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    failed: Arc<Mutex<Vec<(Instant, String)>>>,
    clients: Vec<thread::JoinHandle<()>>,
}

impl Load {
    fn start(at: SocketAddr) -> Load {
        let (stop, answered, failed) = (Arc::default(), Arc::default(), Arc::default());
        let mut load = Load { stop, answered, failed, clients: Vec::new() };
        for n in 0..CLIENTS {
            let (stop, answered) = (load.stop.clone(), load.answered.clone());
            let failed = load.failed.clone();
            load.clients.push(thread::spawn(move || {
                let mut client = Client { at, stream: None };
                let mut i = n;
                while !stop.load(Ordering::Relaxed) {
                    i += 1;
                    match client.get(if i % 4 == 0 { "/slow" } else { "/" }) {
                        Ok(body) => {
                            assert!(body.starts_with("high tide, says process "), "{body:?}");
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(e) => failed.lock().unwrap().push((Instant::now(), e)),
                    }
                    // Some connections are short.
                    if i % 50 == 0 {
                        client.stream = None;
                    }
                }
            }));
        }
        load
    }

    /// How many were answered, and the failures.
    fn end(self) -> (u64, Vec<(Instant, String)>) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        let failed = std::mem::take(&mut *self.failed.lock().unwrap());
        (self.answered.load(Ordering::Relaxed), failed)
    }

    /// Until so many more are answered.
    fn wait_for(&self, more: u64) {
        let (from, end) = (self.answered.load(Ordering::Relaxed), Instant::now() + DEADLINE);
        while self.answered.load(Ordering::Relaxed) < from + more {
            assert!(Instant::now() < end, "nobody answers");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Four processes behind haproxy: each is replaced again and again, and no request fails. Then one
/// is killed: only what was on its way to it fails.
#[test]
fn replaced_and_killed_behind_haproxy() {
    let seconds = std::env::var("TIDEGATE_LOAD_SECONDS").map_or(10, |s| s.parse().unwrap());
    let mut servers: Vec<_> = (0..4).map(|_| Supervised::new()).collect();
    let at = closed_port();
    let Some(_haproxy) = Haproxy::start(at, &servers) else { return };
    let mut first = Client { at, stream: None };
    let end = Instant::now() + DEADLINE;
    while TcpStream::connect(at).is_err() || first.get("/").is_err() {
        assert!(Instant::now() < end, "haproxy does not answer");
        first.stream = None;
    }
    let load = Load::start(at);
    let (begin, mut replaced) = (Instant::now(), 0);
    while begin.elapsed() < Duration::from_secs(seconds) {
        for server in &mut servers {
            server.replace();
            replaced += 1;
            load.wait_for(50);
        }
    }
    let (answered, failed) = load.end();
    eprintln!("{answered} answered in {:.0?}, {replaced} processes replaced", begin.elapsed());
    assert!(failed.is_empty(), "{} of {answered} failed: {:?}", failed.len(), failed[0].1);
    assert!(replaced >= 4);

    let load = Load::start(at);
    load.wait_for(500);
    let killed = Instant::now();
    servers.pop().unwrap().kill();
    load.wait_for(1000);
    let (answered, failed) = load.end();
    eprintln!("one killed: {answered} answered, {} failed", failed.len());
    assert!(failed.len() <= CLIENTS, "{failed:?}");
    let late = failed.iter().find(|(at, _)| *at > killed + Duration::from_secs(2));
    assert!(late.is_none(), "{late:?}");
}

/// The second address that a process says: that of `/readyz`.
fn admin(of: &Running) -> SocketAddr {
    let (_, rest) = of.first.split_once("admin on ").unwrap();
    rest.split(';').next().unwrap().parse().unwrap()
}

/// Without a supervisor: it is not ready any more, and goes on for a while.
#[test]
fn a_process_that_leaves_says_so_first() {
    let local = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let server = Running::start("production", &[&local[..], &["--drain", "1"]].concat());
    let [mut client, mut admin] = [server.at, admin(&server)].map(|at| Client { at, stream: None });
    assert_eq!(admin.get("/healthz").unwrap(), "alive\n");
    assert_eq!(admin.get("/readyz").unwrap(), "ready\n");
    assert!(client.get("/").is_ok());
    let metrics = admin.get("/metrics").unwrap();
    assert!(metrics.contains("\ntidegate_http_requests_total 1\n"), "probes count: {metrics}");
    server.signal("-TERM");
    let end = Instant::now() + DEADLINE;
    while admin.get("/readyz").is_ok() {
        assert!(Instant::now() < end, "it stays ready");
    }
    assert!(client.get("/slow").is_ok(), "it goes on");
    // Not to be ready is no failed request.
    let metrics = admin.get("/metrics").unwrap();
    assert!(metrics.contains("tidegate_http_responses_total{class=\"5xx\"} 0\n"), "{metrics}");
    server.finish();
}

/// A collector of OTLP over HTTP: every span that came, with the id of its process.
fn collector() -> (SocketAddr, Arc<Mutex<Vec<Span>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let spans: Arc<Mutex<Vec<Span>>> = Arc::default();
    let all = spans.clone();
    thread::spawn(move || {
        for peer in listener.incoming() {
            let (all, mut peer) = (all.clone(), BufReader::new(peer.unwrap()));
            thread::spawn(move || {
                loop {
                    let (mut line, mut length) = (String::new(), 0);
                    while line != "\r\n" {
                        line.clear();
                        if peer.read_line(&mut line).unwrap() == 0 {
                            return;
                        }
                        let lower = line.to_ascii_lowercase();
                        if let Some(n) = lower.strip_prefix("content-length: ") {
                            length = n.trim_end().parse().unwrap();
                        }
                    }
                    let mut body = vec![0; length];
                    peer.read_exact(&mut body).unwrap();
                    let request = ExportTraceServiceRequest::decode(&body[..]).unwrap();
                    let scopes = request.resource_spans.into_iter().flat_map(|r| r.scope_spans);
                    all.lock().unwrap().extend(scopes.flat_map(|s| s.spans));
                    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n";
                    let answer = format!("{head}Content-Length: 0\r\n\r\n");
                    peer.get_mut().write_all(answer.as_bytes()).unwrap();
                }
            });
        }
    });
    (at, spans)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One request, two processes, one trace: the client's own span is the parent of the first.
#[test]
fn a_collector_gets_one_trace_of_two_processes() {
    let (collector, spans) = collector();
    let otlp = format!("http://{collector}");
    let local = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--drain", "0"];
    let local = [&local[..], &["--otlp", &otlp]].concat();
    let second = Running::start("production", &local);
    let upstream = format!("http://{}/slow", second.at);
    let first = Running::start("production", &[&local[..], &["--upstream", &upstream]].concat());
    let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let request = format!(
        "GET /relay HTTP/1.1\r\nHost: tide\r\nConnection: close\r\n\
         Traceparent: 00-{trace}-{parent}-01\r\nTracestate: moon=full\r\nX-Request-Id: seven\r\n\r\n"
    );
    let peer = client(first.at);
    write_all(&peer, request.as_bytes());
    let answer = String::from_utf8(read_to_end(&peer)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("high tide"), "{answer}");
    assert!(answer.contains("x-request-id: seven\r\n"), "{answer}");
    // What they have left to export goes out when they end.
    first.stop();
    second.stop();
    let spans = spans.lock().unwrap();
    let one = |name: &str| {
        let mut of = spans.iter().filter(|span| span.name == name);
        let found = of.next().unwrap_or_else(|| panic!("no {name}: {spans:#?}"));
        assert!(of.next().is_none(), "two of {name}");
        found
    };
    let (relay, get, slow) = (one("/relay"), one("GET"), one("/slow"));
    for span in [relay, get, slow] {
        assert_eq!(hex(&span.trace_id), trace, "{span:?}");
        assert_eq!(span.trace_state, "moon=full");
    }
    assert_eq!(hex(&relay.parent_span_id), parent);
    assert_eq!((&get.parent_span_id, &slow.parent_span_id), (&relay.span_id, &get.span_id));
    // SERVER, CLIENT, SERVER.
    assert_eq!([relay.kind, get.kind, slow.kind], [2, 3, 2]);
    let ends = |span: &Span| (span.start_time_unix_nano, span.end_time_unix_nano);
    let ((begin, end), (inner_begin, inner_end)) = (ends(relay), ends(get));
    assert!(begin <= inner_begin && inner_begin < inner_end && inner_end <= end);
    one("connect");
}

fn file(name: &str) -> String {
    let path = format!("{}/examples/production/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// The names of metrics in a text.
fn names(text: &str) -> Vec<&str> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    text.split(word).filter(|w| w.starts_with("tidegate_")).collect()
}

/// Rules and dashboard ask for metrics that there are; the files parse.
#[test]
fn the_files_around_it() {
    let local = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--drain", "0"];
    let server = Running::start("production", &[&local[..], &["--tls", "self-signed"]].concat());
    let mut admin = Client { at: admin(&server), stream: None };
    let metrics = admin.get("/metrics").unwrap();
    let known = names(&metrics);
    let dashboard = file("dashboard.json");
    let parsed: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    assert_eq!(parsed["panels"].as_array().unwrap().len(), 9);
    for (of, text) in [("rules.yml", file("rules.yml")), ("dashboard.json", dashboard)] {
        let asked = names(&text);
        assert!(asked.len() >= 9, "{of}: {asked:?}");
        for name in asked {
            assert!(known.contains(&name), "{of}: {name} is no metric");
        }
    }
    server.stop();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/production/");
    for (check, of) in [("rules", "rules.yml"), ("config", "prometheus.yml")] {
        let Some(said) = installed("promtool", &["check", check, &format!("{folder}{of}")]) else {
            break;
        };
        assert!(said.status.success(), "{said:?}");
    }
    // What Kubernetes waits for is longer than what the program takes.
    let script = "import sys\ntry:\n import yaml\nexcept ImportError:\n sys.exit(3)\n\
        all = list(yaml.safe_load_all(open(sys.argv[1])))\n\
        pod = all[0]['spec']['template']['spec']\nargs = pod['containers'][0]['args']\n\
        of = lambda name: int(args[args.index(name) + 1])\n\
        assert of('--drain') + of('--grace') < pod['terminationGracePeriodSeconds']\n\
        print(*[one['kind'] for one in all])";
    let manifest = format!("{folder}kubernetes.yaml");
    let Some(said) = installed("python3", &["-c", script, &manifest]) else { return };
    match said.status.code() {
        Some(3) => eprintln!("skipped: no yaml for python3"),
        code => {
            assert_eq!(code, Some(0), "{said:?}");
            assert_eq!(said.stdout, b"Deployment Service PodDisruptionBudget\n");
        }
    }
}
