//! haproxy in front of `http_echo`: it keeps its connections to the server, checks its health, and
//! passes bodies on.

use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::{File, judge};
use crate::running::Running;
use crate::support::*;

struct Haproxy(Child);

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn haproxy() {
    let Some(_) = judge("haproxy", "-v", &["-v"], b"") else { return };
    let server = Running::start("http_echo", &["127.0.0.1:0"]);
    let at = closed_port();
    let settings = format!(
        "global\n  maxconn 100\n\
         defaults\n  mode http\n  timeout connect 5s\n  timeout client 20s\n  timeout server 20s\n\
         frontend front\n  bind {at}\n  default_backend echo\n\
         backend echo\n  http-reuse always\n  option httpchk GET /hello\n  \
         server echo {} check inter 50ms\n",
        server.at
    );
    let settings = File::new("haproxy.cfg", settings.as_bytes());
    let mut command = Command::new("haproxy");
    command.args(["-db", "-f", settings.path()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _haproxy = Haproxy(command.spawn().unwrap());
    // It listens, and has seen that the server is healthy.
    let end = Instant::now() + DEADLINE;
    loop {
        assert!(Instant::now() < end, "haproxy does not answer");
        if let Ok(peer) = std::net::TcpStream::connect(at) {
            write_all(&peer, b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            if read_to_end(&peer).starts_with(b"HTTP/1.1 200 ") {
                break;
            }
        }
        std::thread::yield_now();
    }

    let url = |path: &str| format!("http://{at}{path}");
    let curl = |arguments: &[&str], input: &[u8]| {
        let all = [&["-sS", "--max-time", "20"], arguments].concat();
        judge("curl", "--version", &all, input)
    };
    let Some(hello) = curl(&[&url("/hello")], b"") else { return };
    assert_eq!(hello, "world\n");
    let body = "high tide\n".repeat(200_000);
    for more in [&["-T", "-"][..], &["--http1.0", "-X", "POST", "--data-binary", "@-"]] {
        let back = curl(&[more, &[&url("/stream")]].concat(), body.as_bytes()).unwrap();
        assert!(back == body, "{more:?}: {} bytes", back.len());
    }
    let head = curl(&["-I", &url("/hello")], b"").unwrap().to_ascii_lowercase();
    assert!(head.contains("content-length: 6\r\n"), "{head}");
    let load = ["--h1", "-n", "2000", "-c", "16", &url("/hello")];
    if let Some(said) = judge("h2load", "--version", &load, b"") {
        assert!(said.contains("2000 succeeded, 0 failed, 0 errored"), "{said}");
        assert!(said.contains(" 2000 2xx"), "{said}");
    }
    let said = server.stop();
    // Nothing that a proxy passes on is refused.
    assert!(said.ends_with(" 0 refused, 0 broken\n"), "{said}");
}
