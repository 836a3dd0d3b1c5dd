//! The sections of the report, in their order: what each measures, and its text.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::tuning::Tuned;
use super::{memory, plots, tuning};
use tidegate_bench::contest::{Contest, Outcome, Table};
use tidegate_bench::suite::{self, BUDGETS, Positions, Scale};
use tidegate_bench::{datagrams, http, redis, tls};

/// One section of the page.
pub(super) struct Section {
    pub(super) title: &'static str,
    /// Measures it, and gives its text without the heading.
    pub(super) measure: fn(&mut Bench) -> Result<String, Failed>,
}

/// All of them, as the page has them.
pub(super) const SECTIONS: &[Section] = &[
    Section { title: "Connections that come and go", measure: come_and_go },
    Section { title: "A queue of connections", measure: queue },
    Section { title: "A queue, and a loop that is busy", measure: busy_loop },
    Section { title: "Messages and bytes", measure: messages },
    Section { title: "Datagrams", measure: of_datagrams },
    Section { title: "Futures", measure: futures },
    Section { title: "The example redis, and redis-server", measure: redis_server },
    Section { title: "HTTP", measure: http_servers },
    Section { title: "The loop itself", measure: loop_itself },
    Section { title: "Established connections while others come", measure: established },
    Section { title: "Memory of idle connections", measure: idle_memory },
    Section { title: "TLS", measure: with_tls },
    Section { title: "Tuning accept", measure: tuning_accept },
];

/// Why a section has no figures.
pub(super) enum Failed {
    /// What it needs is not installed, or does not work here.
    Missing(String),
    Io(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Failed {
        Failed::Io(error)
    }
}

/// What measuring needs, and the outcomes that two sections use.
pub(super) struct Bench {
    pub(super) quick: bool,
    pub(super) scale: Scale,
    /// Where the page, the plots and the manual are.
    pub(super) out: PathBuf,
    pub(super) descriptors: u64,
    pub(super) begin: Instant,
    pub(super) busy: Option<Vec<Outcome>>,
    pub(super) fair: Option<Vec<Outcome>>,
}

const PLOT_BUDGETS: [u32; 9] = [1, 2, 4, 8, 16, 32, 64, 128, u32::MAX];

impl Bench {
    fn hold(&self, contests: &[Contest]) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for contest in contests {
            self.say(&contest.name);
            let outcome = contest.hold();
            print!("{}", Table::of(std::slice::from_ref(&outcome)).text());
            outcomes.push(outcome);
        }
        outcomes
    }

    /// The table of these contests.
    fn table(&self, contests: &[Contest]) -> Result<String, Failed> {
        Ok(Table::of(&self.hold(contests)).markdown())
    }

    /// One line about the progress, at once also through a pipe.
    pub(super) fn say(&self, what: &str) {
        println!("[{:>4} s] {what}", self.begin.elapsed().as_secs());
        let _ = io::stdout().flush();
    }

    fn plot(&self, name: &str) -> io::Result<PathBuf> {
        let folder = self.out.join("docs/plots");
        std::fs::create_dir_all(&folder)?;
        Ok(folder.join(name))
    }
}

fn come_and_go(bench: &mut Bench) -> Result<String, Failed> {
    bench.table(&suite::accept(bench.scale))
}

fn queue(bench: &mut Bench) -> Result<String, Failed> {
    bench.table(&suite::queued(bench.scale))
}

fn busy(bench: &mut Bench, positions: &Positions) -> Vec<Outcome> {
    let millisecond = Duration::from_millis(1);
    bench.hold(&suite::queued_budgets(bench.scale, millisecond, &BUDGETS, positions))
}

