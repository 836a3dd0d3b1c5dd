//! slowhttptest: many clients that are slow on purpose. The server stays available, answers them
//! with 408 and lets them go.

use std::io::Read;

use super::judge;
use crate::running::Running;
use crate::support::*;

/// What it prints, without colours and the blanks of its columns.
fn plain(said: &str) -> String {
    let (mut text, mut is_colour) = (String::new(), false);
    for c in said.chars() {
        match c {
            '\u{1b}' => is_colour = true,
            _ if is_colour => is_colour = !c.is_ascii_alphabetic(),
            _ => text.push(c),
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a client that is not slow gets its answer.
fn answers(server: &Running) {
    let mut peer = client(server.at);
    write_all(&peer, b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    peer.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[test]
fn slow_heads_and_slow_bodies() {
    let server = Running::start("http_timeouts", &["127.0.0.1:0"]);
    let url = format!("http://{}/", server.at);
    for kind in ["-H", "-B"] {
        let arguments =
            [kind, "-c", "100", "-r", "100", "-i", "1", "-l", "10", "-s", "8192", "-u", &url];
        let Some(said) = judge("slowhttptest", "-h", &arguments, b"") else { return };
        let said = plain(&said);
        assert!(said.contains("service available: YES"), "{said}");
        assert!(!said.contains("service available: NO"), "{said}");
        assert!(said.contains("Exit status: No open connections left"), "{said}");
        answers(&server);
    }
    let said = server.stop();
    // Each of them, and the clients by which it sees that the server answers.
    let late = said.lines().filter(|line| line.contains("408")).count();
    assert!((200..=220).contains(&late), "{late}: {said}");
}

/// Clients that ask for 1 MiB each, several times, and hardly read.
#[test]
fn slow_readers() {
    let server = Running::start("http_hello", &["127.0.0.1:0"]);
    let url = format!("http://{}/big", server.at);
    let arguments = [
        "-X", "-c", "100", "-r", "100", "-l", "3", "-k", "3", "-n", "1", "-z", "32", "-w", "512",
        "-y", "1024", "-u", &url,
    ];
    let Some(said) = judge("slowhttptest", "-h", &arguments, b"") else { return };
    let said = plain(&said);
    assert!(said.contains("service available: YES"), "{said}");
    assert!(!said.contains("service available: NO"), "{said}");
    answers(&server);
    // The answer is one piece of memory for all of them.
    #[cfg(target_os = "linux")]
    assert!(server.most_memory() < 32 << 20, "{}", server.most_memory());
    server.signal("-TERM");
}
