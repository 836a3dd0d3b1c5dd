//! `doctor`: says in words what is wrong with a loop: of a subcommand while it runs, or of any
//! program from the JSON lines of its observer.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use tidegate::observe::{self, Finding, LineDoctor};
use tidegate::prelude::*;

use crate::exit::{Exit, Failure, Outcome};
use crate::run::Run;
use crate::runner::Runner;
use crate::terminal::{Tone, note, say, toned, toned_note};
use crate::values;

const EXAMPLES: &str = "\
Examples:
  tidegate doctor serve echo --block 200ms     a loop that is blocked on purpose
  tidegate doctor echo.jsonl                   what an observer `JsonLines` wrote

A file has no word of the accept queue, of lost segments and of unhandled errors: only a running
loop knows these. Findings of a subcommand go to standard error. The exit code is 3 if there is one.";

/// Say in words what is wrong with a loop, and what mends it
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, disable_help_subcommand = true)]
#[command(
    override_usage = "tidegate doctor [OPTIONS] FILE\n       tidegate doctor [OPTIONS] COMMAND ..."
)]
pub(crate) struct Doctor {
    /// JSON lines, as an observer `JsonLines` or `tidegate trace -o FILE.jsonl` writes them
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// From how long on a callback is said to block the loop
    #[arg(long, value_name = "TIME", value_parser = values::time, default_value = "50ms")]
    slow_call: Duration,
    #[command(subcommand)]
    command: Option<Run>,
}

/// The longest line that is read.
const LINE: u64 = 1 << 20;
/// How often a running loop is asked.
const EVERY: Duration = Duration::from_millis(250);

pub(crate) fn run(args: Doctor) -> Outcome {
    match (args.file, args.command) {
        (Some(file), None) => of_file(&file, args.slow_call),
        (None, Some(command)) => of_command(command, args.slow_call),
        _ => Err(Failure::bad_argument("either a file or a subcommand, please: see --help")),
    }
}

fn of_file(path: &Path, slow_call: Duration) -> Outcome {
    let place = |e: &dyn std::fmt::Display| Failure::new(format_args!("{}: {e}", path.display()));
    let mut file = BufReader::new(File::open(path).map_err(|e| place(&e))?);
    let mut doctor = LineDoctor::new().slow_call(slow_call);
    let (mut line, mut number) = (Vec::new(), 0_u64);
    loop {
        line.clear();
        number += 1;
        let read = file.by_ref().take(LINE).read_until(b'\n', &mut line);
        if read.map_err(|e| place(&e))? == 0 {
            break;
        }
        // A program that was killed leaves a last line that is not complete.
        if !line.ends_with(b"\n") && (line.len() as u64) < LINE {
            note(format_args!("line {number} is not complete, and left out"));
            break;
        }
        let judged = match std::str::from_utf8(&line) {
            Ok(text) => doctor.line(text).map_err(|e| e.to_string()),
            Err(e) => Err(e.to_string()),
        };
        judged.map_err(|e| place(&format_args!("line {number}: {e}")))?;
    }
    let found = doctor.findings();
    for finding in &found {
        say(shown(finding, toned(Tone::Strong, finding.sign)));
    }
    Ok(end(found.len(), say))
}

fn of_command(command: Run, slow_call: Duration) -> Outcome {
    let doctor = observe::Doctor::new().slow_call(slow_call);
    let printed = Rc::new(Cell::new(0));
    let (live, until) = (doctor.clone(), printed.clone());
    let runner = Runner::watched(doctor.clone(), move |lp: &mut Loop| {
        live.ask_every(lp, EVERY);
        let timer = lp.interval(EVERY, move |_, _| print_new(&live, &until));
        lp.set_ref(timer, false).map_err(std::io::Error::other)
    });
    let outcome = command.run(runner);
    print_new(&doctor, &printed);
    let found = end(doctor.findings().len(), note);
    match outcome? {
        Exit::Done => Ok(found),
        other => Ok(other),
    }
}

/// Those that were not printed yet.
fn print_new(doctor: &observe::Doctor, until: &Cell<u64>) {
    for finding in doctor.findings() {
        if finding.number > until.get() {
            until.set(finding.number);
            note(shown(&finding, toned_note(Tone::Strong, finding.sign)));
        }
    }
}

/// The sign, then what is wrong; what mends it under it.
fn shown(finding: &Finding, sign: impl std::fmt::Display) -> String {
    let at = finding.at.as_secs_f64();
    let more = match finding.unsaid {
        0 => String::new(),
        n => format!(" ({n} times more since this was last said)"),
    };
    let text = observe::OneLine(&finding.text).to_string();
    format!("{sign}, after {at:.1} s: {text}{more}\n    {}", finding.advice)
}

fn end(found: usize, say: fn(String)) -> Exit {
    match found {
        0 => {
            say("the doctor has found nothing".to_owned());
            Exit::Done
        }
        n => {
            say(format!("findings: {n}"));
            Exit::Found
        }
    }
}
