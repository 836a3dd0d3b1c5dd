//! Contenders that do the same work in alternating slices, and the ratios between them.
//!
//! In each cycle every contender gets one short slice, in a new random order, so that a slow
//! second of the machine affects all of them. Ratios are computed inside a cycle; the result is
//! the median over all cycles.
#![forbid(unsafe_code)]

use std::fmt::Write;

use crate::stats::{Estimate, Random, median};

/// How a cost in ns is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Wall time of one operation.
    Time,
    /// CPU time of the server for one operation.
    Cpu,
    /// How many operations are done in a second.
    PerSecond,
    /// The cost is one of a GiB; how many are moved in a second.
    GibPerSecond,
    /// A part of all, from 0 to 1.
    Share,
}

impl Unit {
    /// A cost in words.
    ///
    /// ```
    /// use tidegate_bench::contest::Unit;
    /// assert_eq!(Unit::Cpu.tell(9_000.0), "9.0 us CPU");
    /// assert_eq!(Unit::PerSecond.tell(10_000.0), "100,000/s");
    /// ```
    pub fn tell(self, cost: f64) -> String {
        match self {
            Unit::Time => time(cost),
            Unit::Cpu => format!("{} CPU", time(cost)),
            Unit::PerSecond => format!("{}/s", thousands(1e9 / cost)),
            Unit::GibPerSecond => format!("{:.2} GiB/s", 1e9 / cost),
            Unit::Share => format!("{:.1} %", cost * 100.0),
        }
    }
}

/// A time in ns with its unit.
pub fn time(ns: f64) -> String {
    match ns {
        n if n < 1e3 => format!("{n:.1} ns"),
        n if n < 1e6 => format!("{:.1} us", n / 1e3),
        n if n < 1e9 => format!("{:.1} ms", n / 1e6),
        n => format!("{:.2} s", n / 1e9),
    }
}

/// A number with commas.
pub fn thousands(n: f64) -> String {
    let digits = format!("{n:.0}");
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 && c != '-' {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// One measured quantity of a slice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Measure {
    /// What it is of, as the row of a table says it.
    pub name: String,
    /// How it is printed.
    pub unit: Unit,
}

/// A slice of one contender: the cost of each measure, in ns; smaller is better.
pub type Slice = Box<dyn FnMut() -> Vec<f64>>;

/// One who takes part.
pub struct Contender {
    /// Its name; tidegate's begins with `tidegate`.
    pub name: String,
    /// Does a slice of the work.
    pub slice: Slice,
}

impl Contender {
    /// One who takes part.
    pub fn new(name: impl Into<String>, slice: impl FnMut() -> Vec<f64> + 'static) -> Contender {
        Contender { name: name.into(), slice: Box::new(slice) }
    }
}

/// A contest that can be held; servers are started when it is.
pub struct Contest {
    /// What is done.
    pub name: String,
    /// What is measured.
    pub measures: Vec<Measure>,
    /// How many cycles make a good median.
    pub cycles: usize,
    /// Makes the contenders.
    pub contenders: Box<dyn Fn() -> Vec<Contender>>,
}

impl Contest {
    /// A contest of which each row is named `name`, then the measure.
    pub fn new(
        name: impl Into<String>,
        measures: &[(&str, Unit)],
        cycles: usize,
        contenders: impl Fn() -> Vec<Contender> + 'static,
    ) -> Contest {
        let measures =
            measures.iter().map(|(n, unit)| Measure { name: (*n).into(), unit: *unit }).collect();
        Contest { name: name.into(), measures, cycles, contenders: Box::new(contenders) }
    }

    /// Holds it, after one cycle that does not count.
    pub fn hold(&self) -> Outcome {
        let mut contenders = (self.contenders)();
        let mut costs = vec![Vec::new(); contenders.len()];
        let mut random = Random::default();
        let mut order: Vec<usize> = (0..contenders.len()).collect();
        let warm_up = usize::from(self.cycles > 1);
        for cycle in 0..self.cycles + warm_up {
            random.shuffle(&mut order);
            for n in &order {
                let cost = (contenders[*n].slice)();
                assert_eq!(cost.len(), self.measures.len(), "{}: {}", self.name, *n);
                if cycle >= warm_up {
                    costs[*n].push(cost);
                }
            }
        }
        let names = contenders.iter().map(|c| c.name.clone()).collect();
        Outcome { name: self.name.clone(), measures: self.measures.clone(), names, costs }
    }
}

/// What came of a contest.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was done.
    pub name: String,
    /// What was measured.
    pub measures: Vec<Measure>,
    /// The contenders.
    pub names: Vec<String>,
    /// By contender, cycle and measure.
    costs: Vec<Vec<Vec<f64>>>,
}

