//! What noise cannot touch: instructions, system calls, allocations and bytes, counted and
//! compared with the figures of the last commit.
#![forbid(unsafe_code)]

mod allocations;
mod baseline;
mod instructions;
mod operate;
mod system_calls;

use std::path::Path;
use std::process::ExitCode;

pub(crate) use operate::operate;

/// A name, and how many for each operation.
type Count = (String, f64);

/// What was counted, or why it cannot be here.
type Counted = Result<Vec<Count>, String>;

/// Counts everything; compares it with the baseline, or writes that.
pub(crate) fn run(update: bool) -> Result<ExitCode, String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("counts.txt");
    let mut counts = Vec::new();
    let mut skipped = Vec::new();
    for (kind, counted) in [
        ("system calls", system_calls::count()),
        ("allocations", allocations::count()),
        // The last: cargo replaces this program by that of the bench profile.
        ("instructions", instructions::count()),
    ] {
        match counted {
            Ok(more) => counts.extend(more),
            Err(why) => {
                println!("skipped: {kind}: {why}");
                skipped.push(kind);
            }
        }
    }
    if update {
        if let Some(kind) = skipped.first() {
            return Err(format!("{kind} were not counted: a baseline needs all of them"));
        }
        baseline::write(&file, &counts).map_err(|e| format!("{}: {e}", file.display()))?;
        println!("wrote {}", file.display());
        return Ok(ExitCode::SUCCESS);
    }
    let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    Ok(baseline::compare(&text, &counts))
}
