//! Operations to be counted: instructions by valgrind, allocations by the counting
//! allocator. Each is prepared up to the moment that a loop finds it; what is counted is
//! then the loop's part alone.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use tidegate::Key;
use tidegate::http::{Http, Response};
use tidegate::kind::{Kind, LayerId, Owner};
use tidegate::prelude::*;
use tidegate::stream::WriteState;
use tidegate::task::{AcceptAsync, AsyncSocket};

use crate::peer::tidegate::Echo;

/// How many of them at once.
pub const OPERATIONS: u32 = 256;

/// One kind of operation, prepared.
pub trait Operation {
    /// Makes ready for [`OPERATIONS`] more of them.
    fn prepare(&mut self) -> io::Result<()>;
    /// Does them.
    fn run(&mut self);
}

/// An operation by its name, warm: it was done some times already.
pub fn warm(name: &str) -> io::Result<Box<dyn Operation>> {
    let mut operation: Box<dyn Operation> = match name {
        "turn" => Box::new(Turns(idle_loop()?)),
        "dispatch" => Box::new(Dispatches::new()?),
        "timer" => Box::new(Timers(Loop::new()?)),
        "write_queue" => Box::new(Queue(WriteState::new(16 * 1024, usize::MAX))),
        "accept_and_close" => Box::new(Accepts::new(false)?),
        "accept_keep_end" => Box::new(Accepts::new(true)?),
        "echo" => Box::new(Echoes::new(OPERATIONS, false)?),
        "echo_late_layer" => Box::new(Echoes::on(loop_with_other_layers()?, OPERATIONS, false)?),
        "echo_alone" => Box::new(Alone(Echoes::new(1, false)?)),
        "echo_async" => Box::new(Echoes::of_tasks(OPERATIONS)?),
        "echo_async_alone" => Box::new(Alone(Echoes::of_tasks(1)?)),
        "echo_idle" => Box::new(Echoes::new(OPERATIONS, true)?),
        "echo_idle_alone" => Box::new(Alone(Echoes::new(1, true)?)),
        "http_get" => Box::new(Gets::new(OPERATIONS, 1)?),
        "http_get_pipelined" => Box::new(Gets::new(OPERATIONS / 16, 16)?),
        other => return Err(io::Error::new(ErrorKind::InvalidInput, other.to_owned())),
    };
    for _ in 0..3 {
        operation.prepare()?;
        operation.run();
    }
    operation.prepare()?;
    Ok(operation)
}

/// All that [`warm`] knows.
pub const NAMES: [&str; 15] = [
    "turn",
    "dispatch",
    "timer",
    "write_queue",
    "accept_and_close",
    "accept_keep_end",
    "echo",
    "echo_late_layer",
    "echo_alone",
    "echo_async",
    "echo_async_alone",
    "echo_idle",
    "echo_idle_alone",
    "http_get",
    "http_get_pipelined",
];

fn turn(lp: &mut Loop) {
    lp.run_nowait().expect("polling works");
}

fn idle_loop() -> io::Result<Loop> {
    let mut lp = Loop::new()?;
    lp.timer(Duration::from_secs(3600), |_, _| {});
    Ok(lp)
}

/// In which others were first: the layer of connections is not.
fn loop_with_other_layers() -> io::Result<Loop> {
    static FIRST: LayerId<u64> = LayerId::new(|| 0);
    static SECOND: LayerId<String> = LayerId::new(String::new);
    let mut lp = Loop::new()?;
    *lp.cx().layer(&FIRST).0 += 1;
    lp.cx().layer(&SECOND).0.push('2');
    Ok(lp)
}

/// Turns with nothing due.
struct Turns(Loop);

