//! Who may ask: the page itself, with its token. And what a wrong request does.

use crate::program::Program;

#[test]
fn a_page_of_another_origin_cannot_press_a_button_nor_listen() {
    let program = Program::run(&["demo"]);
    let (host, token) = (program.host(), program.token());
    let press = format!("/do/stop?token={token}");
    let ours = format!("http://{host}");
    let rows: [(&str, Vec<(&str, &str)>, u16); 8] = [
        (&press, vec![("Host", host), ("Origin", "http://evil.example")], 403),
        (&press, vec![("Host", host), ("Origin", "null")], 403),
        (&press, vec![("Host", "evil.example")], 403),
        ("/do/stop", vec![("Host", host), ("Origin", &ours)], 403),
        ("/do/stop?token=0123456789abcdef0123456789abcdef", vec![("Host", host)], 403),
        (&press, vec![("Host", host), ("Origin", &ours)], 204),
        ("/do/nothing?token=", vec![("Host", host)], 403),
        ("/", vec![("Host", host)], 403),
    ];
    for (target, fields, status) in &rows {
        if *status == 403 {
            assert_eq!(program.status("POST", target, fields), 403, "{target} {fields:?}");
            assert_eq!(program.status("GET", target, fields), 403, "{target} {fields:?}");
        }
    }
    // None of them has stopped the loop.
    program.events(&[]).find("doing", |doing| {
        assert_ne!(doing["stopped"], true);
        (doing["state"] == "waits").then_some(())
    });
    let (target, fields, status) = &rows[5];
    assert_eq!(program.status("POST", target, fields), *status);
    program.events(&[]).find("doing", |doing| (doing["stopped"] == true).then_some(()));
}

#[test]
fn what_is_not_there_is_told() {
    let program = Program::run(&["demo"]);
    let host = [("Host", program.host())];
    let with = |target: &str| format!("{target}token={}", program.token());
    for (method, target, status) in [
        ("GET", "/?", 200),
        ("GET", "/nothing?", 404),
        ("GET", "/replay?", 404),
        ("GET", "/do/stop?", 404),
        ("POST", "/do/fly?", 400),
        ("POST", "/do/preset?name=nothing&", 400),
        ("POST", "/do/block?", 400),
        ("POST", "/?", 404),
        ("PUT", "/?", 405),
    ] {
        assert_eq!(program.status(method, &with(target), &host), status, "{method} {target}");
    }
}
