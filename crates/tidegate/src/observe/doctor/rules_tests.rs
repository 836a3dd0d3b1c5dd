//! Each rule: once so that it speaks, once so that it must not.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::finding::{Finding, Sign};
use super::rules::{Kernel, Rules};

const MS: Duration = Duration::from_millis(1);

fn rules() -> Rules<String> {
    Rules::new(50 * MS)
}

fn id(text: &str) -> String {
    text.to_owned()
}

/// What was found, to the end.
fn found(mut rules: Rules<String>) -> Vec<Finding> {
    rules.take(Duration::from_secs(1000), true)
}

#[track_caller]
fn only(rules: Rules<String>, sign: Sign) -> Finding {
    let found = found(rules);
    assert_eq!(found.iter().map(|f| f.sign).collect::<Vec<_>>(), [sign]);
    found.into_iter().next().unwrap()
}

#[track_caller]
fn nothing(rules: Rules<String>) {
    assert_eq!(found(rules), []);
}

#[test]
fn a_call_that_blocks_is_found_with_those_that_waited() {
    let mut r = rules();
    r.called(512 * MS, || id("c1.7.1"), "socket", 512 * MS);
    r.turn_end(512 * MS, 512 * MS);
    assert_eq!(r.take(512 * MS, false), [], "the accept batch after it is not known yet");
    r.accepted(513 * MS, &id("s1.2.1"), 61, false);
    r.turn_end(514 * MS, MS);
    let text = only(r, Sign::BlockedLoop).text;
    assert!(text.contains("connection c1.7.1 took 512ms"), "{text}");
    assert!(text.contains("61 connections waited"), "{text}");
}

#[test]
fn a_short_call_does_not_block() {
    let mut r = rules();
    r.called(49 * MS, || id("c1.7.1"), "socket", 49 * MS);
    r.accepted(50 * MS, &id("s1.2.1"), 61, false);
    r.turn_end(50 * MS, 50 * MS);
    nothing(r);
}

/// Turns of 20 ms with calls of so long each, for 11 s.
fn turns(busy: Duration, call: Duration) -> Rules<String> {
    let mut r = rules();
    for n in 1..=550 {
        let at = n * 20 * MS;
        for _ in 0..8 {
            r.called(at, || id("c1.1.1"), "socket", call);
        }
        r.polled(20 * MS - busy);
        r.turn_end(at, 20 * MS);
    }
    r
}

#[test]
fn long_turns_of_many_short_calls_are_found() {
    let text = only(turns(14 * MS, MS), Sign::LongTurns).text;
    assert!(text.contains("14ms with 8 calls"), "{text}");
}

#[test]
fn waiting_is_not_a_long_turn_and_a_long_call_explains_it() {
    nothing(turns(9 * MS, MS));
    nothing(turns(14 * MS, 3 * MS));
}

#[test]
fn a_connection_that_stays_full_is_found_once() {
    let mut r = rules();
    r.full(Duration::ZERO, &id("c1.7.1"), 65_536);
    r.queued(&id("c1.7.1"), 4 << 20);
    let kernel = Kernel { peer_window: Some(0), ..Kernel::default() };
    r.kernel(4900 * MS, &id("c1.7.1"), kernel);
    r.turn_end(4900 * MS, MS);
    assert_eq!(r.take(4900 * MS, true), []);
    r.turn_end(5000 * MS, MS);
    r.turn_end(6000 * MS, MS);
    let text = only(r, Sign::SlowReader).text;
    assert!(text.contains("c1.7.1 is full for 5s: its peer does not read"), "{text}");
    assert!(text.contains("4194304 bytes"), "{text}");
}

#[test]
fn a_connection_that_drains_is_not_found() {
    let mut r = rules();
    for n in 0..10 {
        r.full(n * 3000 * MS, &id("c1.7.1"), 65_536);
        r.turn_end((n * 3000 + 2900) * MS, MS);
        r.not_full(&id("c1.7.1"));
    }
    assert_eq!(r.full_ones(32), Vec::<String>::new());
    nothing(r);
}

#[test]
fn a_deep_accept_queue_is_found_after_a_second() {
    let mut r = rules();
    for n in 0..=4 {
        assert_eq!(r.take(Duration::ZERO, true), []);
        r.accept_queue(n * 250 * MS, &id("s1.2.1"), 98, 128);
    }
    let text = only(r, Sign::AcceptQueue).text;
    assert!(text.contains("98 connections wait") && text.contains("128 may"), "{text}");
}

