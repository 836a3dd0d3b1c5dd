//! The text of the page: its head, its sections, and how one section takes the place of the
//! last one of its name. Nothing here measures or reads a file.
#![forbid(unsafe_code)]

use std::fmt::Write;

const HOW: &str = "Servers are threads of one process, on one core; the client is one epoll \
thread on another, the same for all; as root the process has a separate loopback. Within a \
contest all contenders are alive at once and take short slices in turns, in a new random order \
each cycle. A ratio compares slices of the same cycle. Each table shows the median of the ratios \
over all cycles, ± half of its 90 % interval (bootstrap). **Above 1 tidegate is ahead** of the \
column's contender. The column `tidegate` has its own figure. Where connections come and go, the \
ratio compares the CPU time that the server's thread takes for each, because the client does most \
of the work of a handshake and so limits the rate; elsewhere it compares rates and times.

- `floor`: the same server by hand over epoll, with no runtime at all.
- `libuv`: its C API, one read buffer, `uv_try_write` first. `libuv recvmmsg` receives \
datagrams with `UV_UDP_RECVMMSG`.
- `tokio`: one thread, a task for each connection.
- `async-executor`, `LocalSet`, `monoio`: other executors of futures on one thread. `LocalSet` is \
tokio's; monoio runs with its epoll driver.
- `quinn-udp`: mio and quinn-udp by hand; it takes part where datagrams are sent in bulk. On the \
loopback no device cuts the runs of GSO, and the client receives them whole: a network shows less.
- `UDP flood`: the client sends datagrams of 1,200 bytes faster than a server can receive them, and \
asks for one TCP echo after another.
- `redis-server`: as it is installed, without persistence; `redis-benchmark` with 50 clients is \
the client of both programs. In the rows \"busy polling\" the example asks the poller for up to \
20 microseconds before it sleeps (`Builder::busy_poll`), which it does not by default.
- `one a turn`: the floor, but with one accept in each turn of its loop, as libuv does since \
1.45.

A queue of connections grows while a callback of the server blocks; the waiting time of a \
connection counts from the moment when that callback returns. `1 ms of work in each turn` is a \
callback that computes for 1 ms in every turn.";

/// The page before its first measured section.
pub(super) fn head(quick: bool, machine: &str) -> String {
    let quick = if quick { " `--quick`: a look, not a result" } else { "" };
    format!(
        "# Benchmarks\n\nWritten by `cargo run --release -p tidegate-bench -- report`{quick}.\n\n\
         {HOW}\n\n## The machine\n\n{machine}\n"
    )
}

/// One section, from its heading to the empty line after it.
pub(super) fn section(title: &str, body: &str) -> String {
    format!("## {title}\n\n{}\n\n", body.trim_end())
}

/// The line under the heading of a section that was measured later than the rest of its page:
/// when, and what of the machine is not as the table of the page says.
pub(super) fn later(page: &str, when: &str, machine: &[(&'static str, String)]) -> String {
    let mut line = format!("Measured later than the rest of this page: {when}");
    for (name, value) in machine {
        if !page.contains(&format!("| {name} | {value} |")) {
            let _ = write!(line, "; {name} {value}");
        }
    }
    line.push_str(".\n\n");
    line
}

/// Where a section is: from its heading to the next one.
fn place(page: &str, title: &str) -> Option<std::ops::Range<usize>> {
    let heading = format!("\n## {title}\n");
    let begin = page.find(&heading)? + 1;
    let after = begin + heading.len() - 1;
    let end = page[after..].find("\n## ").map_or(page.len(), |at| after + at + 1);
    Some(begin..end)
}

/// The page with this section in place of the last one of its name. One that is new comes
/// before the first of `later`, the titles that follow it; else at the end.
pub(super) fn replaced(page: &str, title: &str, section: &str, later: &[&str]) -> String {
    let place = place(page, title).unwrap_or_else(|| {
        let next = later.iter().filter_map(|title| place(page, title)).map(|p| p.start).min();
        let at = next.unwrap_or(page.len());
        at..at
    });
    let (before, after) = (&page[..place.start], &page[place.end..]);
    let page = format!("{}\n\n{section}{after}", before.trim_end());
    format!("{}\n", page.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# Benchmarks\n\n## The machine\n\n| kernel | 6 |\n\n## A\n\nold a\n\n\
                        ### A part\n\n| 1 |\n\n## A long\n\nold\n\n## C\n\nold c\n";

    #[test]
    fn a_section_takes_the_place_of_its_last_one_up_to_the_next_heading() {
        let new = replaced(PAGE, "A", &section("A", "new\n"), &["A long", "C"]);
        assert_eq!(
            new,
            PAGE.replace("old a\n\n### A part\n\n| 1 |\n", "new\n"),
            "with its smaller headings, and nothing of its neighbours"
        );
        assert_eq!(replaced(&new, "A", &section("A", "new"), &["C"]), new, "nothing piles up");
        let last = replaced(PAGE, "C", &section("C", "new c"), &[]);
        assert_eq!(last, PAGE.replace("old c", "new c"), "the last one as well");
    }

    #[test]
    fn a_new_section_comes_before_those_that_follow_it() {
        let new = replaced(PAGE, "B", &section("B", "b"), &["Not there", "C"]);
        assert_eq!(new, PAGE.replace("## C\n", "## B\n\nb\n\n## C\n"));
        let last = replaced(PAGE, "D", &section("D", "d"), &[]);
        assert_eq!(last, format!("{PAGE}\n## D\n\nd\n"));
    }

    #[test]
    fn a_later_section_says_when_and_what_has_changed_since() {
        let same = later(PAGE, "today, commit abc", &[("kernel", "6".into())]);
        assert_eq!(same, "Measured later than the rest of this page: today, commit abc.\n\n");
        let other = later(PAGE, "today", &[("kernel", "7".into())]);
        assert!(other.contains("today; kernel 7.\n"), "{other}");
    }

    #[test]
    fn a_page_as_it_is_written_can_be_replaced_section_by_section() {
        let whole = head(false, "| kernel | 6 |\n") + &section("A", "a\n") + &section("B", "b\n");
        let whole = format!("{}\n", whole.trim_end());
        assert_eq!(replaced(&whole, "A", &section("A", "a"), &["B"]), whole);
        assert_eq!(replaced(&whole, "B", &section("B", "b"), &[]), whole);
    }
}
