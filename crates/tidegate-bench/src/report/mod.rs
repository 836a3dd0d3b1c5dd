//! What the report holds, in which order, and the page that it writes.
#![forbid(unsafe_code)]

pub(crate) mod compare;
mod machine;
pub(crate) mod memory;
mod plots;
mod tuning;

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use self::tuning::Tuned;
use tidegate_bench::contest::{Contest, Outcome, Table};
use tidegate_bench::redis;
use tidegate_bench::suite::{self, BUDGETS, Positions, Scale};

const HOW: &str = "Servers are threads of one process, on one core; the client is one epoll \
thread on another, the same for all; as root the process has a loopback of its own. Within a contest all contenders are alive at once and take \
short slices in turns, in a new random order each cycle. Ratios are taken inside a cycle; told is \
their median over the cycles, ± half of its 90 % interval (bootstrap). **Above 1 tidegate is \
ahead** of the column's contender. The figure is tidegate's own. Where connections come and go, \
what counts is the CPU time of the server's thread for each, since the client pays for most of a \
handshake and so sets the rate; elsewhere it is rates and times.

- `floor`: the same server by hand over epoll, with no runtime at all.
- `libuv`: its C API, one read buffer, `uv_try_write` first.
- `tokio`: one thread, a task for each connection.
- `async-executor`, `LocalSet`, `monoio`: other executors of futures on one thread. `LocalSet` is \
tokio's; monoio runs with its epoll driver.
- `redis-server`: as it is installed, without persistence; `redis-benchmark` with 50 clients is \
the client of both programs.
- `one a turn`: the floor, but with one accept in each turn of its loop, as libuv does since \
1.45.

A queue is made while the server is held up in a callback; how long connections waited counts \
from when it goes on. `1 ms of work in each turn` is a callback of every turn that computes so \
long.";

/// Two programs, so a section of its own.
const REDIS: &str = "The example redis, and redis-server";

/// hyper, and what runs tasks.
const FUTURES: &str = "Futures";

const PLOT_BUDGETS: [u32; 9] = [1, 2, 4, 8, 16, 32, 64, 128, u32::MAX];

struct Progress {
    begin: Instant,
}

impl Progress {
    fn hold(&self, contests: &[Contest]) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for contest in contests {
            self.tell(&contest.name);
            let outcome = contest.hold();
            print!("{}", Table::of(std::slice::from_ref(&outcome)).text());
            outcomes.push(outcome);
        }
        outcomes
    }

    fn tell(&self, what: &str) {
        println!("[{:>4} s] {what}", self.begin.elapsed().as_secs());
        // Who waits wants to see it, through a pipe as well.
        let _ = io::stdout().flush();
    }
}

/// Measures everything, and writes the page and its plots below `out`.
pub(crate) fn run(quick: bool, out: &Path) -> io::Result<()> {
    // Before anything else uses libuv.
    #[cfg(libuv)]
    tidegate_bench::sys::libuv::count_allocations();
    let descriptors = tidegate_bench::prepare();
    let scale = if quick { Scale::QUICK } else { Scale::FULL };
    let plots = out.join("docs/plots");
    std::fs::create_dir_all(&plots)?;
    let progress = Progress { begin: Instant::now() };
    let mut page = String::new();
    let _ = write!(page, "# Benchmarks\n\n");
    let _ = write!(page, "Written by `cargo run --release -p tidegate-bench -- report`");
    let _ = write!(page, "{}.\n\n", if quick { " `--quick`: a look, not a result" } else { "" });
    let _ = write!(page, "{HOW}\n\n## The machine\n\n{}\n", machine::table());

    let section = |page: &mut String, title: &str, outcomes: &[Outcome]| {
        let _ = write!(page, "## {title}\n\n{}\n", Table::of(outcomes).markdown());
    };
    section(&mut page, "Connections that come and go", &progress.hold(&suite::accept(scale)));
    let queued = progress.hold(&suite::queued(scale));
    section(&mut page, "A queue of connections", &queued);

    let idle = Positions::default();
    let by_budget =
        progress.hold(&suite::queued_budgets(scale, Duration::ZERO, &PLOT_BUDGETS, &idle));
    let positions = Positions::default();
    let millisecond = Duration::from_millis(1);
    let busy = progress.hold(&suite::queued_budgets(scale, millisecond, &BUDGETS, &positions));
    section(&mut page, "A queue, and a loop that is busy", &busy);
    let _ = writeln!(page, "![throughput by accept budget](docs/plots/throughput.svg)\n");
    plots::throughput(&plots.join("throughput.svg"), &PLOT_BUDGETS, &by_budget, &busy)?;
    let _ = writeln!(page, "![waiting time by place in the queue](docs/plots/latency.svg)\n");
    plots::latency(&plots.join("latency.svg"), &positions.borrow())?;

    let messages = [suite::ping_pong(scale), suite::pump(scale), suite::write_batch(scale)];
    let messages: Vec<Outcome> = messages.iter().flat_map(|c| progress.hold(c)).collect();
    section(&mut page, "Messages and bytes", &messages);
    section(&mut page, "Datagrams", &progress.hold(&suite::datagrams(scale)));
    section(&mut page, FUTURES, &progress.hold(&suite::futures(scale)));
    match redis::contests(scale) {
        Ok(contests) => section(&mut page, REDIS, &progress.hold(&contests)),
        Err(why) => {
            progress.tell(&format!("skipped: {REDIS}: {why}"));
            let _ = write!(page, "## {REDIS}\n\nNot measured: {why}.\n\n");
        }
    }
    let small = [
        suite::turns(scale),
        suite::timers(scale),
        suite::posts(scale),
        suite::works(scale),
        suite::lookups(scale),
    ];
    let small: Vec<Outcome> = small.iter().flat_map(|c| progress.hold(c)).collect();
    section(&mut page, "The loop itself", &small);

    let fair = progress.hold(&suite::fairness(scale));
    section(&mut page, "Established connections while others come", &fair);

    progress.tell("memory of idle connections");
    let memory = memory::measure(quick, descriptors);
    let _ = write!(page, "## Memory of idle connections\n\n{}\n", memory::page(&memory));
    let _ = writeln!(page, "![memory by connections](docs/plots/memory.svg)\n");
    plots::memory(&plots.join("memory.svg"), &memory)?;

    let _ = write!(page, "## Tuning accept\n\n");
    let tuned = tuning::budget(&busy, &fair).into_iter();
    let tuned: Vec<_> = tuned.chain(tuning::rest(quick, |what| progress.tell(what))).collect();
    for Tuned { option, text } in &tuned {
        let _ = write!(page, "### {option}\n\n{text}\n");
    }
    tuning::into_chapter(&tuned, &out.join("docs/manual/tuning_accept.md"))?;
    std::fs::write(out.join("BENCHMARKS.md"), &page)?;
    progress.tell(&format!("written: {}", out.join("BENCHMARKS.md").display()));
    Ok(())
}
