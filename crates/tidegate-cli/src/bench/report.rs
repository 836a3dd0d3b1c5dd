//! The result: as a text, as JSON, as a picture.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::latency::Latency;
use super::load::{Load, Operation};

/// What was measured of one server.
pub(super) struct Side {
    pub(super) wall: Duration,
    pub(super) latency: Latency,
    pub(super) failed: u64,
    pub(super) why: Option<String>,
}

impl Side {
    pub(super) fn new() -> Side {
        Side { wall: Duration::ZERO, latency: Latency::new(), failed: 0, why: None }
    }

    pub(super) fn a_second(&self) -> f64 {
        self.latency.count() as f64 / self.wall.as_secs_f64().max(1e-9)
    }

    fn json(&self) -> Value {
        let us = |share| self.latency.quantile(share).as_nanos() as f64 / 1e3;
        json!({
            "operations": self.latency.count(),
            "per_second": self.a_second().round(),
            "failed": self.failed,
            "p50_us": us(0.5), "p90_us": us(0.9), "p99_us": us(0.99), "p999_us": us(0.999),
            "max_us": self.latency.most().as_nanos() as f64 / 1e3,
        })
    }

    fn line(&self, name: &str) -> String {
        let l = &self.latency;
        format!(
            "{name:<8} {:>10.0} /s   p50 {:>8.1?}  p90 {:>8.1?}  p99 {:>8.1?}  p99.9 {:>8.1?}  max {:.1?}",
            self.a_second(),
            l.quantile(0.5),
            l.quantile(0.9),
            l.quantile(0.99),
            l.quantile(0.999),
            l.most()
        )
    }
}

/// Everything.
pub(super) struct Report {
    pub(super) load: Load,
    pub(super) target: Side,
    pub(super) floor: Side,
    /// In each cycle: the time of an operation of the target, by that of the floor. Sorted.
    pub(super) ratios: Vec<f64>,
}

fn word(operation: Operation) -> &'static str {
    match operation {
        Operation::Echo => "echo",
        Operation::Accept => "accept",
        Operation::Pump => "pump",
        Operation::Http => "http",
    }
}

impl Report {
    /// Of a pump, how many bytes of this side came back in a second.
    fn bytes_a_second(&self, side: &Side) -> Option<f64> {
        let pumps = self.load.operation == Operation::Pump;
        pumps.then(|| side.a_second() * self.load.bytes as f64)
    }

    /// The median.
    fn ratio(&self) -> Option<f64> {
        self.ratios.get(self.ratios.len() / 2).copied()
    }

    pub(super) fn text(&self) -> String {
        let Load { operation, to, at_once, bytes } = &self.load;
        let mut text = format!("{} {to}, {at_once} at once, {bytes} B\n\n", word(*operation));
        let _ = writeln!(text, "{}\n{}", self.target.line("target"), self.floor.line("floor"));
        if let (Some(target), Some(floor)) =
            (self.bytes_a_second(&self.target), self.bytes_a_second(&self.floor))
        {
            let mib = f64::from(1 << 20);
            let (target, floor) = (target / mib, floor / mib);
            let _ =
                writeln!(text, "bytes    {target:>10.0} MiB/s there and back; floor {floor:.0}");
        }
        if let (Some(ratio), [first, .., last]) = (self.ratio(), &self.ratios[..]) {
            let cycles = self.ratios.len();
            let _ = writeln!(
                text,
                "ratio    {ratio:>10.2}      times of the target by the floor's; median of {cycles} \
                 cycles, {first:.2} to {last:.2}"
            );
        }
        text.push_str("\nlatency of the target\n");
        let bars = self.target.latency.by_twos();
        let (all, most) = (self.target.latency.count().max(1), most(&bars));
        for (end, n) in bars {
            let width = (n * 40).div_ceil(most) as usize;
            let share = n as f64 * 100.0 / all as f64;
            let _ = writeln!(text, "up to {end:>8.1?} {share:>6.2} % {:#<width$}", "");
        }
        text.truncate(text.trim_end().len());
        text
    }

    pub(super) fn json(&self) -> Value {
        let bars = self.target.latency.by_twos();
        let bars: Vec<Value> =
            bars.iter().map(|(end, n)| json!([end.as_nanos() as f64 / 1e3, n])).collect();
        let with_bytes = |side: &Side| {
            let mut json = side.json();
            if let Some(bytes) = self.bytes_a_second(side) {
                json["bytes_per_second"] = json!(bytes.round());
            }
            json
        };
        json!({
            "bench": word(self.load.operation),
            "to": self.load.to,
            "at_once": self.load.at_once,
            "bytes": self.load.bytes,
            "target": with_bytes(&self.target),
            "floor": with_bytes(&self.floor),
            "ratio": self.ratio(),
            "ratios": self.ratios,
            "latency_us": bars,
        })
    }

    /// The latencies of the target as bars.
    pub(super) fn svg(&self) -> String {
        let bars = self.target.latency.by_twos();
        let (most, all) = (most(&bars), self.target.latency.count().max(1));
        let height = 60 + 22 * bars.len();
        let ratio = self.ratio().map_or(String::new(), |r| format!(", {r:.2} of the floor's time"));
        let title = format!(
            "{} {}: {:.0}/s{ratio}",
            word(self.load.operation),
            escaped(&self.load.to),
            self.target.a_second()
        );
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 640 {height}\" \
             font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"640\" height=\"{height}\" fill=\"#fff\"/>\n\
             <text x=\"16\" y=\"26\" font-size=\"15\">{title}</text>\n"
        );
        for (i, (end, n)) in bars.iter().enumerate() {
            let (y, width) = (44 + 22 * i, (*n as f64 / most as f64 * 400.0).max(0.5));
            let share = *n as f64 * 100.0 / all as f64;
            let _ = writeln!(
                svg,
                "<text x=\"110\" y=\"{}\" text-anchor=\"end\">up to {end:.1?}</text>\
                 <rect x=\"120\" y=\"{y}\" width=\"{width:.1}\" height=\"16\" fill=\"#0072b2\"/>\
                 <text x=\"{:.1}\" y=\"{}\">{share:.2} %</text>",
                y + 13,
                126.0 + width,
                y + 13
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn most(bars: &[(Duration, u64)]) -> u64 {
    bars.iter().map(|(_, n)| *n).max().unwrap_or(1).max(1)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