fn busy_loop(bench: &mut Bench) -> Result<String, Failed> {
    let unused = Positions::default();
    let by_budget =
        bench.hold(&suite::queued_budgets(bench.scale, Duration::ZERO, &PLOT_BUDGETS, &unused));
    let positions = Positions::default();
    let busy = busy(bench, &positions);
    let mut text = format!("{}\n", Table::of(&busy).markdown());
    let _ = writeln!(text, "![throughput by accept budget](docs/plots/throughput.svg)\n");
    plots::throughput(&bench.plot("throughput.svg")?, &PLOT_BUDGETS, &by_budget, &busy)?;
    let _ = writeln!(text, "![waiting time by place in the queue](docs/plots/latency.svg)");
    plots::latency(&bench.plot("latency.svg")?, &positions.borrow())?;
    bench.busy = Some(busy);
    Ok(text)
}

fn messages(bench: &mut Bench) -> Result<String, Failed> {
    let scale = bench.scale;
    let of = [suite::ping_pong(scale), suite::pump(scale), suite::write_batch(scale)];
    let outcomes: Vec<Outcome> = of.iter().flat_map(|c| bench.hold(c)).collect();
    Ok(Table::of(&outcomes).markdown())
}

fn of_datagrams(bench: &mut Bench) -> Result<String, Failed> {
    bench.table(&datagrams::contests(bench.scale))
}

fn futures(bench: &mut Bench) -> Result<String, Failed> {
    bench.table(&suite::futures(bench.scale))
}

fn redis_server(bench: &mut Bench) -> Result<String, Failed> {
    let contests = redis::contests(bench.scale).map_err(Failed::Missing)?;
    bench.table(&contests)
}

fn http_servers(bench: &mut Bench) -> Result<String, Failed> {
    let (contests, missing) = http::contests(bench.scale).map_err(Failed::Missing)?;
    let mut text = format!("{}\n\n{}", http::HOW, bench.table(&contests)?);
    for why in missing {
        let _ = write!(text, "\nLeft out: {why}.\n");
    }
    Ok(text)
}

fn loop_itself(bench: &mut Bench) -> Result<String, Failed> {
    let scale = bench.scale;
    let of = [
        suite::turns(scale),
        suite::timers(scale),
        suite::posts(scale),
        suite::works(scale),
        suite::lookups(scale),
    ];
    let outcomes: Vec<Outcome> = of.iter().flat_map(|c| bench.hold(c)).collect();
    Ok(Table::of(&outcomes).markdown())
}

fn with_tls(bench: &mut Bench) -> Result<String, Failed> {
    let contests = bench.table(&tls::contests(bench.scale))?;
    bench.say("echoes beside handshakes");
    let calm = tls::calm::text(bench.quick)?;
    bench.say("memory of idle connections with TLS");
    let idle = tls::idle::text(bench.quick)?;
    Ok(format!("{}\n{contests}\n{calm}\n{idle}", tls::ABOUT))
}

fn established(bench: &mut Bench) -> Result<String, Failed> {
    let fair = bench.hold(&suite::fairness(bench.scale));
    let text = Table::of(&fair).markdown();
    bench.fair = Some(fair);
    Ok(text)
}

fn idle_memory(bench: &mut Bench) -> Result<String, Failed> {
    bench.say("memory of idle connections");
    let memory = memory::measure(bench.quick, bench.descriptors);
    plots::memory(&bench.plot("memory.svg")?, &memory)?;
    Ok(format!("{}\n![memory by connections](docs/plots/memory.svg)\n", memory::page(&memory)))
}

/// Writes its parts into the manual as well.
fn tuning_accept(bench: &mut Bench) -> Result<String, Failed> {
    let held = bench.busy.take();
    let held = held.unwrap_or_else(|| busy(bench, &Positions::default()));
    let fair = bench.fair.take();
    let fair = fair.unwrap_or_else(|| bench.hold(&suite::fairness(bench.scale)));
    let mut tuned: Vec<Tuned> = tuning::budget(&held, &fair).into_iter().collect();
    tuned.extend(tuning::rest(bench.quick, |what| bench.say(what)));
    let mut text = String::new();
    for Tuned { option, text: of } in &tuned {
        let _ = write!(text, "### {option}\n\n{of}\n");
    }
    tuning::into_chapter(&tuned, &bench.out.join("docs/manual/tuning_accept.md"))?;
    Ok(text)
}
