//! How long an echo on an established connection takes while others queue, by accept budget.
//!
//! ```text
//! cargo bench --bench fairness              # criterion, then the table of ratios
//! cargo bench --bench fairness -- --test    # everything once, small
//! ```

mod drive;

use tidegate_bench::suite;

fn main() {
    drive::main(suite::fairness);
}
