//! The small Redis: its answers, however they come; its limits; how it stops.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use crate::running::{Running, installed};
use crate::support::*;

fn start() -> Running {
    Running::start("redis", &["127.0.0.1:0"])
}

/// A command as clients send it.
fn command(words: &str) -> Vec<u8> {
    let words: Vec<&str> = words.split(' ').collect();
    let mut out = format!("*{}\r\n", words.len());
    for word in words {
        out += &format!("${}\r\n{word}\r\n", word.len());
    }
    out.into_bytes()
}

/// Everything that is answered to this, up to the end.
fn ask(server: &Running, bytes: &[u8]) -> String {
    let peer = client(server.at);
    write_all(&peer, bytes);
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    said(&read_to_end(&peer))
}

/// Times that are left, as if no time had passed.
fn said(answers: &[u8]) -> String {
    let answers = std::str::from_utf8(answers).unwrap();
    answers.replace(":99\r\n", ":100\r\n").replace(":49\r\n", ":50\r\n")
}

const TALK: &[(&str, &str)] = &[
    ("PING", "+PONG\r\n"),
    ("ping hello", "$5\r\nhello\r\n"),
    ("ECHO tide", "$4\r\ntide\r\n"),
    ("GET a", "$-1\r\n"),
    ("SET a 1", "+OK\r\n"),
    ("GET a", "$1\r\n1\r\n"),
    ("INCR a", ":2\r\n"),
    ("INCR n", ":1\r\n"),
    ("MSET b x c y", "+OK\r\n"),
    ("MSET b x c", "-ERR unknown command 'MSET', or wrong arguments for it\r\n"),
    ("MGET a b z c", "*4\r\n$1\r\n2\r\n$1\r\nx\r\n$-1\r\n$1\r\ny\r\n"),
    ("INCR b", "-ERR value is not an integer or out of range\r\n"),
    ("SET most 9223372036854775807", "+OK\r\n"),
    ("INCR most", "-ERR increment would overflow\r\n"),
    ("EXISTS a b z a", ":3\r\n"),
    ("DEL a z b", ":2\r\n"),
    ("EXISTS a b", ":0\r\n"),
    ("TTL z", ":-2\r\n"),
    ("TTL c", ":-1\r\n"),
    ("EXPIRE c 100", ":1\r\n"),
    ("EXPIRE z 100", ":0\r\n"),
    ("EXPIRE c never", "-ERR value is not an integer or out of range\r\n"),
    ("EXPIRE c 0", "-ERR invalid expire time\r\n"),
    ("TTL c", ":100\r\n"),
    ("INCR n", ":2\r\n"),
    ("SET c new", "+OK\r\n"),
    ("TTL c", ":-1\r\n"),
    ("SET c new EX 50", "+OK\r\n"),
    ("TTL c", ":50\r\n"),
    ("CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"),
    ("CONFIG GET nothing", "*0\r\n"),
    ("COMMAND DOCS", "*0\r\n"),
    ("NO\nSUCH", "-ERR unknown command 'NO\\nSUCH', or wrong arguments for it\r\n"),
];

/// One at a time, all at once, byte by byte: the answers are the same.
#[test]
fn it_answers() {
    let mut all = Vec::new();
    let mut answers = String::new();
    for (words, answer) in TALK {
        all.extend(command(words));
        answers += answer;
    }
    let server = start();
    for (words, answer) in TALK {
        assert_eq!(ask(&server, &command(words)), *answer, "{words}");
    }
    server.stop();

    let server = start();
    assert_eq!(ask(&server, &all), answers);
    server.stop();

    let server = start();
    let mut peer = client(server.at);
    peer.set_nodelay(true).unwrap();
    let reader = peer.try_clone().unwrap();
    let reader = std::thread::spawn(move || read_to_end(&reader));
    all.iter().for_each(|byte| peer.write_all(&[*byte]).unwrap());
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(said(&reader.join().unwrap()), answers);
    let info = ask(&server, b"INFO\r\n");
    assert!(info.contains("db0:keys=3,expires=1\r\n"), "{info}");
    server.stop();
}

#[test]
fn words_on_a_line() {
    let server = start();
    let asked = b"PING\r\n\r\n  SET  k   v \nGET k\r\n*0\r\nping x\n";
    assert_eq!(ask(&server, asked), "+PONG\r\n+OK\r\n$1\r\nv\r\n$1\r\nx\r\n");
    server.stop();
}

