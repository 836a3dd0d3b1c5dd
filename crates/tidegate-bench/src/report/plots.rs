//! The plots, as SVG: throughput by accept budget, waiting time by place in the queue,
//! memory by connections.
//!
//! Logarithmic axes are marked as such, and a value of 0, which has no place on one, is in the legend
//! instead. Lines that lie on each other are dashed from the second on, so that both are seen.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;
use tidegate_bench::contest::{Outcome, thousands};
use tidegate_bench::suite::budget_name;

use super::memory::{BUFFER, Memory};

/// Told apart by who cannot see red or green, too.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
    RGBColor(160, 140, 90),
];

/// Dash and gap, in pixels, of the lines from the second on, in turn.
const DASHES: [(u32, u32); 4] = [(14, 8), (5, 5), (22, 6), (9, 12)];

/// What the contenders are called where nothing else explains them.
fn explained(name: &str) -> String {
    match name {
        "floor" => "floor (epoll by hand)".to_owned(),
        "one a turn" => "floor, one accept a turn".to_owned(),
        "tokio" => format!("tokio (its task has a buffer of {} B)", thousands(BUFFER as f64)),
        other => other.to_owned(),
    }
}

struct Series {
    name: String,
    points: Vec<(f64, f64)>,
    marked: bool,
}

impl Series {
    /// For a logarithmic axis: without the values that are 0, which the name says.
    fn above_zero(mut self, what: &str) -> Series {
        let zero = |p: &&(f64, f64)| p.1 <= 0.0;
        let zeros: Vec<String> = self.points.iter().filter(zero).map(|p| thousands(p.0)).collect();
        if !zeros.is_empty() {
            self.name = format!("{}: 0 with {} {what}", self.name, zeros.join(", "));
            self.points.retain(|p| p.1 > 0.0);
        }
        self
    }
}

struct Axes<'a> {
    title: &'a str,
    x: &'a str,
    y: &'a str,
    tell_x: &'a dyn Fn(&f64) -> String,
    tell_y: &'a dyn Fn(&f64) -> String,
    ticks: usize,
}

fn draw<X, Y>(path: &Path, axes: &Axes<'_>, x: X, y: Y, series: &[Series]) -> io::Result<()>
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    // Its errors borrow from the plot; the text is what is left to tell.
    let failed = |e: &dyn std::fmt::Display| io::Error::other(e.to_string());
    let area = SVGBackend::new(path, (980, 480)).into_drawing_area();
    area.fill(&WHITE).map_err(|e| failed(&e))?;
    let (plot, legend) = area.split_horizontally(640);
    let mut chart = ChartBuilder::on(&plot)
        .caption(axes.title, ("sans-serif", 20))
        .margin(14)
        .x_label_area_size(46)
        .y_label_area_size(84)
        .build_cartesian_2d(x, y)
        .map_err(|e| failed(&e))?;
    chart
        .configure_mesh()
        .x_desc(axes.x)
        .y_desc(axes.y)
        .x_labels(axes.ticks)
        .x_label_formatter(&axes.tell_x)
        .y_label_formatter(&axes.tell_y)
        .label_style(("sans-serif", 13))
        .axis_desc_style(("sans-serif", 14))
        .light_line_style(RGBColor(236, 236, 236))
        .draw()
        .map_err(|e| failed(&e))?;
    for (n, one) in series.iter().enumerate() {
        let colour = COLOURS[n % COLOURS.len()];
        let (dash, gap) = match n {
            0 => (1, 0),
            n => DASHES[(n - 1) % DASHES.len()],
        };
        if n == 0 || one.marked {
            let line = LineSeries::new(one.points.iter().copied(), colour.stroke_width(2));
            chart.draw_series(line).map_err(|e| failed(&e))?;
        } else {
            let points = one.points.iter().copied();
            let line = DashedLineSeries::new(points, dash, gap, colour.stroke_width(3));
            chart.draw_series(line).map_err(|e| failed(&e))?;
        }
        if one.marked {
            let marks = one.points.iter().map(|p| Circle::new(*p, 4, colour.filled()));
            chart.draw_series(marks).map_err(|e| failed(&e))?;
        }
        let at = 70 + 24 * n as i32;
        let solid = n == 0 || one.marked;
        let step = if solid { 30 } else { (dash + gap) as i32 };
        for from in (6..36).step_by(step as usize) {
            let to = if solid { 36 } else { (from + dash as i32).min(36) };
            let stroke = PathElement::new([(from, at), (to, at)], colour.stroke_width(3));
            legend.draw(&stroke).map_err(|e| failed(&e))?;
        }
        let text = Text::new(one.name.clone(), (44, at - 7), ("sans-serif", 14));
        legend.draw(&text).map_err(|e| failed(&e))?;
    }
    area.present().map_err(|e| failed(&e))
}

