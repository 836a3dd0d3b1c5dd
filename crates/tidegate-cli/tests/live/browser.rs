//! What a browser draws, by headless Chromium: the page's own checks, a file, a live loop. Skipped
//! with a line where there is no browser.

use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::program::{DEADLINE, Program};

const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// The page at this address when its scripts are done; `None` without a browser.
fn dom(url: &str) -> Option<String> {
    let has = |name: &&&str| {
        let found = Command::new(**name).arg("--version").stdout(Stdio::null()).status();
        found.is_ok_and(|status| status.success())
    };
    let Some(name) = NAMES.iter().find(has) else {
        eprintln!("skipped: none of {NAMES:?} is installed");
        return None;
    };
    let home = std::env::temp_dir().join(format!("tidegate-browser-{}", std::process::id()));
    let ends = Instant::now() + DEADLINE * 2;
    // On a busy machine a browser may end without an answer.
    while Instant::now() < ends {
        let output = Command::new(name)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--virtual-time-budget=20000", "--dump-dom"])
            .arg(format!("--user-data-dir={}", home.display()))
            .arg(url)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.contains("</html>") {
            let _ = std::fs::remove_dir_all(&home);
            return Some(text);
        }
    }
    panic!("{name} shows no page");
}

/// The value of an attribute of the first element that has this text in its tag.
fn attribute<'a>(dom: &'a str, element: &str, name: &str) -> &'a str {
    let at = dom.find(element).unwrap_or_else(|| panic!("no {element} in {dom}"));
    let begin = dom[..at].rfind('<').unwrap();
    let tag = &dom[begin..begin + dom[begin..].find('>').unwrap()];
    let value = tag.split(&format!("{name}=\"")).nth(1);
    value.and_then(|v| v.split('"').next()).unwrap_or_else(|| panic!("no {name} in {tag}"))
}

#[test]
fn the_checks_of_the_page_pass() {
    let program = Program::run(&["demo"]);
    let Some(dom) = dom(&format!("{}&selftest=1", program.url)) else { return };
    let said = dom.split("selftest: ").nth(1).expect("the page says how its checks went");
    let (good, rest) = said.split_once(" of ").unwrap();
    let all = rest.split(' ').next().unwrap();
    assert_eq!(good, all, "{}", &said[..said.len().min(500)]);
    assert!(good.parse::<u32>().unwrap() >= 12);
}

#[test]
fn a_file_is_drawn_at_the_turn_that_is_asked_for() {
    let folder = std::env::temp_dir().join(format!("tidegate-live-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (trace, saved) = (folder.join("run.jsonl"), folder.join("run.json"));
    let trace_name = trace.to_str().unwrap();
    {
        let program = Program::run(&["demo", "--preset", "slow", "--record", trace_name]);
        let mut events = program.events(&[]);
        events.find("conns", |conns| {
            let mut list = conns["list"].as_array()?.iter();
            list.any(|c| c["full"] == true).then_some(())
        });
        events.find("turns", |_| Some(()));
    }
    let save = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["replay", trace_name, "--save", saved.to_str().unwrap()])
        .status();
    assert!(save.unwrap().success());
    let messages: Vec<Value> =
        serde_json::from_str(&std::fs::read_to_string(&saved).unwrap()).unwrap();
    // The first turn at whose end a connection is full.
    let mut turn = 0;
    let conn = messages.iter().find_map(|message| {
        if message["event"] == "turns" {
            turn = message["data"]["turns"][0]["n"].as_u64().unwrap();
        }
        let list = message["data"]["list"].as_array().filter(|_| message["event"] == "conns")?;
        list.iter().find(|c| c["full"] == true && c["ours"].as_u64() > Some(0))
    });
    let conn = conn.expect("a connection that is full");
    let program = Program::run(&["replay", trace_name]);
    let Some(dom) = dom(&format!("{}&at={turn}", program.url)) else { return };
    assert_eq!(attribute(&dom, "id=\"turn\"", "data-turn"), turn.to_string());
    let row = format!("data-conn=\"{}\"", conn["id"].as_str().unwrap());
    assert_eq!(attribute(&dom, &row, "data-ours"), conn["ours"].to_string());
    assert_eq!(attribute(&dom, &row, "data-unsent"), "?", "a file does not tell");
    let _ = std::fs::remove_dir_all(&folder);
}

#[test]
fn a_live_loop_is_drawn_with_its_bytes_and_its_accept_queue() {
    let program = Program::run(&["demo", "--preset", "slow"]);
    let mut events = program.events(&[]);
    events.find("conns", |conns| {
        let mut list = conns["list"].as_array()?.iter();
        list.any(|c| c["full"] == true).then_some(())
    });
    let at_least = events.find("turns", |data| data["turns"][0]["n"].as_u64());
    let Some(dom) = dom(&format!("{}&frames=30", program.url)) else { return };
    let drawn: u64 = attribute(&dom, "id=\"turn\"", "data-turn").parse().unwrap();
    assert!(drawn >= at_least, "{drawn}, and {at_least} before");
    assert_eq!(attribute(&dom, "data-drawn=", "data-preset"), "slow");
    let ours = dom.split("data-ours=\"").skip(1).map(|part| part.split('"').next().unwrap());
    let most = ours.filter_map(|text| text.parse::<u64>().ok()).max().unwrap();
    assert!((64 * 1024..=80 * 1024).contains(&most), "{most} bytes in our queue");
    let depth = attribute(&dom, "data-server=\"echo\"", "data-depth");
    assert!(depth == "0" || depth == "?", "nobody waits at the door: {depth}");
}
