//! The tutorial: what stands there is in the files of the steps, and who types what stands there
//! sees what stands there.
//!
//! A block `console` is a terminal. `$ cargo run` starts the step's program on a free port, `^C`
//! stops it, `$ nc` talks to it: lines after `>` are typed, the others come back. Other commands
//! go to the shell, with the port in place of 6380. Figures may differ where they are measured.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::Shutdown;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::running::{Running, installed};
use crate::shape::shape;
use crate::support::*;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

struct Block {
    step: usize,
    language: String,
    lines: Vec<String>,
}

fn blocks() -> Vec<Block> {
    let page = fs::read_to_string(root().join("docs/tutorial/README.md")).unwrap();
    let (mut step, mut blocks) = (0, Vec::new());
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(title) = line.strip_prefix("## Step ") {
            step = title[..1].parse().unwrap();
        }
        if let Some(language) = line.strip_prefix("```") {
            let inside = lines.by_ref().take_while(|l| *l != "```").map(str::to_owned);
            blocks.push(Block { step, language: language.to_owned(), lines: inside.collect() });
        }
    }
    assert_eq!(step, 7);
    blocks
}

#[test]
fn the_code_is_that_of_the_steps() {
    let trimmed = |l: &String| l.trim().to_owned();
    for Block { step, language, lines } in blocks() {
        if !language.starts_with("rust") {
            continue;
        }
        let file = format!("examples/tutorial/step{step}.rs");
        let text = fs::read_to_string(root().join(&file)).unwrap();
        let all: Vec<String> = text.lines().map(|l| l.trim().to_owned()).collect();
        let here: Vec<String> = lines.iter().map(trimmed).collect();
        assert!(all.windows(here.len()).any(|w| w == here), "not in {file}:\n{}", lines.join("\n"));
    }
}

/// A folder that is gone afterwards.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Someone who follows the tutorial.
struct Reader {
    folder: Folder,
    server: Option<Running>,
    /// A judge is not installed here.
    skipped: bool,
}

impl Reader {
    fn port(&self) -> String {
        self.server.as_ref().expect("no server runs").at.port().to_string()
    }

    fn start(&mut self, step: usize, arguments: &str, shows: &[String]) {
        self.server = None;
        let arguments: Vec<&str> = arguments.split_whitespace().skip(1).collect();
        let arguments = [&["127.0.0.1:0"], &arguments[..]].concat();
        let server = Running::start_in(&self.folder.0, &format!("step{step}"), &arguments);
        let first = server.first.replace(&format!(":{}", server.at.port()), ":6380");
        assert_eq!([first], shows, "step {step}");
        self.server = Some(server);
    }

    fn stop(&mut self, step: usize, shows: &[String]) {
        let server = self.server.take().unwrap();
        server.signal("-INT");
        self.compare(step, "^C", &server.finish(), shows, self.skipped);
    }

    fn talk(&self, step: usize, lines: &[String]) {
        let peer = client(self.server.as_ref().unwrap().at);
        let mut answers = BufReader::new(&peer).lines();
        for line in lines {
            match line.strip_prefix("> ") {
                Some(typed) => write_all(&peer, format!("{typed}\n").as_bytes()),
                None => assert_eq!(&answers.next().unwrap().unwrap(), line, "nc in step {step}"),
            }
        }
        // The server may have closed it.
        let _ = peer.shutdown(Shutdown::Write);
        assert_eq!(answers.count(), 0, "there is more than step {step} shows");
    }

    fn shell(&mut self, step: usize, command: &str, shows: &[String]) {
        let program = command.split(' ').next().unwrap();
        if program.starts_with("redis-") && installed(program, &["--version"]).is_none() {
            self.skipped = true;
            return;
        }
        let mut words: Vec<&str> = command.split(' ').collect();
        if let Some(n) = words.iter().position(|word| *word == "-n" && program.ends_with("mark")) {
            words[n + 1] = "2000";
        }
        let port = self.port();
        // As in a terminal.
        let line =
            words.join(" ").replace("6380", &port).replace("redis-cli", "redis-cli --no-raw");
        let done = Command::new("sh").args(["-c", &line]).current_dir(&self.folder.0).output();
        let done = done.unwrap();
        assert!(done.status.success(), "{command}: {done:?}");
        let measured = ["redis-benchmark", "INFO", "TTL"].iter().any(|w| command.contains(w));
        let printed = String::from_utf8(done.stdout).unwrap();
        self.compare(step, command, &printed, shows, measured);
    }

    fn compare(&self, step: usize, what: &str, printed: &str, shows: &[String], measured: bool) {
        // What a program writes over again in the same line counts once.
        let last = |line: &str| line.trim_end().rsplit('\r').next().unwrap_or_default().to_owned();
        let as_shown = |line: String| if measured { shape(&line) } else { line };
        let not_empty = |line: &String| !line.is_empty();
        let printed: Vec<_> = printed.lines().map(last).filter(not_empty).map(as_shown).collect();
        let shows: Vec<_> = shows.iter().filter(|l| not_empty(l)).cloned().map(as_shown).collect();
        assert_eq!(printed, shows, "step {step}: {what}");
    }
}

#[test]
fn the_transcripts_are_what_one_sees() {
    let folder = std::env::temp_dir().join(format!("tidegate-tutorial-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let mut reader = Reader { folder: Folder(folder), server: None, skipped: false };
    let mut commands = 0;
    for Block { step, language, lines } in blocks() {
        if language != "console" {
            continue;
        }
        let mut lines = &lines[..];
        while let Some((first, rest)) = lines.split_first() {
            let next = rest.iter().position(|l| l.starts_with("$ ")).unwrap_or(rest.len());
            let (shows, others) = rest.split_at(next);
            match first.strip_prefix("$ ") {
                Some(command) => match command.strip_prefix("cargo run") {
                    Some(arguments) => {
                        let arguments = arguments.trim_start().trim_start_matches("-- ");
                        reader.start(step, arguments, shows);
                    }
                    None if command.starts_with("nc ") => reader.talk(step, shows),
                    None => reader.shell(step, command, shows),
                },
                None => {
                    assert_eq!(first, "^C");
                    reader.stop(step, shows);
                }
            }
            commands += 1;
            lines = others;
        }
    }
    assert!(commands > 30, "{commands}");
}
