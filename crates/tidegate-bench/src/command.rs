//! The command line.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use tidegate_bench::contest::{Contest, Table};
use tidegate_bench::suite::Scale;

use crate::{counts, report};

const USAGE: &str = "usage: tidegate-bench report [--quick] [--out DIR] [--section NAME]
                                         with NAME, one section anew, in the page of DIR
       tidegate-bench compare OLD NEW    two BENCHMARKS.md; fails if a ratio differs by 10 %
       tidegate-bench redis              the example redis beside redis-server, alone
       tidegate-bench http               servers of HTTP, alone
       tidegate-bench tls [p99]          handshakes and echoes with TLS, alone; p99: echoes
                                         without TLS beside handshakes
       tidegate-bench counts [--update]  fails if a count grew by more than 3 %
       tidegate-bench operate NAME N     to be traced by counts: N rounds";

fn report(args: &[String]) -> Result<ExitCode, String> {
    let mut quick = false;
    let (mut out, mut section) = (None, None);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--quick" => quick = true,
            "--out" => out = Some(PathBuf::from(args.next().ok_or("--out needs a directory")?)),
            "--section" => section = Some(args.next().ok_or("--section needs a heading")?),
            other => return Err(format!("{other:?} is not a valid option of report")),
        }
    }
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let root = root.canonicalize().unwrap_or(root);
    let out = out.unwrap_or(if quick { root.join("target/report") } else { root });
    let done = match section {
        Some(name) => report::one(name, quick, &out),
        None => report::run(quick, &out),
    };
    done.map_err(|e| format!("{}: {e}", out.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// One contest of the report, for the terminal.
fn redis(args: &[String]) -> Result<ExitCode, String> {
    let [] = args else { return Err("redis takes no arguments".into()) };
    tidegate_bench::prepare();
    match tidegate_bench::redis::contests(Scale::FULL) {
        Err(why) => println!("skipped: {why}"),
        Ok(contests) => {
            let outcomes: Vec<_> = contests.iter().map(Contest::hold).collect();
            print!("{}", Table::of(&outcomes).text());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Another.
fn http(args: &[String]) -> Result<ExitCode, String> {
    let [] = args else { return Err("http takes no arguments".into()) };
    tidegate_bench::prepare();
    match tidegate_bench::http::contests(Scale::FULL) {
        Err(why) => println!("skipped: {why}"),
        Ok((contests, missing)) => {
            missing.iter().for_each(|why| println!("left out: {why}"));
            let outcomes: Vec<_> = contests.iter().map(Contest::hold).collect();
            print!("{}", Table::of(&outcomes).text());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The section TLS in pieces.
fn tls(args: &[String]) -> Result<ExitCode, String> {
    tidegate_bench::prepare();
    match args {
        [part] if part == "p99" => {
            print!("{}", tidegate_bench::tls::calm::text(false).map_err(|e| e.to_string())?);
        }
        [] => {
            for contest in tidegate_bench::tls::contests(Scale::FULL) {
                print!("{}", Table::of(&[contest.hold()]).text());
            }
        }
        _ => return Err("tls takes p99 or nothing".into()),
    }
    Ok(ExitCode::SUCCESS)
}

/// A program beside one of its measurements: this program starts itself for it.
fn beside(args: &[String]) -> Result<ExitCode, String> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    tidegate_bench::tls::beside::main(&args)?;
    Ok(ExitCode::SUCCESS)
}

/// A server of that contest: this program starts itself for it.
fn serve_http(args: &[String]) -> Result<ExitCode, String> {
    let [name, port] = args else { return Err("serve-http needs a name and a port".into()) };
    let port = port.parse().map_err(|_| format!("{port:?} is not a valid port"))?;
    tidegate_bench::http::serve(name, port)?;
    Ok(ExitCode::SUCCESS)
}

fn compare(args: &[String]) -> Result<ExitCode, String> {
    let [old, new] = args else { return Err("compare needs two files".into()) };
    let read = |path: &String| std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"));
    report::compare::run(&read(old)?, &read(new)?)
}

fn count(args: &[String]) -> Result<ExitCode, String> {
    match args {
        [] => counts::run(false),
        [update] if update == "--update" => counts::run(true),
        _ => Err("counts takes --update or nothing".into()),
    }
}

fn operate(args: &[String]) -> Result<ExitCode, String> {
    let [name, n] = args else { return Err("operate needs a name and a number".into()) };
    let n = n.parse().map_err(|_| format!("{n:?} is not a valid number"))?;
    counts::operate(name, n).map_err(|e| format!("{name}: {e}"))?;
    Ok(ExitCode::SUCCESS)
}

/// Does what the command line says.
pub(crate) fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.first().map(String::as_str) {
        Some("report") => report(&args[1..]),
        Some("compare") => compare(&args[1..]),
        Some("redis") => redis(&args[1..]),
        Some("http") => http(&args[1..]),
        Some("tls") => tls(&args[1..]),
        Some("beside") => beside(&args[1..]),
        Some("serve-http") => serve_http(&args[1..]),
        Some("counts") => count(&args[1..]),
        Some("operate") => operate(&args[1..]),
        _ => Err("which one?".into()),
    };
    done.unwrap_or_else(|e| {
        eprintln!("{e}\n{USAGE}");
        ExitCode::from(2)
    })
}
