//! A million small writes on one connection, without a pause.
//!
//! ```text
//! cargo bench --bench write_batch              # criterion, then the table of ratios
//! cargo bench --bench write_batch -- --test    # everything once, small
//! ```

mod drive;

use tidegate_bench::suite;

fn main() {
    drive::main(suite::write_batch);
}
