//! The chapter "Try it": every block of it is typed as it stands, and what is printed is compared.
//! Ports are replaced by free ones; figures may differ, as in the other chapters.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::running::Running;
use crate::shape::{mismatch, shape};

/// Something that is typed, and what is printed then.
struct Typed {
    command: String,
    prints: Vec<String>,
}

/// The blocks of the chapter, each with the heading over it.
fn blocks() -> Vec<(String, Vec<Typed>)> {
    let chapter = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/manual/try_it.md");
    let text = std::fs::read_to_string(chapter).unwrap();
    let (mut blocks, mut heading, mut inside) = (Vec::new(), String::new(), false);
    for line in text.lines() {
        match line {
            "```console" => {
                inside = true;
                blocks.push((heading.clone(), Vec::new()));
            }
            "```" => inside = false,
            _ if inside => {
                let typed: &mut Vec<Typed> = &mut blocks.last_mut().unwrap().1;
                match line.strip_prefix("$ ") {
                    Some(command) => {
                        typed.push(Typed { command: command.to_owned(), prints: Vec::new() });
                    }
                    None if line.is_empty() => {}
                    None => typed.last_mut().unwrap().prints.push(line.to_owned()),
                }
            }
            _ => {
                if let Some(text) = line.strip_prefix("## ") {
                    heading = text.to_owned();
                }
            }
        }
    }
    blocks
}

/// Both outputs of it as one, in their order.
fn start(command: &str) -> Running {
    let rest = command.strip_prefix("tidegate ").unwrap();
    let line = format!("exec \"$0\" {rest} 2>&1");
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(line).arg(env!("CARGO_BIN_EXE_tidegate"));
    Running::start(shell.env_remove("RUST_LOG").stdin(Stdio::null()))
}

/// A port that was free a moment ago in place of each that the chapter names.
fn with_free_ports(text: &str, ports: &mut BTreeMap<&'static str, String>) -> String {
    let mut text = text.to_owned();
    for port in [":7000", ":3000"] {
        let free = ports.entry(port).or_insert_with(|| {
            let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            format!(":{}", at.port())
        });
        text = text.replace(port, free);
    }
    text
}

fn compare(heading: &str, typed: &Typed, printed: &str) {
    let lines = |line: &str| shape(line.trim());
    let here: Vec<String> = typed.prints.iter().map(|l| lines(l)).collect();
    let there: Vec<String> = printed.lines().filter(|l| !l.trim().is_empty()).map(lines).collect();
    if let Some(n) = mismatch(&here, &there) {
        let expected = typed.prints.get(n).map_or("its end", |l| l);
        panic!("{heading}: $ {}\nexpected {expected:?} in\n{printed}", typed.command);
    }
}

fn play(heading: &str, block: &[Typed]) {
    let mut ports = BTreeMap::new();
    let mut background: Vec<Running> = Vec::new();
    let mut code = None;
    for typed in block {
        let command = with_free_ports(&typed.command, &mut ports);
        let printed = if let Some(command) = command.strip_suffix(" &") {
            let mut server = start(command);
            let first: String = typed.prints.iter().map(|_| server.line()).collect();
            background.push(server);
            first
        } else if command == "kill -INT %1" {
            let mut server = background.remove(0);
            // What it has said is compared already.
            server.forget();
            server.stop().out
        } else if command == "echo $?" {
            format!("{}\n", code.unwrap())
        } else {
            // On a busy machine a server may reset a connection before its client has seen that it
            // was made: then it is typed again.
            let too_late = |out: &str| out.contains("attempt failed") && out.contains("ECONNRESET");
            let mut done = start(&command).finish();
            for _ in 0..20 {
                if too_late(&done.out) {
                    done = start(&command).finish();
                }
            }
            code = done.code;
            done.out
        };
        compare(heading, typed, &printed);
    }
}

#[test]
fn the_chapter_shows_what_the_commands_do() {
    if !cfg!(target_os = "linux") || cfg!(mio_unsupported_force_poll_poll) {
        eprintln!("skipped: the outputs in the manual are those of Linux and its epoll");
        return;
    }
    let blocks = blocks();
    assert!(blocks.len() >= 15, "{} blocks", blocks.len());
    // Most of the time is spent in waiting.
    std::thread::scope(|scope| {
        for (heading, block) in &blocks {
            scope.spawn(move || play(heading, block));
        }
    });
}
