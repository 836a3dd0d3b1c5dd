//! Connections that queued while the server was held up: how long from when it goes on to
//! the callback of each, with and without 1 ms of other work in every turn.
//!
//! ```text
//! cargo bench --bench accept_latency              # criterion, then the table of ratios
//! cargo bench --bench accept_latency -- --test    # everything once, small
//! ```

mod drive;

use tidegate_bench::suite;

fn main() {
    drive::main(|s| {
        let busy = std::time::Duration::from_millis(1);
        let idle = std::time::Duration::ZERO;
        [suite::queued_budgets(s, idle), suite::queued_budgets(s, busy)]
            .into_iter()
            .flatten()
            .collect()
    });
}
