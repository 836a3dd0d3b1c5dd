//! Load generators at `http_hello`: every request is answered, with one request at a time on each
//! connection and with sixteen.

use super::{File, judge};
use crate::running::Running;

/// The number in front of this text.
#[track_caller]
fn before(said: &str, text: &str) -> u64 {
    let (front, _) = said.split_once(text).unwrap_or_else(|| panic!("{text:?} in {said}"));
    let number = front.trim_end().rsplit([' ', '\n']).next().unwrap();
    number.parse().unwrap_or_else(|e| panic!("{number:?}: {e}"))
}

#[test]
fn wrk() {
    let server = Running::start("http_hello", &["127.0.0.1:0"]);
    let url = format!("http://{}/hello", server.at);
    let script = File::new(
        "pipeline.lua",
        b"init = function(args)
            local all = {}
            for i = 1, 16 do all[i] = wrk.format('GET', '/hello') end
            together = table.concat(all)
        end
        request = function() return together end",
    );
    for (connections, more) in [("1", vec![]), ("64", vec![]), ("8", vec!["-s", script.path()])] {
        let arguments = [&["-t1", "-d1s", "-c", connections], &more[..], &[&url]].concat();
        let Some(said) = judge("wrk", "--version", &arguments, b"") else { return };
        assert!(before(&said, " requests in ") > 100, "{said}");
        assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
    }
    server.stop();
}

#[test]
fn h2load() {
    let server = Running::start("http_hello", &["127.0.0.1:0"]);
    for path in ["/hello", "/big"] {
        let url = format!("http://{}{path}", server.at);
        let requests = if path == "/big" { "100" } else { "5000" };
        let arguments = ["--h1", "-n", requests, "-c", "16", &url];
        let Some(said) = judge("h2load", "--version", &arguments, b"") else { return };
        assert_eq!(before(&said, " succeeded").to_string(), requests, "{said}");
        assert_eq!((before(&said, " failed"), before(&said, " errored")), (0, 0), "{said}");
        assert_eq!(before(&said, " 2xx").to_string(), requests, "{said}");
    }
    server.stop();
}
