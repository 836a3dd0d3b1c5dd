//! Turns in which nothing happens, and ticks.
//!
//! ```text
//! cargo bench --bench turns              # criterion, then the table of ratios
//! cargo bench --bench turns -- --test    # everything once, small
//! ```

mod drive;

use tidegate_bench::suite;

fn main() {
    drive::main(suite::turns);
}
