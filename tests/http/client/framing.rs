//! Where an answer ends, by the method, the status and the fields; whole and cut at every byte.

use super::*;

/// What a handler sees of an answer; the parts of the body are joined.
fn seen(lp: &mut Loop, request: ClientRequest) -> (Vec<String>, Result<Answered, RequestError>) {
    let (log, results) = (Log::default(), Results::default());
    lp.request(request, logged(&log, &results)).unwrap();
    turn_until(lp, |_| !results.borrow().is_empty());
    let mut lines: Vec<String> = Vec::new();
    for line in log.lines() {
        match (line.strip_prefix("data "), lines.last_mut()) {
            (Some(part), Some(last)) if last.starts_with("data ") => last.push_str(part),
            _ => lines.push(line),
        }
    }
    let result = results.borrow_mut().pop().unwrap();
    (lines, result)
}

/// Answers in two segments, with a cut at `at`.
fn cut(lp: &mut Loop, answer: &'static str, at: usize, ends: bool) -> String {
    script(lp, move |s, _| {
        let (a, b) = answer.split_at(at);
        let _ = s.write(a);
        let key = s.key();
        s.after(std::time::Duration::from_millis(1), move |cx| {
            let mut s = cx.socket(key);
            let _ = s.write(b);
            if ends {
                s.end();
            }
        });
    })
}

#[track_caller]
fn everywhere(method: &'static str, answer: &'static str, ends: bool, expected: &[&str]) {
    let mut lp = guarded();
    // Several at a time: each cut has another server.
    for at in 0..=answer.len() {
        let url = cut(&mut lp, answer, at, ends);
        let (lines, result) = seen(&mut lp, ClientRequest::new(method, &url));
        assert_eq!(lines, expected, "cut at {at}");
        let result = result.unwrap_or_else(|e| panic!("cut at {at}: {e}"));
        assert_eq!(lp.why_alive().iter().filter(|h| h.kind == "http request").count(), 0);
        let body: usize =
            expected.iter().filter_map(|l| l.strip_prefix("data ")).map(str::len).sum();
        assert_eq!(result.body, body as u64);
    }
}

#[test]
fn a_length() {
    everywhere("GET", OK, false, &["head 200", "data ok", "end"]);
}

#[test]
fn chunks_and_trailers() {
    everywhere(
        "GET",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n1\r\n!\r\n0\r\nX-Sum: 7\r\n\r\n",
        false,
        &["head 200", "data ok!", "trailers {\"X-Sum\": \"7\"}", "end"],
    );
}

#[test]
fn http_70_until_the_end_of_the_connection() {
    everywhere("GET", "HTTP/1.1 200 OK\r\n\r\nok", true, &["head 200", "data ok", "end"]);
    let mut lp = guarded();
    let agent = agent(&mut lp, Agent::new());
    let url = script(&mut lp, |s, _| {
        let _ = s.end_with("HTTP/1.0 200 OK\r\n\r\nok");
    });
    for _ in 0..2 {
        let answer = ask(&mut lp, ClientRequest::get(&url).agent(agent));
        assert_eq!(body(&answer), "ok");
        assert!(!answer.unwrap().totals.reused);
    }
}

#[test]
fn http_71_informational_responses() {
    everywhere(
        "GET",
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        false,
        &["inform 103", "inform 102", "head 200", "data ok", "end"],
    );
    // 100 without a question for it is nothing.
    everywhere(
        "GET",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        false,
        &["head 204", "end"],
    );
}

#[test]
fn http_71_too_many_informational_responses() {
    let mut lp = guarded();
    let answer = "HTTP/1.1 102 Processing\r\n\r\n".repeat(17) + OK;
    let url = always(&mut lp, answer.leak());
    let (lines, result) = seen(&mut lp, ClientRequest::get(&url));
    assert_eq!(lines.len(), 16);
    let text = result.unwrap_err().cause().to_string();
    assert_eq!(text, "a bad answer: too many informational responses");
}

#[test]
fn an_answer_to_head_has_no_body() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    everywhere("HEAD", answer, false, &["head 200", "end"]);
    // The next answer on the same connection is read right.
    let mut lp = guarded();
    let url = script(&mut lp, |s, asked| {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
        let _ = s.write(if asked.head.starts_with("HEAD") { head } else { OK });
    });
    assert_eq!(body(&ask(&mut lp, ClientRequest::new("HEAD", &url))), "");
    let second = ask(&mut lp, ClientRequest::get(&url));
    assert_eq!(body(&second), "ok");
    assert!(second.unwrap().totals.reused);
}

#[test]
fn statuses_without_a_body() {
    for answer in [
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        let mut lp = guarded();
        let url = always(&mut lp, answer);
        for _ in 0..2 {
            let (lines, result) = seen(&mut lp, ClientRequest::get(&url));
            assert_eq!(lines.len(), 2, "{lines:?}");
            assert_eq!(result.unwrap().body, 0);
        }
    }
}

/// What is read in two ways by two programs is no answer.
#[test]
fn bad_answers_are_refused() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        "HTTP/1.1 200 OK\r\nX: y\r\n folded\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/2.0 200 OK\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let mut lp = guarded();
        let url = always(&mut lp, answer);
        let (_, result) = seen(&mut lp, ClientRequest::get(&url));
        let e = result.expect_err(answer);
        assert!(e.cause().to_string().starts_with("a bad answer: "), "{answer:?}: {e}");
    }
}

#[test]
fn answers_that_break_off() {
    for (answer, stage) in [
        ("", "waiting for the answer"),
        ("HTTP/1.1 200", "waiting for the answer"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", "receiving the answer"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
            "receiving the answer",
        ),
        ("HTTP/1.1 100 Continue\r\n\r\n", "waiting for the answer"),
    ] {
        let mut lp = guarded();
        let url = script(&mut lp, move |s, _| {
            let _ = s.end_with(answer);
        });
        let (_, result) = seen(&mut lp, ClientRequest::get(&url));
        let e = result.expect_err(answer);
        assert_eq!(e.stage().to_string(), stage, "{answer:?}");
        assert_eq!(e.cause().to_string(), "the connection ended before the answer did");
    }
}

/// Folded fields, whole and cut at every byte: refused, and joined by an agent that is asked to.
#[test]
fn folded_fields_are_joined_on_request() {
    const FOLDED: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a>,\r\n\t</b>\r\n\r\n\
        HTTP/1.1 200 OK\r\nX: high\r\n \r\n  and low\r\nContent-Length: 6\r\n\r\nok\r\n .";
    for at in 0..FOLDED.len() {
        let mut lp = guarded();
        let url = script(&mut lp, move |s, _| {
            let (key, (first, rest)) = (s.key(), FOLDED.split_at(at));
            let _ = s.write(first);
            s.next_tick(move |cx| {
                let _ = cx.socket(key).write(rest);
            });
        });
        let agent = agent(&mut lp, Agent::new().join_folded(true));
        let answer = ask(&mut lp, ClientRequest::get(&url).agent(agent)).unwrap();
        assert_eq!(answer.get("x"), Some(&b"high       and low"[..]), "cut at {at}");
        assert_eq!(&answer.body[..], b"ok\r\n .", "cut at {at}");
    }
    let mut lp = guarded();
    let url = always(&mut lp, "HTTP/1.1 200 OK\r\n X: y\r\nContent-Length: 0\r\n\r\n");
    let agent = agent(&mut lp, Agent::new().join_folded(true));
    let result = ask(&mut lp, ClientRequest::get(&url).agent(agent));
    assert!(cause(&result).starts_with("a bad answer: "), "nothing to join it to");
}
