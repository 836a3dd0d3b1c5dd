//! Servers of HTTP among the examples, judged by the programs of others: curl, wrk, h2load,
//! slowhttptest, haproxy, the clients of Node and of Python. Each test prints which of them it had,
//! and skips what is not installed.

mod behind;
mod curl;
mod languages;
mod load;
mod proxy;
mod slow;
mod websocket;

use std::io::Write;
use std::process::{Command, Stdio};

/// Runs a judge for at most 30 s. What it printed, if it is installed and says that all is well.
#[track_caller]
fn judge(name: &str, version: &str, arguments: &[&str], input: &[u8]) -> Option<String> {
    let installed = Command::new(name).arg(version).stdin(Stdio::null()).output();
    let Ok(installed) = installed else {
        eprintln!("skipped: {name} is not installed");
        return None;
    };
    let text = [installed.stdout, installed.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    eprintln!("judge: {name}: {}", first.chars().take(60).collect::<String>());
    let mut child = Command::new("timeout")
        .args(["30", name])
        .args(arguments)
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that does not want it leaves.
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeds = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    feeds.join().unwrap();
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{name} {arguments:?}: {}: {said}", output.status);
    Some(said)
}

/// A file of this test alone, which goes with it.
struct File(std::path::PathBuf);

impl File {
    fn new(name: &str, content: &[u8]) -> File {
        let name = format!("tidegate-{}-{name}", std::process::id());
        let file = File(std::env::temp_dir().join(name));
        std::fs::write(&file.0, content).unwrap();
        file
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
