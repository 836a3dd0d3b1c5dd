//! The protocol of Redis, as far as a proxy needs it: where commands and answers end, and which
//! commands it does not pass on. No I/O.

/// Of a command, and of what waits for a connection of the pool.
pub(crate) const MOST: usize = 64 << 20;

/// They destroy, or they are for who runs the server.
const FORBIDDEN: &[&str] =
    &["FLUSHALL", "FLUSHDB", "SHUTDOWN", "DEBUG", "KEYS", "SAVE", "BGSAVE", "REPLICAOF", "ACL"];
/// They change the connection for its next user, or it has no end of answers.
const STICKY: &[&str] = &[
    "SUBSCRIBE",
    "PSUBSCRIBE",
    "SSUBSCRIBE",
    "MONITOR",
    "SELECT",
    "AUTH",
    "HELLO",
    "CLIENT",
    "RESET",
    "QUIT",
    "SYNC",
    "PSYNC",
];

/// The first two words of a command, and how long it is.
pub(crate) type Command<'a> = ([&'a [u8]; 2], usize);

/// The next command; `None`: more has to come.
pub(crate) fn command(bytes: &[u8]) -> Result<Option<Command<'_>>, &'static str> {
    let Some((first, mut at)) = line(bytes, 0) else {
        return if bytes.len() > 64 << 10 { Err("too big line") } else { Ok(None) };
    };
    let [b'*', count @ ..] = first else {
        // A line of words.
        let mut words = first.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let mut word = || words.next().unwrap_or_default();
        return Ok(Some(([word(), word()], at)));
    };
    let count = number(count).filter(|n| *n <= 1 << 20).ok_or("invalid multibulk length")?;
    let mut words = [&[][..]; 2];
    for i in 0..count {
        let Some((head, from)) = line(bytes, at) else { return Ok(None) };
        let [b'$', length @ ..] = head else { return Err("expected '$'") };
        let length = number(length).filter(|n| *n <= MOST).ok_or("invalid bulk length")?;
        if bytes.len() < from + length + 2 {
            return Ok(None);
        }
        if let Some(word) = words.get_mut(i) {
            *word = &bytes[from..from + length];
        }
        at = from + length + 2;
    }
    Ok(Some((words, at)))
}

fn line(bytes: &[u8], from: usize) -> Option<(&[u8], usize)> {
    let end = from + bytes.get(from..)?.iter().position(|b| *b == b'\n')?;
    let line = &bytes[from..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), end + 1))
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Why the proxy does not pass a command on.
pub(crate) fn refusal(name: &[u8], second: &[u8]) -> Option<String> {
    let listed = |list: &[&'static str]| list.iter().copied().find(|known| is(name, known));
    let changes = is(name, "CONFIG") && !is(second, "GET");
    if let Some(name) = listed(FORBIDDEN).or(changes.then_some("CONFIG")) {
        return Some(format!("-ERR the proxy forbids {name}\r\n"));
    }
    let name = listed(STICKY)?;
    Some(format!("-ERR the proxy shares its connections, and does not pass {name} on\r\n"))
}

pub(crate) fn is(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}

/// Finds the ends of answers, however they come.
#[derive(Default)]
pub(crate) struct Answers {
    /// Values that are still to come of the answer that has begun.
    values: u64,
    /// Bytes of a value that are still to come.
    skip: usize,
    /// The beginning of a line.
    line: Vec<u8>,
}

impl Answers {
    pub(crate) fn is_between(&self) -> bool {
        self.values == 0 && self.skip == 0 && self.line.is_empty()
    }

    /// Goes to the end of the next answer: how many bytes that is, if they are all there.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            if self.is_between() {
                self.values = 1;
            }
            if self.skip > 0 {
                let n = self.skip.min(bytes.len() - at);
                (self.skip, at) = (self.skip - n, at + n);
            } else {
                let Some(end) = bytes[at..].iter().position(|b| *b == b'\n') else {
                    self.line.extend(&bytes[at..]);
                    return None;
                };
                let whole = &bytes[at..at + end];
                at += end + 1;
                if self.line.is_empty() {
                    self.head(whole);
                } else {
                    let line = [&std::mem::take(&mut self.line)[..], whole].concat();
                    self.head(&line);
                }
            }
            if self.skip == 0 && self.values == 0 {
                return Some(at);
            }
        }
        None
    }

    fn head(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let count = line.get(1..).and_then(number);
        self.values = self.values.saturating_sub(1);
        match (line.first(), count) {
            (Some(b'*' | b'~' | b'>'), Some(n)) => self.values += n as u64,
            (Some(b'%'), Some(n)) => self.values += 2 * n as u64,
            (Some(b'$' | b'=' | b'!'), Some(n)) => self.skip = n + 2,
            _ => {}
        }
    }
}
