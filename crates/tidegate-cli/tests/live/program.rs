//! The program that is tested, and a client that reads its events.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// No wait is longer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// `tidegate` with a page. Dropped, it is killed.
pub(crate) struct Program {
    child: Child,
    /// Open: a program whose output nobody reads ends.
    _output: Lines<BufReader<ChildStdout>>,
    pub(crate) url: String,
}

impl Program {
    pub(crate) fn run(arguments: &[&str]) -> Program {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(arguments)
            .arg("--no-open")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines.find_map(|line| Some(line.unwrap().strip_prefix("the page: ")?.to_owned()));
        Program { child, _output: lines, url: url.expect("the address of the page") }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let ends = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < ends, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn host(&self) -> &str {
        let rest = self.url.strip_prefix("http://").unwrap();
        &rest[..rest.find('/').unwrap()]
    }

    pub(crate) fn token(&self) -> &str {
        let token = self.url.split("token=").nth(1).unwrap();
        token.split('&').next().unwrap()
    }

    /// Sends a request with these fields, and returns the connection.
    pub(crate) fn send(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> TcpStream {
        let mut stream = TcpStream::connect(self.host()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut head = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
        for (name, value) in fields {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all((head + "\r\n").as_bytes()).unwrap();
        stream
    }

    /// The status of an answer.
    pub(crate) fn status(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> u16 {
        let mut answer = String::new();
        self.send(method, target, fields).read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// Presses a button of the page.
    pub(crate) fn press(&self, action: &str) {
        let sign = if action.contains('?') { '&' } else { '?' };
        let target = format!("/do/{action}{sign}token={}", self.token());
        assert_eq!(self.status("POST", &target, &[("Host", self.host())]), 204, "{action}");
    }

    /// A browser that listens.
    pub(crate) fn events(&self, fields: &[(&str, &str)]) -> Events {
        let mut all = vec![("Host", self.host())];
        all.extend(fields);
        let stream = self.send("GET", &format!("/events?token={}", self.token()), &all);
        Events::new(stream)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A message of the page.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) name: String,
    pub(crate) id: Option<u64>,
    pub(crate) data: Value,
}

/// Parses server-sent events, in the chunks of HTTP/1.1.
pub(crate) struct Events {
    from: BufReader<Chunks>,
    ends: Instant,
}

impl Events {
    pub(crate) fn new(stream: TcpStream) -> Events {
        let mut from = BufReader::new(stream);
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 200"), "{line}");
        while line != "\r\n" {
            line.clear();
            from.read_line(&mut line).unwrap();
        }
        Events { from: BufReader::new(Chunks { from, left: 0 }), ends: Instant::now() + DEADLINE }
    }

    pub(crate) fn next(&mut self) -> Message {
        let (mut name, mut id, mut data) = (String::new(), None, None);
        loop {
            assert!(Instant::now() < self.ends, "too late, at {name}");
            let mut line = String::new();
            self.from.read_line(&mut line).unwrap();
            assert!(line.ends_with('\n'), "the stream is over");
            match line.trim_end().split_once(": ") {
                Some(("event", text)) => name = text.to_owned(),
                Some(("id", text)) => id = Some(text.parse().unwrap()),
                Some(("data", text)) => data = Some(serde_json::from_str(text).unwrap()),
                Some(("retry", _)) => {}
                None if line == "\n" && data.is_some() => {
                    return Message { name, id, data: data.unwrap() };
                }
                None if line == "\n" => {}
                _ => panic!("not an event: {line:?}"),
            }
        }
    }

    /// The next message of this name for which `f` has something.
    pub(crate) fn find<T>(&mut self, name: &str, mut f: impl FnMut(&Value) -> Option<T>) -> T {
        loop {
            let message = self.next();
            if message.name == name {
                if let Some(found) = f(&message.data) {
                    return found;
                }
            }
        }
    }
}

struct Chunks {
    from: BufReader<TcpStream>,
    left: usize,
}

impl Read for Chunks {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            let mut line = String::new();
            self.from.read_line(&mut line)?;
            if line == "\r\n" {
                line.clear();
                self.from.read_line(&mut line)?;
            }
            self.left =
                usize::from_str_radix(line.trim_end(), 16).map_err(std::io::Error::other)?;
            if self.left == 0 {
                return Ok(0);
            }
        }
        let most = into.len().min(self.left);
        let got = self.from.read(&mut into[..most])?;
        self.left -= got;
        Ok(got)
    }
}
