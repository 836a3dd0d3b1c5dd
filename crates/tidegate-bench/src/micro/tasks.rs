//! What executors of futures cost on one thread: to spawn, to yield, to wake another task. All of
//! them run the same futures; only what spawns and runs them differs. No I/O happens, but
//! tidegate, tokio and monoio look for it now and then, and async-executor has nowhere to look.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Instant;

use async_executor::LocalExecutor;
use tidegate::Loop;
use tidegate::task::{Async, BlockOn};
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use super::{Sides, nanos, on};
use crate::sys::cores::Core;

/// How many tasks there are at once, where there are many.
pub const MANY: u64 = 1000;

/// All contenders do this work.
macro_rules! sides {
    ($work:expr) => {
        &[
            ("tidegate", |n| time::<Tidegate, _>(n, $work)),
            ("async-executor", |n| time::<Bare, _>(n, $work)),
            ("LocalSet", |n| time::<Tokio, _>(n, $work)),
            ("monoio", |n| time::<Monoio, _>(n, $work)),
        ]
    };
}

/// Tasks that do nothing, each awaited before the next is spawned.
pub fn spawn_one() -> Sides {
    sides!(spawn_one_of)
}

/// Tasks that do nothing; [`MANY`] are spawned, and then awaited.
pub fn spawn_many() -> Sides {
    sides!(spawn_many_of)
}

/// One task that yields.
pub fn yield_alone() -> Sides {
    sides!(yield_of)
}

/// [`MANY`] tasks that yield.
pub fn yield_many() -> Sides {
    sides!(yield_many_of)
}

/// Two tasks, each of which waits for the other one's turn to end.
pub fn ping_pong() -> Sides {
    sides!(ping_pong_of)
}

async fn spawn_one_of<S: Spawner>(spawner: S, n: u64) {
    for _ in 0..n {
        spawner.spawn(async {}).await;
    }
}

async fn spawn_many_of<S: Spawner>(spawner: S, n: u64) {
    let mut tasks = Vec::with_capacity(MANY as usize);
    for _ in 0..n / MANY {
        tasks.extend((0..MANY).map(|_| spawner.spawn(async {})));
        for task in tasks.drain(..) {
            task.await;
        }
    }
}

async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

async fn yield_of<S: Spawner>(_: S, n: u64) {
    for _ in 0..n {
        yield_now().await;
    }
}

async fn yield_many_of<S: Spawner>(spawner: S, n: u64) {
    let one = |_| {
        spawner.spawn(async move {
            for _ in 0..n / MANY {
                yield_now().await;
            }
        })
    };
    for task in (0..MANY).map(one).collect::<Vec<_>>() {
        task.await;
    }
}

/// Whose turn it is, and who waits for it.
#[derive(Default)]
struct Table {
    turn: Cell<u64>,
    waiting: RefCell<Option<Waker>>,
}

async fn play(table: Rc<Table>, mine: u64, turns: u64) {
    for _ in 0..turns {
        poll_fn(|cx| {
            if table.turn.get() % 2 == mine {
                return Poll::Ready(());
            }
            *table.waiting.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        table.turn.set(table.turn.get() + 1);
        let waiting = table.waiting.borrow_mut().take();
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// A turn of each is one operation.
async fn ping_pong_of<S: Spawner>(spawner: S, n: u64) {
    let table = Rc::new(Table::default());
    let players = [0, 1].map(|mine| spawner.spawn(play(table.clone(), mine, n)));
    for player in players {
        player.await;
    }
}

/// Runs it there, and returns the nanoseconds from its first poll to its end.
fn time<E: Executor, F: Future<Output = ()> + 'static>(
    n: u64,
    work: impl FnOnce(E::Spawner, u64) -> F + Send,
) -> u64 {
    on(Core::Server, || {
        E::run(move |spawner| {
            let work = work(spawner, n);
            async move {
                let start = Instant::now();
                work.await;
                nanos(start)
            }
        })
    })
}

/// What runs futures.
trait Executor {
    type Spawner: Spawner;
    fn run<F: Future<Output = u64> + 'static>(main: impl FnOnce(Self::Spawner) -> F) -> u64;
}

/// What spawns them there. Its future ends with the task.
trait Spawner: 'static {
    fn spawn(&self, f: impl Future<Output = ()> + 'static) -> impl Future<Output = ()> + 'static;
}

struct Tidegate;

impl Executor for Tidegate {
    type Spawner = Tidegate;
    fn run<F: Future<Output = u64> + 'static>(main: impl FnOnce(Tidegate) -> F) -> u64 {
        let mut lp = Loop::new().expect("a loop");
        // As a task: the future of `block_on` itself is polled between turns.
        let task = lp.spawn(main(Tidegate));
        lp.block_on(task).expect("it ends").expect("nobody cancels it")
    }
}

impl Spawner for Tidegate {
    fn spawn(&self, f: impl Future<Output = ()> + 'static) -> impl Future<Output = ()> + 'static {
        let task = tidegate::task::spawn(f).expect("this is a task");
        async { task.await.expect("nobody cancels it") }
    }
}

struct Bare;

impl Executor for Bare {
    type Spawner = Rc<LocalExecutor<'static>>;
    fn run<F: Future<Output = u64> + 'static>(main: impl FnOnce(Self::Spawner) -> F) -> u64 {
        let executor = Rc::new(LocalExecutor::new());
        futures_lite::future::block_on(executor.run(main(executor.clone())))
    }
}

impl Spawner for Rc<LocalExecutor<'static>> {
    fn spawn(&self, f: impl Future<Output = ()> + 'static) -> impl Future<Output = ()> + 'static {
        LocalExecutor::spawn(self, f)
    }
}

struct Tokio;

impl Executor for Tokio {
    type Spawner = Tokio;
    fn run<F: Future<Output = u64> + 'static>(main: impl FnOnce(Tokio) -> F) -> u64 {
        let rt = Builder::new_current_thread().enable_io().build().expect("a runtime");
        LocalSet::new().block_on(&rt, main(Tokio))
    }
}

impl Spawner for Tokio {
    fn spawn(&self, f: impl Future<Output = ()> + 'static) -> impl Future<Output = ()> + 'static {
        let task = tokio::task::spawn_local(f);
        async { task.await.expect("nobody cancels it") }
    }
}

struct Monoio;

impl Executor for Monoio {
    type Spawner = Monoio;
    fn run<F: Future<Output = u64> + 'static>(main: impl FnOnce(Monoio) -> F) -> u64 {
        let rt = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().build();
        rt.expect("a runtime").block_on(main(Monoio))
    }
}

impl Spawner for Monoio {
    fn spawn(&self, f: impl Future<Output = ()> + 'static) -> impl Future<Output = ()> + 'static {
        monoio::spawn(f)
    }
}
