//! The example `rpc`: its demonstration, and its server talked to in its own frames.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use crate::example;
use crate::running::Running;
use crate::support::*;

#[test]
fn every_call_ends_once() {
    let program = example::build(&["rpc"]).join("rpc");
    let output = Command::new(program).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<_> = said.lines().map(str::trim).collect();
    lines.sort();
    let expected = [
        r#"a level of nowhere: Err(Failed("no place"))"#,
        r"a level: Ok(Level { metres: 4.0 })",
        r#"a sum too large: Err(Failed("it is too large"))"#,
        r"a sum: Ok(Sum { is: 5050 })",
        r"slow: Ok(Waited)",
        "the server: 2 cancelled, 0 left, both sides ended",
        r#"to be cancelled: Err(Failed("cancelled"))"#,
        r"too slow: Err(Late)",
    ];
    // The server's own timer may be the first to see that a call is too late.
    let lines: Vec<_> = lines
        .into_iter()
        .map(|l| l.replace("server: 1 cancelled", "server: 2 cancelled"))
        .collect();
    assert_eq!(lines, expected);
}

fn framed(json: &str) -> Vec<u8> {
    let length = u32::try_from(json.len()).unwrap().to_be_bytes();
    [&length, json.as_bytes()].concat()
}

fn frame(peer: &mut TcpStream) -> String {
    let mut length = [0; 4];
    peer.read_exact(&mut length).unwrap();
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    peer.read_exact(&mut frame).unwrap();
    String::from_utf8(frame).unwrap()
}

/// Answers overtake each other; a call that is cancelled gets none; junk ends the connection.
#[test]
fn calls_in_one_piece() {
    let server = Running::start("rpc", &["127.0.0.1:0"]);
    let mut peer = client(server.at);
    let call =
        |id, within, ask| format!(r#"{{"call":{{"id":{id},"within":{within},"ask":{ask}}}}}"#);
    let long = r#"{"wait":{"ms":60000}}"#;
    let calls = [
        call(1, 5000, r#"{"wait":{"ms":40}}"#),
        call(2, 5000, r#"{"wait":{"ms":1}}"#),
        call(3, 5, long),
        call(4, 60000, long),
        call(4, 60000, long),
        r#"{"cancel":{"id":4}}"#.to_owned(),
        call(5, 5000, r#"{"sum":{"of":[1,2]}}"#),
    ];
    let calls: Vec<_> = calls.iter().map(|call| framed(call)).collect();
    peer.write_all(&calls.concat()).unwrap();
    let answers: Vec<_> = (0..5).map(|_| frame(&mut peer)).collect();
    assert_eq!(answers[0], r#"{"id":4,"reply":{"Err":"busy"}}"#, "the id is in use");
    assert_eq!(answers[1], r#"{"id":5,"reply":{"Ok":{"sum":{"is":3}}}}"#);
    assert_eq!(answers[2], r#"{"id":2,"reply":{"Ok":"waited"}}"#);
    assert_eq!(answers[3], r#"{"id":3,"reply":{"Err":"late"}}"#);
    assert_eq!(answers[4], r#"{"id":1,"reply":{"Ok":"waited"}}"#);
    peer.write_all(&framed(r#"{"call":{"id":1,"within":1,"ask":{"drop_tables":{}}}}"#)).unwrap();
    let mut rest = Vec::new();
    let _ = peer.read_to_end(&mut rest);
    assert!(rest.is_empty(), "{rest:?}");
    let mut second = client(server.at);
    second.write_all(&(1_u32 << 20).to_be_bytes()).unwrap();
    let _ = second.read_to_end(&mut rest);
    assert!(rest.is_empty(), "a frame that is too long ends the connection");
    let said = server.stop();
    assert!(said.contains("1 cancelled, 0 left"), "{said}");
}
