//! Messages to a server and back, on 1, 50 and 500 connections.
//!
//! ```text
//! cargo bench --bench ping_pong              # criterion, then the table of ratios
//! cargo bench --bench ping_pong -- --test    # everything once, small
//! ```

mod drive;

use tidegate_bench::suite;

fn main() {
    drive::main(suite::ping_pong);
}
