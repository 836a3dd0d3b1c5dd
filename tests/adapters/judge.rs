//! Programs of others.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// What a program prints that gets these bytes, and ends in good order within 20 s. `None`, with
/// the reason said, where it is not installed.
pub(crate) fn judged(program: &str, arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let exists = Command::new(program).arg("--version").stdout(Stdio::null()).status();
    if exists.is_err() {
        eprintln!("skipped: {program} is not installed");
        return None;
    }
    let mut command = Command::new("timeout");
    command.arg("20").arg(program).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join();
    assert!(output.status.success(), "{program} {arguments:?}: {}", output.status);
    Some(output.stdout)
}

/// A program of node's, until it is dropped.
pub(crate) struct Node {
    child: Child,
    pub(crate) at: SocketAddr,
}

impl Node {
    /// Starts one that prints its port as its first line. `None`, with the reason said, where node
    /// is not installed.
    pub(crate) fn start(script: &str) -> Option<Node> {
        // It ends with the test also if the test is killed: its input is then at the end.
        let script = format!("process.stdin.resume().on('end', () => process.exit());{script}");
        let mut node = Command::new("node");
        node.args(["-e", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let Ok(mut child) = node.spawn() else {
            eprintln!("skipped: node is not installed");
            return None;
        };
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse::<u16>().unwrap_or_else(|e| panic!("{line:?}: {e}"));
        Some(Node { child, at: SocketAddr::from(([127, 0, 0, 1], port)) })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
