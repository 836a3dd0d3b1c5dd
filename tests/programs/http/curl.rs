//! curl at `http_echo` and `http_stream`.

use super::judge;
use crate::running::Running;

fn curl(arguments: &[&str], input: &[u8]) -> Option<String> {
    let all = [&["-sS", "--max-time", "20"], arguments].concat();
    judge("curl", "--version", &all, input)
}

#[test]
fn every_kind_of_request() {
    let server = Running::start("http_echo", &["127.0.0.1:0"]);
    let at = |path: &str| format!("http://{}{path}", server.at);
    let Some(body) = curl(&[&at("/hello")], b"") else { return };
    assert_eq!(body, "world\n");

    // Two requests on one connection, and each on its own with HTTP/1.0.
    let format = "%{http_version} %{http_code} %{num_connects};";
    let hello = at("/hello");
    let twice = ["-o", "/dev/null", "-o", "/dev/null", "-w", format, &hello, &hello];
    assert_eq!(curl(&twice, b"").unwrap(), "1.1 200 1;1.1 200 0;");
    let old = [&["--http1.0"][..], &twice].concat();
    assert_eq!(curl(&old, b"").unwrap(), "1.1 200 1;1.1 200 1;");

    let head = curl(&["-I", &hello], b"").unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
    assert!(head.contains("\r\ncontent-length: 6\r\n") && head.ends_with("\r\n\r\n"), "{head}");

    let echo = at("/echo");
    let json = ["-H", "Content-Type: application/json", "-d", "{\"x\":1}", &echo];
    assert_eq!(curl(&json, b"").unwrap(), r#"{"youSent":"{\"x\":1}"}"#);
    assert_eq!(curl(&["-w", "%{http_code}", "-X", "DELETE", &echo], b"").unwrap(), "405");
    let none = curl(&["-w", "%{http_code}", "-o", "/dev/null", &at("/none")], b"");
    assert_eq!(none.unwrap(), "404");
    server.stop();
}

/// Bodies whose length is not known, and one for which curl waits to be asked: it would wait for
/// 20 s, and not be done in time.
#[test]
fn bodies_in_chunks_and_bodies_that_wait() {
    let server = Running::start("http_echo", &["127.0.0.1:0"]);
    let url = format!("http://{}/stream", server.at);
    let body = "high tide\n".repeat(300_000);
    let slow = ["-T", "-", "--expect100-timeout", "20", "-H", "Expect: 100-continue", &url];
    let Some(back) = curl(&slow, body.as_bytes()) else { return };
    assert_eq!(back.len(), body.len());
    assert!(back == body);
    let file = super::File::new("curl-body", body.as_bytes());
    let known = ["-T", file.path(), "--expect100-timeout", "20", &url];
    assert!(curl(&known, b"").unwrap() == body);
    // A client of HTTP/1.0 gets the answer until the connection ends.
    let old = ["--http1.0", "-X", "POST", "--data-binary", "tide", &url];
    assert_eq!(curl(&old, b"").unwrap(), "tide");
    server.stop();
}

/// 64 MiB up and down at once, and down to a client that reads slowly: a server has a few buffers.
/// Sixteen times as much is a step of `.ci/examples`.
#[cfg(target_os = "linux")]
#[test]
fn large_bodies_take_little_memory() {
    const SIZE: usize = 64 << 20;
    let echo = Running::start("http_echo", &["127.0.0.1:0"]);
    let url = format!("http://{}/stream", echo.at);
    let count = ["-T", "-", "-o", "/dev/null", "-w", "%{size_download}", &url];
    let Some(said) = curl(&count, &vec![b'~'; SIZE]) else { return };
    assert_eq!(said, SIZE.to_string());
    assert!(echo.most_memory() < 32 << 20, "{}", echo.most_memory());
    echo.stop();

    let stream = Running::start("http_stream", &["127.0.0.1:0"]);
    let url = format!("http://{}/64", stream.at);
    let slow = ["--limit-rate", "80M", "-o", "/dev/null", "-w", "%{size_download}", &url];
    assert_eq!(curl(&slow, b"").unwrap(), SIZE.to_string());
    assert!(stream.most_memory() < 32 << 20, "{}", stream.most_memory());
    stream.stop();
}
