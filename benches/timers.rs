//! Many timers at once: started, fired, stopped.
//!
//! ```text
//! cargo bench --bench timers              # criterion, then the table of ratios
//! cargo bench --bench timers -- --test    # everything once, small
//! ```

mod drive;

use tidegate_bench::suite;

fn main() {
    drive::main(suite::timers);
}