impl Operation for Turns {
    fn prepare(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn run(&mut self) {
        for _ in 0..OPERATIONS {
            turn(&mut self.0);
        }
    }
}

static COUNTED: Owner = Owner::new();
static NOTHING: Kind = Kind::new("nothing", &COUNTED);

/// Handles that are queued, and called in one ready pass.
struct Dispatches {
    lp: Loop,
    keys: Vec<Key>,
}

impl Dispatches {
    fn new() -> io::Result<Dispatches> {
        let mut lp = Loop::new()?;
        let mut keys = Vec::new();
        for _ in 0..OPERATIONS {
            keys.push(lp.cx().driver().insert(&NOTHING, 0)?.key());
        }
        Ok(Dispatches { lp, keys })
    }
}

impl Operation for Dispatches {
    fn prepare(&mut self) -> io::Result<()> {
        for key in &self.keys {
            if let Some(mut handle) = self.lp.cx().driver().handle(&COUNTED, *key) {
                handle.queue();
            }
        }
        Ok(())
    }

    fn run(&mut self) {
        turn(&mut self.lp);
    }
}

/// Timers that are due.
struct Timers(Loop);

impl Operation for Timers {
    fn prepare(&mut self) -> io::Result<()> {
        for _ in 0..OPERATIONS {
            self.0.timer(Duration::ZERO, |_, _| {});
        }
        Ok(())
    }

    fn run(&mut self) {
        turn(&mut self.0);
    }
}

/// Small writes that find a full kernel, and their way out in gathers.
struct Queue(WriteState);

impl Operation for Queue {
    fn prepare(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn run(&mut self) {
        for _ in 0..OPERATIONS {
            self.0.push(b"thirteen byte");
        }
        while !self.0.is_empty() {
            let mut pieces = [&[][..]; 64];
            let n = self.0.gather(&mut pieces);
            let bytes = pieces[..n].iter().map(|p| p.len()).sum();
            self.0.advance(bytes);
        }
    }
}

/// Connections that wait in the backlog, and are closed by the server; or they are kept,
/// and those before them, whose clients have gone, end.
struct Accepts {
    lp: Loop,
    server: ServerKey,
    clients: Vec<TcpStream>,
    accepted: u64,
}

impl Accepts {
    fn new(keep: bool) -> io::Result<Accepts> {
        let mut lp = Loop::new()?;
        let options = ListenOptions::new("127.0.0.1:0").backlog(2 * OPERATIONS);
        let server = lp.listen(options.accept_budget(u32::MAX), move |conn| {
            if keep {
                conn.accept(Kept(0));
            } else {
                conn.reject();
            }
        })?;
        Ok(Accepts { lp, server, clients: Vec::new(), accepted: 0 })
    }
}

impl Operation for Accepts {
    fn prepare(&mut self) -> io::Result<()> {
        self.clients.clear();
        let at = self.lp.server(self.server).local_addr()?;
        for _ in 0..OPERATIONS {
            self.clients.push(TcpStream::connect(at)?);
        }
        self.accepted += u64::from(OPERATIONS);
        Ok(())
    }

    fn run(&mut self) {
        while self.lp.server(self.server).stats().is_ok_and(|s| s.accepted < self.accepted) {
            turn(&mut self.lp);
        }
    }
}

/// A handler with something in it.
struct Kept(u64);

impl Handler for Kept {
    fn on_data(&mut self, _: &mut SocketCx<'_>, chunk: &[u8]) {
        self.0 += chunk.len() as u64;
    }
}

const MESSAGE: [u8; 64] = [7; 64];

/// One message on each of many connections, echoed in one turn; with an idle deadline, or
/// without.
struct Echoes {
    lp: Loop,
    clients: Vec<TcpStream>,
    asked: bool,
}

impl Echoes {
    fn new(connections: u32, idle: bool) -> io::Result<Echoes> {
        Echoes::on(Loop::new()?, connections, idle)
    }

    fn on(lp: Loop, connections: u32, idle: bool) -> io::Result<Echoes> {
        Echoes::by(lp, connections, idle, |conn| {
            conn.accept(Echo);
        })
    }