/// A wrong byte ends the connection, after the answers to what came before. Others go on.
#[test]
fn what_is_no_command() {
    let server = start();
    let other = client(server.at);
    for (wrong, why) in [
        ("*x\r\n", "invalid multibulk length"),
        ("*99999999\r\n", "invalid multibulk length"),
        ("*1\r\n:4\r\nPING\r\n", "expected '$'"),
        ("*1\r\n$99999999999\r\n", "invalid bulk length"),
        ("*1\r\n$-1\r\n", "invalid bulk length"),
        (&"x".repeat(1 << 16), "too big line"),
    ] {
        let answer = ask(&server, format!("PING\r\n{wrong}").as_bytes());
        assert_eq!(answer, format!("+PONG\r\n-ERR Protocol error: {why}\r\n"), "{wrong:.20}");
    }
    write_all(&other, b"PING\r\n");
    let mut line = String::new();
    BufReader::new(&other).read_line(&mut line).unwrap();
    assert_eq!(line, "+PONG\r\n");
    drop(other);
    server.stop();
}

/// Nothing of 64 answers of 1 MiB is read before all are asked for: the server waits, and then
/// sends every byte.
#[test]
fn a_slow_reader() {
    const ANSWERS: usize = 64;
    let server = start();
    let value = "v".repeat(1 << 20);
    assert_eq!(ask(&server, &command(&format!("SET k {value}"))), "+OK\r\n");
    let peer = client(server.at);
    write_all(&peer, &b"GET k\r\n".repeat(ANSWERS));
    // Another is not held up by it.
    assert_eq!(ask(&server, b"PING\r\n"), "+PONG\r\n");
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    let answer = format!("${}\r\n{value}\r\n", value.len());
    let read = read_to_end(&peer);
    assert!(read == answer.repeat(ANSWERS).as_bytes(), "{} bytes", read.len());
    server.stop();
}

/// Values until the memory is full: a typed answer, and what is there stays.
#[test]
fn memory_has_a_limit() {
    let server = start();
    {
        let peer = client(server.at);
        let mut answers = BufReader::new(peer.try_clone().unwrap()).lines();
        let value = "v".repeat(15 << 20);
        let mut ask = |words: &str| {
            write_all(&peer, &command(words));
            answers.next().unwrap().unwrap()
        };
        for i in 0..17 {
            assert_eq!(ask(&format!("SET key{i} {value}")), "+OK");
        }
        assert!(ask(&format!("SET one-more {value}")).starts_with("-OOM "));
        assert_eq!(ask("EXISTS key0 one-more"), ":1");
        assert_eq!(ask("DEL key0"), ":1");
        assert_eq!(ask(&format!("SET one-more {value}")), "+OK");
    }
    server.stop();
}

#[test]
fn a_key_expires() {
    let server = start();
    {
        let mut peer = client(server.at);
        let mut answers = BufReader::new(peer.try_clone().unwrap()).lines();
        let mut ask = |words: &str| {
            peer.write_all(&command(words)).unwrap();
            answers.next().unwrap().unwrap()
        };
        let begin = std::time::Instant::now();
        assert_eq!(ask("SET k v EX 1"), "+OK");
        while ask("EXISTS k") == ":1" {
            assert!(begin.elapsed() < DEADLINE);
        }
        assert!(begin.elapsed().as_millis() >= 1000, "not before its time");
        assert_eq!(ask("DEL k"), ":0");
    }
    server.stop();
}

/// A client that is connected sees the end; the program does not wait for it to talk.
#[test]
fn a_signal_ends_it_in_good_order() {
    let server = start();
    let idle: Vec<TcpStream> = (0..10).map(|_| client(server.at)).collect();
    assert_eq!(ask(&server, b"PING\r\n"), "+PONG\r\n");
    server.signal("-INT");
    for peer in idle {
        assert_eq!(read_to_end(&peer), b"");
    }
    server.finish();
}

#[test]
fn redis_cli_and_redis_benchmark() {
    let server = start();
    let port = server.at.port().to_string();
    let cli = |words: &str| {
        let words: Vec<&str> = ["-p", &port].into_iter().chain(words.split(' ')).collect();
        let output = installed("redis-cli", &words)?;
        assert!(output.status.success(), "{words:?}: {output:?}");
        Some(String::from_utf8(output.stdout).unwrap())
    };
    if let Some(said) = cli("PING") {
        assert_eq!(said, "PONG\n");
        assert_eq!(cli("SET greeting hello").unwrap(), "OK\n");
        assert_eq!(cli("GET greeting").unwrap(), "hello\n");
        assert_eq!(cli("INCR visits").unwrap(), "1\n");
        assert_eq!(cli("MGET greeting nothing").unwrap(), "hello\n\n");
    }
    let flags = ["-p", &port, "-t", "ping,set,get,incr,mset", "-n", "2000", "-P", "16", "--csv"];
    if let Some(output) = installed("redis-benchmark", &flags) {
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said}");
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        for test in ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"] {
            assert!(said.contains(&format!("\"{test}\",")), "{test}: {said}");
        }
    }
    server.stop();
}
