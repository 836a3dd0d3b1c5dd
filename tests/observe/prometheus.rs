//! Every counter is in the Prometheus text, with its value. And the example that serves it.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use tidegate::http::AgentMetrics;
use tidegate::net::{ListenOptions, PoolMetrics};
use tidegate::prelude::*;
use tidegate::prometheus::Snapshot;
use tidegate::tls::TlsStats;

use crate::example;
use crate::support::*;

/// The names of a struct's fields, private ones too: its derived `Debug` writes them all.
fn fields(of: &impl Debug) -> BTreeSet<String> {
    let text = format!("{of:#?}");
    let field = |l: &str| {
        let name = l.strip_prefix("    ")?.split_once(':')?.0;
        (!name.starts_with([' ', '}'])).then(|| name.to_owned())
    };
    text.lines().filter_map(field).collect()
}

/// Gives each field a different number, and looks for it under the metric's name. Fields that
/// are no plain numbers are looked for by name alone. All fields must be named here, so a new
/// counter cannot be forgotten.
macro_rules! every_field {
    ($of:expr; $($field:ident: $name:literal,)+; $($other:literal: $metric:literal,)*) => {{
        let mut next = 100_u32;
        let mut expected: Vec<(&str, String)> = Vec::new();
        $(
            next += 1;
            $of.$field = next as _;
            expected.push(($name, format!(" {next}")));
        )+
        $(expected.push(($metric, String::new()));)*
        let named: BTreeSet<String> =
            [$(stringify!($field),)+ $($other,)*].iter().map(|f| (*f).to_owned()).collect();
        assert_eq!(named, fields(&$of), "every field has a metric here, and in prometheus.rs");
        expected
    }};
}

#[track_caller]
fn has_all(text: &str, expected: &[(&str, String)]) {
    for (name, end) in expected {
        let of_it = |l: &&str| {
            l.strip_prefix("tidegate_")
                .and_then(|l| l.strip_prefix(name))
                .is_some_and(|l| l.starts_with([' ', '{']))
        };
        let line = text.lines().find(of_it);
        let line = line.unwrap_or_else(|| panic!("no tidegate_{name} in\n{text}"));
        assert!(line.ends_with(end.as_str()), "{line} is not{end}");
    }
}

