//! An error that nobody handles is on standard error if the program has no logger. Each test looks
//! at a process that runs the part of its name.

use std::process::{Command, Stdio};

use tidegate::prelude::*;

use crate::support::*;

const PART: &str = "TIDEGATE_WITHOUT_A_LOGGER";

/// What the other process says on standard error, line by line; nothing that the test harness says
/// goes there.
fn said_by(part: &str, errors: Stdio) -> Vec<String> {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "failing::without_a_logger::the_parts", "--nocapture"])
        .env(PART, part)
        .stdout(Stdio::null())
        .stderr(errors)
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
    String::from_utf8(child.stderr).unwrap().lines().map(str::to_owned).collect()
}

/// What runs in the other process.
#[test]
fn the_parts() {
    let Ok(part) = std::env::var(PART) else { return };
    let mut lp = guarded();
    match part.as_str() {
        "one" => {
            lp.connect("127.0.0.1:1", On::new());
        }
        "many" => {
            for _ in 0..9 {
                lp.connect("127.0.0.1:1", On::new());
                lp.run().unwrap();
            }
            lp.connect("nonsense", On::new());
        }
        "handled" => {
            lp.connect("127.0.0.1:1", On::new().close(|_, _| {}));
        }
        "ended" => {
            let (peer, ours) = pair();
            lp.adopt(ours, On::new()).unwrap();
            drop(peer);
        }
        other => panic!("{other}"),
    }
    lp.run().unwrap();
}

#[test]
fn a_connect_that_fails_is_said_once() {
    let lines = said_by("one", Stdio::piped());
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(
        line.starts_with("tidegate: unhandled: connect to 127.0.0.1:1 failed after "),
        "{line}"
    );
    assert!(line.contains(" (ECONNREFUSED)"), "{line}");
}

/// As in the log: the first of each kind, and then at each power of two.
#[test]
fn many_of_one_kind_are_few_lines() {
    let lines = said_by("many", Stdio::piped());
    assert_eq!(lines.len(), 5, "{lines:?}"); // 1, 2, 4 and 8 of the nine; the other kind
    assert!(lines[3].ends_with("(and 3 more like it since the last line)"), "{lines:?}");
    assert!(lines[4].starts_with("tidegate: unhandled: lookup failed"), "{lines:?}");
}

#[test]
fn nothing_is_said_of_what_is_handled_or_no_error() {
    assert_eq!(said_by("handled", Stdio::piped()), [""; 0]);
    assert_eq!(said_by("ended", Stdio::piped()), [""; 0]);
}

/// Nobody reads standard error any more: that is no panic.
#[cfg(target_os = "linux")]
#[test]
fn a_standard_error_that_takes_nothing() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    said_by("one", full.into());
}