/// Connections a second out of a queue, by accept budget, in a loop that is idle and in one
/// that is busy; those without a budget as lines.
pub(super) fn throughput(
    path: &Path,
    budgets: &[u32],
    idle: &[Outcome],
    busy: &[Outcome],
) -> io::Result<()> {
    let ([idle], [busy]) = (idle, busy) else { return Ok(()) };
    let by_budget = |outcome: &Outcome| {
        let at = |(x, budget): (usize, &u32)| {
            let n = outcome.place(&format!("tidegate {}", budget_name(*budget)))?;
            Some((x as f64, 1e9 / outcome.cost(n, 0)))
        };
        budgets.iter().enumerate().filter_map(at).collect()
    };
    let own = |name: &str, outcome| Series {
        name: name.to_owned(),
        points: by_budget(outcome),
        marked: true,
    };
    let mut series = vec![own("tidegate", idle), own("tidegate, 1 ms of work", busy)];
    let last = budgets.len() as f64 - 1.0;
    for (outcome, doing) in [(idle, ""), (busy, ", 1 ms of work")] {
        let peers = outcome.names.iter().enumerate().filter(|(_, n)| !n.starts_with("tidegate"));
        for (n, name) in peers {
            let rate = 1e9 / outcome.cost(n, 0);
            let (name, points) =
                (format!("{}{doing}", explained(name)), vec![(0.0, rate), (last, rate)]);
            series.push(Series { name, points, marked: false });
        }
    }
    let most = series.iter().flat_map(|s| &s.points).fold(1.0, |m: f64, p| m.max(p.1));
    let budget = |x: &f64| match budgets.get(x.round() as usize) {
        Some(&u32::MAX) => "unlimited".to_owned(),
        Some(n) if (x - x.round()).abs() < 0.01 => n.to_string(),
        _ => String::new(),
    };
    let axes = Axes {
        title: "Accepting a queue of connections",
        x: "accept budget of a turn (steps, not to scale)",
        y: "connections a second (log scale)",
        tell_x: &budget,
        tell_y: &|y| thousands(*y),
        ticks: budgets.len(),
    };
    draw(path, &axes, -0.2..last + 0.2, (500.0..most * 2.0).log_scale(), &series)
}

/// How long each connection waited, by its place in the queue.
pub(super) fn latency(path: &Path, by: &BTreeMap<String, Vec<f64>>) -> io::Result<()> {
    let mut series: Vec<Series> = by
        .iter()
        .map(|(name, waited)| {
            // Some hundred points are all that can be seen.
            let step = waited.len().div_ceil(400).max(1);
            let at = |(n, ns): (usize, &f64)| (n as f64, (ns / 1e6).max(0.01));
            let points = waited.iter().enumerate().step_by(step).map(at).collect();
            Series { name: explained(name), points, marked: false }
        })
        .collect();
    // The slowest first, as the lines lie.
    let end = |s: &Series| s.points.last().map_or(0.0, |p| p.1);
    series.sort_by(|a, b| end(b).total_cmp(&end(a)));
    let last = by.values().map(Vec::len).max().unwrap_or(1) as f64;
    let most = series.iter().map(end).fold(1.0, f64::max);
    let axes = Axes {
        title: "Waiting for the callback, 1 ms of work in each turn",
        x: "place in the queue",
        y: "ms until the callback (log scale)",
        tell_x: &|x| thousands(*x),
        tell_y: &|y| if *y < 1.0 { format!("{y}") } else { thousands(*y) },
        ticks: 9,
    };
    draw(path, &axes, 0.0..last, (0.5..most * 1.5).log_scale(), &series)
}

/// Bytes for each connection.
pub(super) fn memory(path: &Path, memory: &Memory) -> io::Result<()> {
    let one = |(name, held): &(&str, Vec<(usize, f64)>)| Series {
        name: explained(name),
        points: held.iter().map(|(n, bytes)| (*n as f64, bytes.round())).collect(),
        marked: true,
    };
    let series = memory.iter().map(one).map(|s| s.above_zero("connections"));
    let series: Vec<Series> = series.collect();
    let last = series.iter().flat_map(|s| &s.points).fold(1.0, |m: f64, p| m.max(p.0));
    let most = series.iter().flat_map(|s| &s.points).fold(1.0, |m: f64, p| m.max(p.1));
    let axes = Axes {
        title: "User memory of an idle connection",
        x: "connections",
        y: "bytes for each (log scale)",
        tell_x: &|x| thousands(*x),
        tell_y: &|y| thousands(*y),
        ticks: 9,
    };
    draw(path, &axes, 0.0..last * 1.03, (10.0..most * 3.0).log_scale(), &series)
}
