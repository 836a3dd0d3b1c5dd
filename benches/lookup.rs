//! Connecting to a host name: the lookup on another thread, and the handshake.
//!
//! ```text
//! cargo bench --bench lookup              # criterion, then the table of ratios
//! cargo bench --bench lookup -- --test    # everything once, small
//! ```

mod drive;

use tidegate_bench::suite;

fn main() {
    drive::main(suite::lookups);
}
