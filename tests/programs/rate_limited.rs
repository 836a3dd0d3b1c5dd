//! The server of the example `rate_limited`: who asks too often gets 429, and is read again later.

use std::io::{BufRead, BufReader, Read};

use crate::running::Running;
use crate::support::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: tide\r\n\r\n";

#[test]
fn who_asks_too_often_waits() {
    let server = Running::start("rate_limited", &["127.0.0.1:0"]);
    let peer = client(server.at);
    write_all(&peer, GET.repeat(12).as_bytes());
    let mut peer = BufReader::new(peer);
    let mut answers = Vec::new();
    for _ in 0..12 {
        let (mut status, mut retry_after, mut length) = (String::new(), None, 0);
        peer.read_line(&mut status).unwrap();
        loop {
            let mut line = String::new();
            peer.read_line(&mut line).unwrap();
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("retry-after: ") {
                retry_after = Some(value.parse::<u64>().unwrap());
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        peer.read_exact(&mut vec![0; length]).unwrap();
        answers.push((status[9..12].to_owned(), retry_after));
    }
    let good = ("200".to_owned(), None);
    let refused = ("429".to_owned(), Some(1));
    // The burst; one too many; and after that the connection was read only when it might ask again.
    let first = answers.iter().position(|answer| *answer == refused).expect("none is refused");
    assert!(first >= 10, "{answers:?}");
    assert!(answers.iter().all(|answer| *answer == good || *answer == refused), "{answers:?}");
    server.stop();
}
