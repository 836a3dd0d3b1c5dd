//! The server in the README, as it stands there: compiled, run, and talked to.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Shutdown, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::*;

/// Its first block of Rust.
fn server() -> String {
    let readme = include_str!("../../README.md");
    let (_, from) = readme.split_once("```rust,no_run\n").unwrap();
    let (code, _) = from.split_once("```").unwrap();
    code.to_owned()
}

/// A separate package beside the tests, built as these are.
fn build(code: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme");
    fs::create_dir_all(package.join("src")).unwrap();
    let manifest = format!(
        "[package]\nname = \"readme\"\nedition = \"2024\"\n[workspace]\n\
         [dependencies]\ntidegate = {{ path = {root:?} }}\n"
    );
    fs::write(package.join("Cargo.toml"), manifest).unwrap();
    fs::copy(root.join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
    fs::write(package.join("src/main.rs"), code).unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--offline", "--target-dir"])
        .arg(target)
        .current_dir(&package)
        .status();
    assert!(built.unwrap().success(), "the server in the README does not compile");
    target.join("debug/readme")
}

#[test]
fn the_server_in_the_readme_echoes() {
    let code = server();
    let lines = code.lines().filter(|l| !l.trim().is_empty()).count();
    assert!(lines <= 15, "{lines} lines");
    let free = code.replace("127.0.0.1:3000", "127.0.0.1:0");
    assert_ne!(free, code, "a free port, so that nothing else is in the way");
    let mut server = Command::new(build(&free)).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    let at: SocketAddr = said.trim().strip_prefix("listening on ").unwrap().parse().unwrap();

    // Larger than all that the kernel takes without being read.
    let big: Vec<u8> = (0..32u32 << 20).map(|i| (i % 251) as u8).collect();
    let reader = client(at);
    let writer = reader.try_clone().unwrap();
    let sent = big.clone();
    let sender = std::thread::spawn(move || {
        write_all(&writer, &sent);
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let echoed = read_to_end(&reader);
    sender.join().unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(echoed == big, "{} of {} bytes came back", echoed.len(), big.len());
}

/// The number in the line of a file that contains this text: the last field of it, or the one after
/// so many bars.
fn figure(file: &str, line: &str, bars: usize) -> f64 {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(path).unwrap();
    let line = text.lines().find(|l| l.starts_with(line)).unwrap();
    let field = match bars {
        0 => line.split_whitespace().last(),
        n => line.split('|').nth(n),
    };
    field.unwrap().trim().replace(',', "").parse().unwrap()
}

/// What an idle connection costs: ours as it was counted last, the others' as the report says.
#[test]
fn the_readme_says_what_an_idle_connection_costs() {
    let readme = include_str!("../../README.md");
    let readme = readme.split_whitespace().collect::<Vec<_>>().join(" ");
    let ours = figure("crates/tidegate-bench/counts.txt", "bytes/idle_connection ", 0);
    let (libuv, tokio) =
        (figure("BENCHMARKS.md", "| 1,000 |", 4), figure("BENCHMARKS.md", "| 1,000 |", 5));
    let tokio = format!("{},{:03}", tokio as u64 / 1000, tokio as u64 % 1000);
    for said in [
        format!("takes {ours:.0} bytes of user memory"),
        format!("libuv's takes {libuv}"),
        format!("4 KiB takes {tokio} "),
    ] {
        assert!(readme.contains(&said), "the README does not say: {said}");
    }
}

/// The two commands that do everything; CI takes the second from there.
#[test]
fn the_readme_names_its_two_commands() {
    let readme = include_str!("../../README.md");
    for command in ["cargo run --release --example request_path", "cargo test --workspace"] {
        assert!(readme.contains(command), "{command}");
    }
}