#[test]
fn every_counter_is_in_the_text() {
    let mut lp = guarded();
    let server = lp.listen(ListenOptions::new("127.0.0.1:0"), |conn| conn.reject()).unwrap();
    let udp = lp.udp("127.0.0.1:0", OnDatagram::new(|_, _, _| {})).unwrap();
    let mut snapshot = Snapshot::take(&mut lp);
    lp.server(server).close().unwrap();
    lp.datagrams(udp).destroy();

    let of_loop = every_field!(snapshot.of_loop;
        turns: "loop_turns_total",
        events: "loop_events_total",
        events_waiting: "loop_late_events_total",
        blocking_polls: "loop_blocking_polls_total",
        busy_polls: "loop_busy_polls_total",
        ready_depth: "loop_ready_depth_max",
        carried_over: "loop_carried_over_total",
        ticks_carried_over: "loop_ticks_carried_over_total",
        notified_carried_over: "loop_notified_carried_over_total",
        ticks_refused: "loop_ticks_refused_total",
        table_full: "loop_table_full_total",
        unhandled_errors: "loop_unhandled_errors_total",
        panics: "loop_panics_total",
        ;
        "idle": "loop_idle_seconds_total",
        "turn_lengths": "loop_turn_length_seconds",
        "longest_call": "loop_longest_call_seconds",
        "phases": "loop_phase_seconds",
    );
    let net = every_field!(snapshot.net;
        sockets: "net_sockets",
        connecting: "net_connecting",
        paused: "net_paused",
        full: "net_full",
        queued: "net_queued_bytes",
        held: "net_held_bytes",
        deadlines: "net_deadlines",
        connected: "net_connected_total",
        closed: "net_closed_total",
        failed: "net_failed_total",
        timed_out: "net_timed_out_total",
        unsent: "net_unsent_bytes_total",
        bytes_read: "net_read_bytes_total",
        bytes_written: "net_written_bytes_total",
        ;
    );
    let of_server = every_field!(snapshot.servers[0].stats;
        accepted: "server_accepted_total",
        detached: "server_detached_total",
        refused: "server_refused_total",
        rejected: "server_rejected_total",
        carried_over: "server_carried_over_total",
        aborted: "server_aborted_total",
        held: "server_held_total",
        shed: "server_shed_total",
        dropped: "server_dropped_total",
        blocked: "server_blocked_total",
        limited: "server_limited_total",
        cut_off: "server_cut_off_total",
        errors: "server_errors_total",
        connections: "server_connections",
        ;
    );
    let of_udp = every_field!(snapshot.udp[0].stats;
        received: "udp_received_total",
        received_bytes: "udp_received_bytes_total",
        receive_calls: "udp_receive_calls_total",
        sent: "udp_sent_total",
        sent_bytes: "udp_sent_bytes_total",
        send_calls: "udp_send_calls_total",
        runs: "udp_runs_total",
        truncated: "udp_truncated_total",
        blocked: "udp_blocked_total",
        refused: "udp_refused_total",
        dropped_oldest: "udp_dropped_oldest_total",
        send_errors: "udp_send_errors_total",
        transport_errors: "udp_transport_errors_total",
        stalls: "udp_stalls_total",
        carried_over: "udp_carried_over_total",
        ;
    );
    let waiting = every_field!(snapshot.udp[0].waiting;
        bytes: "udp_waiting_bytes",
        datagrams: "udp_waiting",
        ;
    );
    let tasks = every_field!(snapshot.tasks;
        tasks: "tasks",
        spawned: "tasks_spawned_total",
        refused: "tasks_refused_total",
        finished: "tasks_finished_total",
        cancelled: "tasks_cancelled_total",
        panicked: "tasks_panicked_total",
        polls: "tasks_polls_total",
        woken_while_polled: "tasks_woken_while_polled_total",
        budget_spent: "tasks_budget_spent_total",
        ;
        "longest_poll": "tasks_longest_poll_seconds",
    );
    let work = every_field!(snapshot.work;
        threads: "work_threads",
        queued: "work_queued",
        running: "work_running",
        done: "work_done_total",
        panicked: "work_panicked_total",
        cancelled: "work_cancelled_total",
        ;
    );
    snapshot = snapshot.with_tls("front", TlsStats::default(), Some(std::time::UNIX_EPOCH));
    snapshot.tls[0].stats.by_code.insert("EPROTO", 1);
    let tls = every_field!(snapshot.tls[0].stats;
        handshakes: "tls_handshakes_total",
        resumed: "tls_resumed_total",
        tls12: "tls_tls12_total",
        failed: "tls_failed_total",
        broken: "tls_broken_total",
        truncated: "tls_truncated_total",
        ;
        "under_way": "tls_under_way",
        "by_code": "tls_failures_total",
    );
    let http = every_field!(snapshot.http;
        connections: "http_connections",
        idle: "http_idle",
        requests: "http_requests_total",
        reused: "http_reused_total",
        in_flight: "http_in_flight",
        broken: "http_broken_total",
        refused: "http_refused_total",
        limited: "http_limited_total",
        timed_out: "http_timed_out_total",
        idle_closed: "http_idle_closed_total",
        upgraded: "http_upgraded_total",
        ;
        "responses": "http_responses_total",
        "durations": "http_duration_seconds",
    );
    snapshot.http.responses = [1, 2, 3, 4, 5, 0, 7, 0, 0];
    snapshot = snapshot.with_agent("backend", AgentMetrics::default());
    let agent = every_field!(snapshot.agents[0].metrics;
        origins: "http_agent_origins",
        open: "http_agent_open",
        connecting: "http_agent_connecting",
        free: "http_agent_free",
        waiting: "http_agent_waiting",
        requests: "http_agent_requests_total",
        answered: "http_agent_answered_total",
        failed: "http_agent_failed_total",
        timed_out: "http_agent_timed_out_total",
        pool_full: "http_agent_pool_full_total",
        reused: "http_agent_reused_total",
        retried: "http_agent_retried_total",
        connected: "http_agent_connected_total",
        connect_failed: "http_agent_connect_failed_total",
        ended_free: "http_agent_ended_free_total",
        unsolicited: "http_agent_unsolicited_total",
        expired: "http_agent_expired_total",
        evicted: "http_agent_evicted_total",
        ;
    );
    snapshot = snapshot.with_pool("database", PoolMetrics::default());
    let pool = every_field!(snapshot.pools[0].metrics;
        open: "pool_open",
        connecting: "pool_connecting",
        idle: "pool_idle",
        waiting: "pool_waiting",
        taken: "pool_taken_total",
        reused: "pool_reused_total",
        connected: "pool_connected_total",
        connect_failed: "pool_connect_failed_total",
        ended_idle: "pool_ended_idle_total",
        unsolicited: "pool_unsolicited_total",
        expired: "pool_expired_total",
        evicted: "pool_evicted_total",
        retired: "pool_retired_total",
        full: "pool_full_total",
        timed_out: "pool_timed_out_total",
        ;
    );
    let names = [
        "of_loop", "handles", "net", "servers", "tls", "udp", "work", "tasks", "http", "agents",
        "pools",
    ];
    let names = names.map(str::to_owned);
    assert_eq!(fields(&snapshot), BTreeSet::from(names), "a new part is looked at above");

    let text = snapshot.text();
    has_all(&text, &of_loop);
    has_all(&text, &net);
    has_all(&text, &tls);
    has_all(&text, &of_server);
    has_all(&text, &of_udp);
    has_all(&text, &waiting);
    has_all(&text, &[("udp_kernel_drops_total", String::new())]);
    has_all(&text, &[("udp_kernel_receive_bytes", String::new())]);
    has_all(&text, &work);
    has_all(&text, &tasks);
    has_all(&text, &http);
    has_all(&text, &agent);
    has_all(&text, &pool);
    assert!(text.contains("\ntidegate_pool_open{pool=\"database\"} "), "{text}");
    assert!(text.contains("\ntidegate_http_agent_open{agent=\"backend\"} "), "{text}");
    let classes = text.lines().filter_map(|l| l.strip_prefix("tidegate_http_responses_total{"));
    let expected = [1, 2, 3, 4, 5, 7].map(|n| format!("class=\"{n}xx\"}} {n}"));
    assert_eq!(classes.collect::<Vec<_>>(), expected);
    has_all(&text, &[("loop_handles", String::new())]);
    assert!(text.ends_with("# EOF\n"));
}

