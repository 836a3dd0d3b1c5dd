//! Datagrams to a server and back, from 1, 10 and 100 clients.
//!
//! ```text
//! cargo bench --bench datagrams              # criterion, then the table of ratios
//! cargo bench --bench datagrams -- --test    # everything once, small
//! ```

mod drive;

use tidegate_bench::suite;

fn main() {
    drive::main(suite::datagrams);
}
