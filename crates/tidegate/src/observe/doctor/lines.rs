//! A doctor for files: what the rules need of the lines that [`JsonLines`](super::super::JsonLines)
//! writes.
#![forbid(unsafe_code)]

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use super::finding::Finding;
use super::rules::Rules;
use super::said::Said;

/// A [`Doctor`](super::Doctor) for files that [`JsonLines`](super::super::JsonLines) wrote. What
/// only the kernel and the counters know is not in them.
///
/// ```
/// use tidegate::observe::{LineDoctor, Sign};
/// let mut doctor = LineDoctor::new();
/// doctor.line(r#"{"at_ns":70000000,"turn":1,"phase":"timers","layer":"loop","event":"called",
///     "handle":"h1.2.1","kind":"timer","took_ns":60000000}"#)?;
/// assert_eq!(doctor.findings()[0].sign, Sign::BlockedLoop);
/// # Ok::<(), tidegate::observe::BadLine>(())
/// ```
pub struct LineDoctor {
    rules: Rules<String>,
    said: Said,
    at: Duration,
}

/// A line that no [`JsonLines`](super::super::JsonLines) wrote.
///
/// ```
/// use tidegate::observe::LineDoctor;
/// let bad = LineDoctor::new().line("{}").unwrap_err();
/// assert_eq!(bad.to_string(), "there is no `at_ns` in it");
/// ```
#[derive(Debug)]
pub struct BadLine(String);

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadLine {}

impl Default for LineDoctor {
    fn default() -> LineDoctor {
        LineDoctor::new()
    }
}

impl LineDoctor {
    /// With the rules of [`Doctor::new`](super::Doctor::new).
    pub fn new() -> LineDoctor {
        let rules = Rules::new(Duration::from_millis(50));
        LineDoctor { rules, said: Said::new(), at: Duration::ZERO }
    }

    /// From how long on a call is said to block the loop.
    pub fn slow_call(mut self, from: Duration) -> LineDoctor {
        self.rules.set_slow_call(from);
        self
    }

    /// Takes a line of the file. Lines of events that no rule needs are skipped.
    pub fn line(&mut self, line: &str) -> Result<(), BadLine> {
        let object: Map<String, Value> = serde_json::from_str(line)
            .map_err(|e| BadLine(format!("it is no JSON object: {e}")))?;
        let fields = Fields(&object);
        self.at = fields.time("at_ns")?;
        self.take(&fields)?;
        self.settle(false);
        Ok(())
    }

    /// What was found so far, the oldest first; the last hundred.
    pub fn findings(&mut self) -> Vec<Finding> {
        self.settle(true);
        self.said.kept()
    }

    fn settle(&mut self, all: bool) {
        for finding in self.rules.take(self.at, all) {
            let _ = self.said.take(finding);
        }
    }

    fn take(&mut self, f: &Fields<'_>) -> Result<(), BadLine> {
        let (at, rules) = (self.at, &mut self.rules);
        match (f.text("layer")?.as_str(), f.text("event")?.as_str()) {
            ("loop", "poll") => {
                let timeout = f.0.contains_key("timeout_ns").then(|| f.time("timeout_ns"));
                rules.poll(at, timeout.transpose()?);
            }
            ("loop", "polled") => rules.polled(f.time("waited_ns")?),
            ("loop", "called") => {
                let handle = f.text("handle")?;
                rules.called(at, || handle, &f.text("kind")?, f.time("took_ns")?);
            }
            ("loop", "turn end") => rules.turn_end(at, f.time("took_ns")?),
            ("net", "accept batch") => {
                let budget = f.text("stopped")? == "budget";
                rules.accepted(at, &f.text("server")?, f.number("accepted")?, budget);
            }
            ("net", "held") => rules.no_descriptors(at, &f.text("server")?, None),
            ("net", "shed") => {
                let closed = f.number("connections")?;
                rules.no_descriptors(at, &f.text("server")?, Some(closed));
            }
            ("net", "closed") => rules.server_is_over(&f.text("server")?),
            // A server has an event of this name, too.
            ("net", "full") if f.0.contains_key("conn") => {
                rules.full(at, &f.text("conn")?, f.number("queued")?);
            }
            ("net", "queued") => rules.queued(&f.text("conn")?, f.number("bytes")?),
            ("net", "drain" | "close" | "reject" | "detach") if f.0.contains_key("conn") => {
                rules.not_full(&f.text("conn")?);
            }
            _ => {}
        }
        Ok(())
    }
}

struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    fn get(&self, name: &str) -> Result<&Value, BadLine> {
        self.0.get(name).ok_or_else(|| BadLine(format!("there is no `{name}` in it")))
    }

    fn text(&self, name: &str) -> Result<String, BadLine> {
        let text = self.get(name)?.as_str();
        Ok(text.ok_or_else(|| BadLine(format!("`{name}` is no text")))?.to_owned())
    }

    fn number(&self, name: &str) -> Result<u64, BadLine> {
        self.get(name)?.as_u64().ok_or_else(|| BadLine(format!("`{name}` is no number")))
    }

    fn time(&self, name: &str) -> Result<Duration, BadLine> {
        Ok(Duration::from_nanos(self.number(name)?))
    }
}

impl fmt::Debug for LineDoctor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineDoctor").field("findings", &self.said.kept()).finish()
    }
}
