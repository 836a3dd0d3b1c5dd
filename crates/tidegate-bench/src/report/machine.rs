//! When and on what it was measured: commit, machine, kernel, versions, settings.
#![forbid(unsafe_code)]

use std::fmt::Write;
use std::process::Command;

use tidegate_bench::sys::cores;

fn file(path: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_else(|_| "unknown".into());
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The value of the first line of a file of `name: value`.
fn field(path: &str, name: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with(name));
    line.and_then(|l| l.split(':').nth(1)).map_or("unknown".into(), |v| v.trim().to_owned())
}

fn says(command: &str, args: &[&str]) -> Option<String> {
    let said = Command::new(command).args(args).output().ok()?;
    let text = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    (said.status.success() && !text.is_empty()).then_some(text)
}

/// The version of a dependency, by the lock file that it was built with.
fn locked(name: &str) -> &'static str {
    const LOCK: &str = include_str!("../../../../Cargo.lock");
    let entry = format!("name = \"{name}\"\nversion = \"");
    // Others may use older ones, which come first.
    let rest = LOCK.split(&entry).skip(1).last().unwrap_or("unknown\"");
    rest.split('"').next().unwrap_or("unknown")
}

#[cfg(libuv)]
fn libuv() -> String {
    tidegate_bench::sys::libuv::version()
}

#[cfg(not(libuv))]
fn libuv() -> String {
    "left out: its headers were not found".into()
}

/// When, and of which commit: `2026-01-31 12:00 UTC, commit 1234567`.
pub(crate) fn when() -> String {
    let date = says("date", &["-u", "+%Y-%m-%d %H:%M UTC"]).unwrap_or("unknown".into());
    let commit = says("git", &["rev-parse", "--short", "HEAD"]);
    commit.map_or(date.clone(), |commit| format!("{date}, commit {commit}"))
}

/// What figures depend on besides the code of tidegate.
pub(crate) fn settings() -> Vec<(&'static str, String)> {
    let memory = field("/proc/meminfo", "MemTotal");
    let kib: f64 = memory.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0.0);
    let mut rows = vec![
        ("CPU", field("/proc/cpuinfo", "model name")),
        ("cores in use", cores::count().to_string()),
        ("memory", format!("{:.1} GiB", kib / 1024.0 / 1024.0)),
        ("kernel", file("/proc/sys/kernel/osrelease")),
        ("tidegate", env!("CARGO_PKG_VERSION").to_owned()),
        ("compiler", env!("TIDEGATE_BENCH_RUSTC").to_owned()),
        ("libuv", libuv()),
        ("tokio", locked("tokio").to_owned()),
        ("mio", locked("mio").to_owned()),
    ];
    let settings = [
        ("net.core.somaxconn", "/proc/sys/net/core/somaxconn"),
        ("net.ipv4.tcp_max_syn_backlog", "/proc/sys/net/ipv4/tcp_max_syn_backlog"),
        ("net.ipv4.ip_local_port_range", "/proc/sys/net/ipv4/ip_local_port_range"),
        ("net.ipv4.tcp_congestion_control", "/proc/sys/net/ipv4/tcp_congestion_control"),
        ("net.ipv4.tcp_rmem", "/proc/sys/net/ipv4/tcp_rmem"),
        ("net.ipv4.tcp_wmem", "/proc/sys/net/ipv4/tcp_wmem"),
    ];
    rows.extend(settings.map(|(name, path)| (name, file(path))));
    rows
}

/// The table of all that.
pub(crate) fn table() -> String {
    let mut out = format!("| what | value |\n|---|---|\n| measured | {} |\n", when());
    for (name, value) in settings() {
        let _ = writeln!(out, "| {name} | {value} |");
    }
    out
}
