//! `bench`: its figures agree with each other, and failures are reported.

use crate::running::{Running, nobody, run};

fn json(arguments: &[&str]) -> serde_json::Value {
    let mut all = vec!["bench"];
    all.extend(arguments);
    all.extend(["--json", "--time", "400ms", "--connections", "4"]);
    serde_json::from_str(&run(&all).good()).unwrap()
}

#[test]
fn each_bench_starts_the_server_that_it_measures() {
    for what in ["echo", "accept", "pump", "http"] {
        let report = json(&[what]);
        assert_eq!(report["bench"], what);
        for side in ["target", "floor"] {
            let side = &report[side];
            assert!(side["operations"].as_u64().unwrap() > 4, "{report}");
            assert_eq!(side["failed"], 0, "{report}");
            let us = |name: &str| side[name].as_f64().unwrap();
            assert!(us("p50_us") <= us("p99_us") && us("p99_us") <= us("max_us"), "{report}");
        }
        let bars = report["latency_us"].as_array().unwrap();
        let counted: u64 = bars.iter().map(|bar| bar[1].as_u64().unwrap()).sum();
        assert_eq!(report["target"]["operations"].as_u64(), Some(counted));
        assert!(report["ratio"].as_f64().unwrap() > 0.0, "{report}");
    }
}

#[test]
fn a_pump_says_how_many_bytes_and_has_many_under_way() {
    let report = json(&["pump", "--bytes", "1K"]);
    let target = &report["target"];
    let number = |name: &str| target[name].as_f64().unwrap();
    let bytes = number("per_second") * 1024.0;
    assert!((number("bytes_per_second") - bytes).abs() <= 1024.0, "{report}");
    // With up to 1 MiB under way, far more messages come back in a second than with one at a time.
    let at_a_time = 4.0 * 1e6 / number("p50_us");
    assert!(number("per_second") > 10.0 * at_a_time, "{report}");
    assert!(json(&["echo"])["target"]["bytes_per_second"].is_null());
    let largest = run(&["bench", "pump", "--bytes", "1M", "--connections", "1", "--time", "400ms"]);
    assert!(largest.good().contains("MiB/s there and back; floor "));
}

#[test]
fn a_server_that_runs_already_and_a_picture() {
    let (_server, at) = Running::serve(&["serve", "echo", "127.0.0.1:0", "--quiet"]);
    let svg = std::env::temp_dir().join(format!("tidegate-bench-{}.svg", std::process::id()));
    let svg = svg.to_str().unwrap();
    let arguments = ["bench", "echo", &at.to_string(), "--time", "800ms", "--svg", svg];
    let done = run(&arguments);
    assert_eq!(done.code, Some(0), "{done:?}");
    let words = ["target", "floor", "ratio", "p99.9", "latency of the target", "up to"];
    assert!(words.iter().all(|word| done.out.contains(word)), "{done:?}");
    assert!(!done.err.contains('\r'), "a progress bar is for a terminal");
    let picture = std::fs::read_to_string(svg).unwrap();
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"), "{picture}");
    std::fs::remove_file(svg).unwrap();
}

#[test]
fn a_server_that_is_not_there_is_a_failure() {
    for what in ["echo", "accept", "pump"] {
        let done = run(&["bench", what, &nobody(), "--time", "200ms"]);
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(done.err.contains("ECONNREFUSED"), "{done:?}");
    }
    assert_eq!(run(&["bench", "http", &format!("http://{}/", nobody())]).code, Some(1));
}

#[test]
fn an_answer_that_says_no_is_a_failure() {
    let (_server, at) = Running::serve(&["serve", "http", "127.0.0.1:0", "--quiet"]);
    let done = run(&["bench", "http", &format!("http://{at}/nothing")]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("the answer is 404"), "{done:?}");
}