impl Outcome {
    /// The place of a contender.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|n| n == name)
    }

    /// How many times the cost of `own` the other one's is: above 1, `own` is ahead.
    pub fn ratio(&self, own: usize, other: usize, measure: usize) -> Estimate {
        let pairs = self.costs[own].iter().zip(&self.costs[other]);
        let ratios: Vec<f64> = pairs.map(|(a, b)| b[measure] / a[measure]).collect();
        Estimate::of(&ratios)
    }

    /// The median cost.
    pub fn cost(&self, contender: usize, measure: usize) -> f64 {
        let costs: Vec<f64> = self.costs[contender].iter().map(|c| c[measure]).collect();
        median(&costs)
    }

    fn is_own(&self, contender: usize) -> bool {
        self.names[contender].starts_with("tidegate")
    }

    /// A row for each of tidegate's contenders and measures.
    fn rows(&self, peers: &[String]) -> Vec<Row> {
        let mut rows = Vec::new();
        for (m, measure) in self.measures.iter().enumerate() {
            for own in (0..self.names.len()).filter(|n| self.is_own(*n)) {
                let ratios = peers.iter().map(|p| self.place(p).map(|p| self.ratio(own, p, m)));
                let variant = self.names[own].trim_start_matches("tidegate").trim();
                let parts = [self.name.as_str(), variant, measure.name.as_str()];
                let parts: Vec<&str> = parts.into_iter().filter(|p| !p.is_empty()).collect();
                rows.push(Row {
                    ratios: ratios.collect(),
                    figure: measure.unit.tell(self.cost(own, m)),
                    what: parts.join(", "),
                });
            }
        }
        rows
    }
}

struct Row {
    ratios: Vec<Option<Estimate>>,
    figure: String,
    what: String,
}

/// Outcomes with the same peers, as a table.
pub struct Table {
    peers: Vec<String>,
    rows: Vec<Row>,
}

impl Table {
    /// Of these.
    pub fn of(outcomes: &[Outcome]) -> Table {
        let mut peers: Vec<String> = Vec::new();
        for o in outcomes {
            for n in (0..o.names.len()).filter(|n| !o.is_own(*n)) {
                if !peers.contains(&o.names[n]) {
                    peers.push(o.names[n].clone());
                }
            }
        }
        let rows = outcomes.iter().flat_map(|o| o.rows(&peers)).collect();
        Table { peers, rows }
    }

    fn cells(row: &Row) -> Vec<String> {
        let ratio = |r: &Option<Estimate>| r.map_or("-".to_owned(), |e| e.to_string());
        row.ratios.iter().map(ratio).chain([row.figure.clone(), row.what.clone()]).collect()
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for peer in self.peers.iter().map(String::as_str).chain(["tidegate"]) {
            let _ = write!(out, "{peer:>14}");
        }
        out.push('\n');
        for row in &self.rows {
            let cells = Table::cells(row);
            for (i, cell) in cells.iter().enumerate() {
                let _ = match i + 1 == cells.len() {
                    true => writeln!(out, "  {cell}"),
                    false => write!(out, "{cell:>14}"),
                };
            }
        }
        out
    }

    /// For a page.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        for peer in &self.peers {
            let _ = write!(out, "| {peer} ");
        }
        let _ = writeln!(out, "| tidegate | workload |");
        let _ = writeln!(out, "|{}---:|---|", "---:|".repeat(self.peers.len()));
        for row in &self.rows {
            let _ = writeln!(out, "| {} |", Table::cells(row).join(" | "));
        }
        out
    }
}
