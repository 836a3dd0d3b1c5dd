//! Datagrams to a server and back, from 1, 10 and 100 clients; in bulk; and a flood of them beside a
//! timer and a connection.
//!
//! ```text
//! cargo bench --bench datagrams              # criterion, then the table of ratios
//! cargo bench --bench datagrams -- --test    # everything once, small
//! ```

mod drive;

use tidegate_bench::datagrams;

fn main() {
    drive::main(datagrams::contests);
}
