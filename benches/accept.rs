//! Accepting: CPU time of the server for each connection, by accept budget and by peer.
//!
//! ```text
//! cargo bench --bench accept              # criterion, then the table of ratios
//! cargo bench --bench accept -- --test    # everything once, small
//! ```

mod drive;

use tidegate_bench::suite;

fn main() {
    drive::main(|s| [suite::accept_budgets(s), suite::accept(s)].into_iter().flatten().collect());
}
