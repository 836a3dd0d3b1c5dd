//! Help, wrong arguments, exit codes, colours, completions and man pages.

use crate::running::{command, nobody, run};

/// Every subcommand, as its words.
fn subcommands() -> Vec<Vec<&'static str>> {
    let all = [
        "serve",
        "serve echo",
        "serve discard",
        "serve http",
        "serve proxy",
        "connect",
        "check",
        "trace",
        "demo",
        "replay",
        "doctor",
        "bench",
        "bench echo",
        "bench accept",
        "bench http",
        "completions",
        "man",
    ];
    all.map(|words| words.split(' ').collect()).to_vec()
}

#[test]
fn each_subcommand_has_help_with_an_example() {
    for mut words in subcommands() {
        let name = words.join(" ");
        words.push("--help");
        let help = run(&words).good();
        assert!(help.contains("Usage: tidegate"), "{name}: {help}");
        let example = help.contains("Example: tidegate") || help.contains("Examples:");
        assert!(example, "{name} has no example: {help}");
    }
}

/// Every subcommand that the help names is in the list above.
#[test]
fn the_list_of_subcommands_is_complete() {
    let help = run(&["--help"]).good();
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let named: Vec<&str> = list.lines().filter_map(|l| l.split_whitespace().next()).collect();
    let known: Vec<String> = subcommands().iter().map(|w| w[0].to_owned()).collect();
    for name in &named {
        assert!(known.iter().any(|k| k == name), "{name} is not tested");
    }
    assert!(named.len() >= 5, "{named:?}");
}

#[test]
fn bad_arguments_end_with_2_and_say_why() {
    let wrong: &[&[&str]] = &[
        &[],
        &["nonsense"],
        &["serve"],
        &["serve", "nonsense"],
        &["serve", "echo", "nonsense"],
        &["serve", "echo", "127.0.0.1:99999"],
        &["serve", "echo", "127.0.0.1:0", "more"],
        &["serve", "echo", "--for", "soon"],
        &["serve", "echo", "--accept-budget", "0"],
        &["serve", "echo", "--drop"],
        &["serve", "discard", "--read-rate", "fast"],
        &["serve", "http", "--headers-timeout", "5h"],
        &["serve", "proxy"],
        &["serve", "proxy", "nonsense"],
        &["connect"],
        &["connect", "127.0.0.1"],
        &["connect", "127.0.0.1:1", "--ca", "a.pem"],
        &["connect", "127.0.0.1:1", "--tls", "--ca", "/no/such/file"],
        &["connect", "127.0.0.1:1", "--text", "\\q"],
        &["connect", "127.0.0.1:1", "--text", "a", "--send", "1K"],
        &["connect", "127.0.0.1:1", "--drip", "1s"],
        &["connect", "127.0.0.1:1", "--send", "0"],
        &["check"],
        &["check", ":::1"],
        &["check", "127.0.0.1:1", "--expect", "PONG"],
        &["trace"],
        &["doctor"],
        &["bench"],
        &["bench", "nonsense"],
        &["bench", "pump", "nonsense"],
        &["bench", "pump", "--bytes", "2M"],
        &["bench", "pump", "--connections", "many"],
        &["bench", "echo", "nonsense"],
        &["bench", "echo", "--connections", "0"],
        &["bench", "echo", "--bytes", "2M"],
        &["bench", "http", "127.0.0.1:1"],
        &["bench", "http", "https://a/"],
        &["doctor", "a.jsonl", "check", "127.0.0.1:1"],
        &["doctor", "--slow-call", "1h", "a.jsonl"],
        &["trace", "man"],
        &["trace", "--limit", "0", "check", "127.0.0.1:1"],
        &["demo", "--preset", "loud"],
        &["demo", "--port", "99999"],
        &["replay"],
        &["completions", "dos"],
    ];
    for wrong in wrong {
        let done = run(wrong);
        assert_eq!(done.code, Some(2), "{wrong:?}: {done:?}");
        assert!(!done.err.is_empty() && !done.err.contains("panicked"), "{wrong:?}: {done:?}");
    }
}

#[test]
fn the_help_tells_the_exit_codes() {
    let help = run(&["--help"]).good();
    for code in ["0  ", "1  ", "2  ", "3  ", "130  "] {
        assert!(help.contains(&format!("\n  {code}")), "{code:?}: {help}");
    }
    assert_eq!(run(&["check", &nobody()]).code, Some(1));
}

/// Standard output is no terminal here, so there is no colour.
#[test]
fn no_colours_but_on_a_terminal() {
    let done = run(&["connect", &nobody(), "--text", "x"]);
    assert!(!done.out.contains('\x1b') && !done.err.contains('\x1b'), "{done:?}");
}

/// On a terminal there are colours, and none with `NO_COLOR`. `script` makes the terminal.
#[test]
#[cfg(target_os = "linux")]
fn colours_on_a_terminal() {
    let colours = |no_color: &str| {
        let line = format!("{} check {}", env!("CARGO_BIN_EXE_tidegate"), nobody());
        let mut script = std::process::Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).env("NO_COLOR", no_color).env("TERM", "xterm");
        Some(script.stdin(std::process::Stdio::null()).output().ok()?.stdout.contains(&0x1b))
    };
    match (colours(""), colours("1")) {
        (Some(without), Some(with)) => assert!(without && !with, "{without} {with}"),
        _ => eprintln!("skipped: there is no `script` to make a terminal"),
    }
}

#[test]
fn completions_and_man_pages() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let text = run(&["completions", shell]).good();
        assert!(text.contains("tidegate") && text.contains("accept-budget"), "{shell}");
    }
    let page = run(&["man"]).good();
    assert!(page.contains(".TH tidegate 1") && page.contains("Exit codes"), "{page}");
    let folder = std::env::temp_dir().join(format!("tidegate-man-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    run(&["man", "--to", folder.to_str().unwrap()]).good();
    let echo = std::fs::read_to_string(folder.join("tidegate-serve-echo.1")).unwrap();
    assert!(echo.contains("accept\\-budget"), "{echo}");
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(run(&["man", "--to", "/no/such/folder"]).code, Some(1));
}

/// A reader that goes away is no failure: `tidegate man | head`.
#[test]
fn a_reader_that_goes_away_ends_it() {
    let mut child = command(&["man"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
