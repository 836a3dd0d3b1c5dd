//! The report: everything that is measured, in one go; and what can be counted.
//!
//! ```text
//! cargo run --release -p tidegate-bench -- report              # some minutes
//! cargo run --release -p tidegate-bench -- report --quick      # half a minute, for a look
//! cargo run --release -p tidegate-bench -- report --section "Datagrams"    # one anew
//! cargo run --release -p tidegate-bench -- compare OLD NEW     # two reports
//! cargo run --release -p tidegate-bench -- redis               # one contest of it
//! cargo run --release -p tidegate-bench -- http                # another
//! cargo run --release -p tidegate-bench -- counts              # what noise cannot touch
//! ```
//! `report` writes `BENCHMARKS.md` and `docs/plots` into the repository; with `--quick`
//! into `target/report`; with `--out DIR` there. With `--section` it replaces one section of the
//! page, and says so under its heading. The machine should do nothing else. For
//! `counts` it may do what it likes: it fails if a count grew by more than 3 %.
#![forbid(unsafe_code)]

#[cfg(epoll)]
mod command;
#[cfg(epoll)]
mod counts;
#[cfg(epoll)]
mod report;

#[cfg(epoll)]
#[global_allocator]
static ALLOCATOR: tidegate_bench::sys::allocator::Counting =
    tidegate_bench::sys::allocator::Counting;

#[cfg(epoll)]
fn main() -> std::process::ExitCode {
    command::main()
}

#[cfg(not(epoll))]
fn main() {
    println!("skipped: the floor beside which this measures is epoll, on Linux");
}