#[test]
fn a_burst_at_the_door_is_not_found() {
    let mut r = rules();
    for n in 0..20 {
        let depth = if n % 3 == 2 { 0 } else { 128 };
        r.accept_queue(n * 250 * MS, &id("s1.2.1"), depth, 128);
    }
    nothing(r);
}

/// Batches for 1.1 s, of which so many in ten stop by the budget.
fn batches(by_budget: u32) -> Rules<String> {
    let mut r = rules();
    for n in 0..=110 {
        r.accepted(n * 10 * MS, &id("s1.2.1"), 64, n % 10 < by_budget);
    }
    r
}

#[test]
fn batches_that_always_stop_by_the_budget_are_found() {
    let text = only(batches(10), Sign::AcceptQueue).text;
    assert!(text.contains("101 of 101 batches"), "{text}");
    nothing(batches(8));
}

#[test]
fn a_server_without_descriptors_is_found() {
    let mut r = rules();
    r.no_descriptors(MS, &id("s1.2.1"), None);
    assert!(only(r, Sign::NoDescriptors).text.contains("clients wait"));
    let mut r = rules();
    r.no_descriptors(MS, &id("s1.2.1"), Some(31));
    assert!(only(r, Sign::NoDescriptors).text.contains("closed 31 connections"));
    let mut r = rules();
    r.accepted(MS, &id("s1.2.1"), 64, true);
    nothing(r);
}

fn kernel(sent_again: u32, segments: u32) -> Kernel {
    let (sent_again, congestion_segments) = (Some(sent_again), Some(segments));
    Kernel { peer_window: Some(65_536), sent_again, congestion_segments }
}

#[test]
fn lost_segments_are_found_with_a_small_window() {
    let mut r = rules();
    r.full(Duration::ZERO, &id("c1.7.1"), 1);
    r.kernel(100 * MS, &id("c1.7.1"), kernel(3, 2));
    r.kernel(2100 * MS, &id("c1.7.1"), kernel(9, 2));
    let text = only(r, Sign::LossyPath).text;
    assert!(text.contains("6 segments were sent again in 2s"), "{text}");
}

#[test]
fn few_or_old_losses_and_a_wide_window_are_not_found() {
    let mut r = rules();
    r.full(Duration::ZERO, &id("c1.7.1"), 1);
    r.kernel(100 * MS, &id("c1.7.1"), kernel(3, 2));
    r.kernel(2100 * MS, &id("c1.7.1"), kernel(7, 2));
    r.kernel(20_000 * MS, &id("c1.7.1"), kernel(12, 2));
    r.kernel(20_100 * MS, &id("c1.7.1"), kernel(20, 100));
    nothing(r);
}

#[test]
fn unhandled_errors_are_found_with_the_last_failure() {
    let mut r = rules();
    r.failed(&id("c1.7.1"), "read: reset (ECONNRESET)".to_owned());
    r.unhandled(MS, 2);
    r.unhandled(2 * MS, 2);
    let finding = only(r, Sign::UnhandledErrors);
    assert_eq!(finding.of, "c1.7.1");
    assert!(finding.text.starts_with("2 errors") && finding.text.contains("ECONNRESET"));
    let mut r = rules();
    r.failed(&id("c1.7.1"), "handled".to_owned());
    r.unhandled(MS, 0);
    nothing(r);
}

#[test]
fn a_late_timer_is_found_with_what_ran_at_that_time() {
    let mut r = rules();
    r.poll(Duration::ZERO, Some(10 * MS));
    r.called(49 * MS, || id("c1.7.1"), "socket", 45 * MS);
    r.called(50 * MS, || id("h1.3.1"), "timer", MS);
    let text = only(r, Sign::LateTimers).text;
    assert!(text.contains("timer h1.3.1 came 39ms late"), "{text}");
    assert!(text.contains("connection c1.7.1 was called for 45ms"), "{text}");
}

#[test]
fn timers_in_time_are_not_found() {
    let mut r = rules();
    // In time; woken earlier by something else; none was known of.
    r.poll(Duration::ZERO, Some(10 * MS));
    r.called(12 * MS, || id("h1.3.1"), "timer", MS);
    r.poll(20 * MS, Some(500 * MS));
    r.called(30 * MS, || id("c1.7.1"), "socket", MS);
    r.poll(31 * MS, Some(489 * MS));
    r.called(525 * MS, || id("h1.3.1"), "timer", MS);
    r.poll(530 * MS, None);
    r.called(9000 * MS, || id("h1.4.1"), "timer", MS);
    nothing(r);
}
