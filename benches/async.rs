//! Futures: hyper and an echo on tasks beside tokio, and what a task costs beside other executors.
//!
//! ```text
//! cargo bench --bench async              # criterion, then the table of ratios
//! cargo bench --bench async -- --test    # everything once, small
//! ```

mod drive;

use tidegate_bench::suite;

fn main() {
    drive::main(suite::futures);
}