    /// The same by a task for each connection.
    fn of_tasks(connections: u32) -> io::Result<Echoes> {
        Echoes::by(Loop::new()?, connections, false, |conn| {
            conn.accept_spawn(echo).expect("there is room");
        })
    }

    fn by(
        mut lp: Loop,
        connections: u32,
        idle: bool,
        accept: impl FnMut(Incoming<'_>) + 'static,
    ) -> io::Result<Echoes> {
        let idle = Duration::from_secs(if idle { 3600 } else { 0 });
        let options = ListenOptions::new("127.0.0.1:0").backlog(2 * connections);
        let options = options.idle_timeout(idle);
        let server = lp.listen(options, accept)?;
        let at = lp.server(server).local_addr()?;
        let mut clients = Vec::new();
        for _ in 0..connections {
            clients.push(TcpStream::connect(at)?);
        }
        while lp.server(server).stats()?.accepted < u64::from(connections) {
            lp.run_once()?;
        }
        Ok(Echoes { lp, clients, asked: false })
    }

    fn ask(&mut self) -> io::Result<()> {
        self.asked = true;
        self.clients.iter().try_for_each(|mut c| c.write_all(&MESSAGE))
    }

    fn answered(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.asked) {
            return Ok(());
        }
        self.clients.iter().try_for_each(|mut c| c.read_exact(&mut [0; MESSAGE.len()]))
    }
}

async fn echo(socket: AsyncSocket) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match socket.read(&mut buffer).await? {
            0 => return Ok(()),
            n => socket.write_all(&buffer[..n]).await?,
        }
    }
}

impl Operation for Echoes {
    fn prepare(&mut self) -> io::Result<()> {
        self.answered()?;
        self.ask()
    }

    fn run(&mut self) {
        turn(&mut self.lp);
    }
}

const GET: &[u8] = b"GET /hello HTTP/1.1\r\nHost: localhost:8080\r\n\r\n";
const HELLO: &str = "Hello, World!";

/// Requests on connections that are kept, answered in one turn: some on each, in one piece.
struct Gets {
    lp: Loop,
    clients: Vec<TcpStream>,
    requests: Vec<u8>,
    asked: bool,
}

impl Gets {
    fn new(connections: u32, each: u32) -> io::Result<Gets> {
        let mut lp = Loop::new()?;
        let options = ListenOptions::new("127.0.0.1:0").backlog(2 * connections);
        let server = lp.http_listen(options, |head, x| match head.path() {
            "/hello" => {
                let fields = [("Content-Type", "text/plain")];
                let _ = x.respond(Response::new(200).headers(&fields), HELLO);
            }
            _ => x.reply(404, ""),
        })?;
        let at = lp.server(server).local_addr()?;
        let mut clients = Vec::new();
        for _ in 0..connections {
            clients.push(TcpStream::connect(at)?);
        }
        while lp.server(server).stats()?.accepted < u64::from(connections) {
            lp.run_once()?;
        }
        Ok(Gets { lp, clients, requests: GET.repeat(each as usize), asked: false })
    }
}

impl Operation for Gets {
    fn prepare(&mut self) -> io::Result<()> {
        let mut answers = vec![0; 64 * 1024];
        for client in &mut self.clients {
            if self.asked {
                let n = client.read(&mut answers)?;
                assert!(answers[..n].ends_with(HELLO.as_bytes()));
            }
            client.write_all(&self.requests)?;
        }
        self.asked = true;
        Ok(())
    }

    fn run(&mut self) {
        turn(&mut self.lp);
    }
}

/// One connection, and a turn for each message; the client's two calls count, too.
struct Alone(Echoes);

impl Operation for Alone {
    fn prepare(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn run(&mut self) {
        for _ in 0..OPERATIONS {
            self.0.ask().expect("there is room");
            turn(&mut self.0.lp);
            self.0.answered().expect("it is echoed");
        }
    }
}