/// The example, while it serves.
struct Served {
    process: Child,
    at: SocketAddr,
}

impl Served {
    fn start() -> Served {
        let mut command = Command::new(example::build(&["metrics"]).join("metrics"));
        let mut process = command.arg("0").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let at = line.split_once("http://").unwrap().1.split_once('/').unwrap().0;
        Served { process, at: at.parse().unwrap() }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const REQUEST: &[u8] = b"GET /metrics HTTP/1.0\r\n\r\n";

/// A whole answer, once.
#[track_caller]
fn one_answer(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200 OK"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    assert!(body.ends_with("# EOF\n"), "{body}");
}

/// It used to take a snapshot of everything for each byte, and then to reset.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: it runs no cargo")]
fn the_example_answers_once_whatever_comes_after_the_request() {
    let served = Served::start();
    let mut s = client(served.at);
    s.write_all(&[REQUEST, &[b'x'; 100_000][..]].concat()).unwrap();
    one_answer(&read_to_end(&s));

    let s = client(served.at);
    s.set_nodelay(true).unwrap();
    write_all(&s, REQUEST);
    for _ in 0..1000 {
        write_all(&s, b"x");
    }
    one_answer(&read_to_end(&s));

    // In pieces, the empty line in two of them.
    let s = client(served.at);
    s.set_nodelay(true).unwrap();
    for piece in REQUEST.chunks(REQUEST.len() - 2) {
        write_all(&s, piece);
    }
    one_answer(&read_to_end(&s));
}

#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: it runs no cargo")]
fn the_example_bounds_requests_connections_and_their_time() {
    let served = Served::start();
    // A request without an end.
    let mut s = client(served.at);
    let sent = s.write_all(&[b'x'; 8192]);
    assert!(sent.is_err() || s.read_to_end(&mut Vec::new()).is_err() || was_closed(&s));

    // As many as it has room for, which say nothing, and one beyond: that one waits until the
    // time of another is over.
    let idle: Vec<_> = (0..16).map(|_| client(served.at)).collect();
    let s = client(served.at);
    write_all(&s, REQUEST);
    let answer = read_to_end(&s);
    one_answer(&answer);
    let text = String::from_utf8(answer).unwrap();
    let open = format!("tidegate_server_connections{{server=\"{}\"", served.at);
    let line = text.lines().find(|l| l.starts_with(&open)).unwrap();
    let open: usize = line.rsplit_once(' ').unwrap().1.parse().unwrap();
    assert!(open <= 16, "{line}");
    for s in &idle {
        assert!(was_closed(s));
    }
}

/// It ended or was reset, without a byte before.
fn was_closed(mut s: &std::net::TcpStream) -> bool {
    match s.read(&mut [0; 16]) {
        Ok(n) => n == 0,
        Err(e) => e.kind() == std::io::ErrorKind::ConnectionReset,
    }
}
