//! Large amounts of bytes, over 1 and 8 connections.
//!
//! ```text
//! cargo bench --bench pump              # criterion, then the table of ratios
//! cargo bench --bench pump -- --test    # everything once, small
//! ```

mod drive;

use tidegate_bench::suite;

fn main() {
    drive::main(suite::pump);
}
