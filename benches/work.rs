//! Jobs that the thread pool runs for a loop.
//!
//! ```text
//! cargo bench --bench work              # criterion, then the table of ratios
//! cargo bench --bench work -- --test    # everything once, small
//! ```

mod drive;

use tidegate_bench::suite;

fn main() {
    drive::main(suite::works);
}
