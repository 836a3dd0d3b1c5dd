//! What other threads send to a loop: wake-ups and closures.
//!
//! ```text
//! cargo bench --bench post              # criterion, then the table of ratios
//! cargo bench --bench post -- --test    # everything once, small
//! ```

mod drive;

use tidegate_bench::suite;

fn main() {
    drive::main(suite::posts);
}
