//! How each bench runs its contests: first with criterion, one contender after the other, and
//! then in alternating slices for the ratios. `--test` runs everything once, on a small scale.

#[cfg(not(epoll))]
compile_error!("the floor beside which the benches measure is epoll, on Linux");

use std::time::Duration;

use criterion::Criterion;
use tidegate_bench::contest::{Contest, Table};
use tidegate_bench::suite::Scale;

/// Runs them.
pub(crate) fn main(contests: impl Fn(Scale) -> Vec<Contest>) {
    tidegate_bench::prepare();
    let once = std::env::args().any(|a| a == "--test");
    let contests = contests(if once { Scale::TEST } else { Scale::FULL });
    if once {
        let outcomes: Vec<_> = contests.iter().map(Contest::hold).collect();
        println!("{}", Table::of(&outcomes).text());
        return;
    }
    let mut c = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .configure_from_args();
    for contest in &contests {
        by_criterion(&mut c, contest);
    }
    c.final_summary();
    println!("\nratios to tidegate, medians of alternating slices ± half a 90 % interval");
    println!("(above 1: tidegate is ahead)\n");
    let outcomes: Vec<_> = contests.iter().map(Contest::hold).collect();
    println!("{}", Table::of(&outcomes).text());
}

/// The first measure of each contender, for criterion's own statistics and its history.
fn by_criterion(c: &mut Criterion, contest: &Contest) {
    let mut group = c.benchmark_group(&contest.name);
    for mut contender in (contest.contenders)() {
        group.bench_function(contender.name, |b| {
            b.iter_custom(|n| {
                let ns: f64 = (0..n).map(|_| (contender.slice)()[0]).sum();
                Duration::from_nanos(ns as u64)
            });
        });
    }
    group.finish();
}
