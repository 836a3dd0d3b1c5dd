//! Random programs of streams, pipes and connections, as plain data, and what generates them.
//! `mod.rs` runs them.
#![allow(dead_code, unreachable_pub)]

use proptest::prelude::*;

/// Some programs at once in one loop, and how small its budgets are.
#[derive(Clone, Debug)]
pub struct Program {
    pub read_budget: usize,
    pub write_budget: usize,
    pub tick_budget: u32,
    /// Turns and calls are compiled twice, with an observer and without.
    pub observed: bool,
    pub lines: Vec<Line>,
}

/// What bytes do from their source to their sink.
#[derive(Clone, Debug)]
pub enum Line {
    /// A source, and a reader that takes what comes.
    Read(From, Taking),
    /// Writes, and a sink.
    Write(Vec<(Wrote, When)>, To),
    /// A source, a pipe, a sink.
    Pipe(From, Vec<Stage>, To, Option<Meddle>),
    /// A source piped into a client, proxies, an echo server, and back from the client into a
    /// sink.
    Echo { from: From, up: Vec<Stage>, route: Route, down: Vec<Stage>, to: To },
    /// The same with a client that writes by hand, waits for its drain, and reads.
    Talk(Vec<(usize, When)>, Route),
}

/// What a client's bytes go through, and back.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    pub proxies: usize,
    pub echo: Echo,
    pub mark: usize,
    pub half_open: bool,
    /// The size of the kernel's buffers, if it is not the system's.
    pub buffers: Option<usize>,
    /// The client's own pause.
    pub pause: Option<Meddle>,
    /// The filters of each of its connections, the first nearest to the kernel.
    pub filters: [Option<Filtered>; 2],
    /// What cuts the client off.
    pub cut: Option<(Cut, When)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    Destroy,
    Reset,
    /// Closes the pipe into the client, or the client.
    Pipe,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    Now,
    /// In a tick.
    Tick,
    /// After so many microseconds.
    Timer(u64),
    /// By a post of this thread, or of another.
    Post,
    Thread,
}

#[derive(Clone, Debug)]
pub struct From {
    pub mark: usize,
    pub limit: Option<usize>,
    /// Pushed before anybody asks.
    pub first: Option<usize>,
    /// The pushes of one answer, and when it is given.
    pub answers: Vec<(Vec<usize>, When)>,
    pub end: End,
    pub end_when: When,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    Well,
    Fails,
    Destroyed,
}

/// How a sink takes what it is given, one write after another, again and again.
#[derive(Clone, Debug)]
pub struct To {
    pub mark: usize,
    pub limit: Option<usize>,
    pub gather: usize,
    pub paces: Vec<Pace>,
    /// The write that fails, counted from 0, inside it or later.
    pub fails: Option<(usize, Pace)>,
    pub finish: Pace,
    pub finish_fails: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    Done,
    /// Completed inside the call.
    Inside,
    Later(When),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    Same,
    /// Each byte twice.
    Twice,
    /// Each other byte.
    Half,
    /// Nothing before the end.
    Hold,
    /// Fails when it has seen so many bytes.
    Fails(usize),
    /// Fails at the end.
    FailsToFlush,
}

#[derive(Clone, Debug)]
pub struct Taking {
    /// How many bytes at a time, if it pulls.
    pub pull: Option<usize>,
    /// Pauses after so many chunks, till then.
    pub pause: Option<(usize, When)>,
    /// Destroys the stream after so many.
    pub destroy: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrote {
    Bytes(usize),
    /// With an id.
    Told(usize),
    Corked,
    Uncorked,
    /// Goes on at the drain, if one is to come.
    Drained,
    Destroyed,
}

/// The user's own pauses of a source that is piped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Meddle {
    pub pause: When,
    pub resume: When,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Echo {
    /// Piped to itself.
    Piped,
    /// By a handler that obeys back-pressure.
    Handled,
    /// By a handler that gives bytes back, and takes them again.
    GivenBack,
    /// By a protocol that gets what came, and writes it in two pieces at once.
    Pushed,
    /// By a protocol that reads so much at a time itself.
    Pulled(usize),
}

/// What changes the bytes of a connection at both of its ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Filtered {
    Mixed,
    /// Records with a length.
    Records,
}

fn when() -> BoxedStrategy<When> {
    prop_oneof![
        6 => Just(When::Now),
        2 => Just(When::Tick),
        2 => (0u64..300).prop_map(When::Timer),
        2 => Just(When::Post),
        1 => Just(When::Thread),
    ]
    .boxed()
}

fn size() -> BoxedStrategy<usize> {
    // With a budget of a byte this many turns are needed, and poll(2) makes them slow.
    let most = if cfg!(mio_unsupported_force_poll_poll) { 72_000 } else { 204_800 };
    prop_oneof![
        2 => Just(0usize),
        6 => 1usize..100,
        4 => 100usize..3_000,
        2 => 3_000usize..70_000,
        1 => 70_000usize..=most,
    ]
    .boxed()
}

fn mark() -> BoxedStrategy<usize> {
    prop_oneof![Just(0usize), Just(1), 2usize..5_000, Just(65_536)].boxed()
}

fn limit() -> impl Strategy<Value = Option<usize>> {
    prop_oneof![8 => Just(None), 1 => (0usize..100_000).prop_map(Some)]
}

/// One in so many, of what ends a line early.
fn seldom<T: Clone + std::fmt::Debug + 'static>(
    s: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Option<T>> {
    prop_oneof![9 => Just(None), 1 => s.prop_map(Some)]
}

fn from() -> BoxedStrategy<From> {
    let answers = prop::collection::vec((prop::collection::vec(size(), 1..4), when()), 0..8);
    let end = prop_oneof![8 => Just(End::Well), 1 => Just(End::Fails), 1 => Just(End::Destroyed)];
    (mark(), limit(), prop::option::of(size()), answers, end, when())
        .prop_map(|(mark, limit, first, answers, end, end_when)| From {
            mark,
            limit,
            first,
            answers,
            end,
            end_when,
        })
        .boxed()
}

fn pace() -> BoxedStrategy<Pace> {
    prop_oneof![3 => Just(Pace::Done), 1 => Just(Pace::Inside), 3 => when().prop_map(Pace::Later)]
        .boxed()
}

fn to() -> BoxedStrategy<To> {
    let paces = prop::collection::vec(pace(), 1..5);
    let gather = prop_oneof![Just(1usize), 2usize..5, Just(64)];
    let fails = seldom((0usize..6, pace()));
    (mark(), limit(), gather, paces, fails, pace(), seldom(Just(())))
        .prop_map(|(mark, limit, gather, paces, fails, finish, finish_fails)| To {
            mark,
            limit,
            gather,
            paces,
            fails,
            finish,
            finish_fails: finish_fails.is_some(),
        })
        .boxed()
}

fn stages() -> BoxedStrategy<Vec<Stage>> {
    let stage = prop_oneof![
        4 => Just(Stage::Same),
        3 => Just(Stage::Twice),
        3 => Just(Stage::Half),
        3 => Just(Stage::Hold),
        1 => (0usize..50_000).prop_map(Stage::Fails),
        1 => Just(Stage::FailsToFlush),
    ];
    prop::collection::vec(stage, 0..3).boxed()
}

fn taking() -> BoxedStrategy<Taking> {
    let pull = prop::option::of(prop_oneof![1usize..10, 10usize..5_000]);
    let pause = prop::option::of((0usize..5, when()));
    (pull, pause, seldom(0usize..5))
        .prop_map(|(pull, pause, destroy)| Taking { pull, pause, destroy })
        .boxed()
}

fn wrote() -> impl Strategy<Value = Wrote> {
    prop_oneof![
        8 => size().prop_map(Wrote::Bytes),
        8 => size().prop_map(Wrote::Told),
        2 => Just(Wrote::Corked),
        2 => Just(Wrote::Uncorked),
        4 => Just(Wrote::Drained),
        1 => Just(Wrote::Destroyed),
    ]
}

fn meddle() -> impl Strategy<Value = Meddle> {
    (when(), when()).prop_map(|(pause, resume)| Meddle { pause, resume })
}

fn route() -> BoxedStrategy<Route> {
    let echo = prop_oneof![
        Just(Echo::Piped),
        Just(Echo::Handled),
        Just(Echo::GivenBack),
        Just(Echo::Pushed),
        prop_oneof![1usize..10, 100usize..70_000].prop_map(Echo::Pulled),
    ];
    let filter = prop_oneof![
        6 => Just(None),
        1 => Just(Some(Filtered::Mixed)),
        1 => Just(Some(Filtered::Records)),
    ];
    let filters = [filter.clone(), filter];
    let buffers = prop::option::of(Just(4_096usize));
    let cut = prop_oneof![Just(Cut::Destroy), Just(Cut::Reset), Just(Cut::Pipe)];
    let pause = prop::option::of(meddle());
    let cut = seldom((cut, when()));
    (0usize..3, echo, mark(), any::<bool>(), buffers, pause, filters, cut)
        .prop_map(|(proxies, echo, mark, half_open, buffers, pause, filters, cut)| Route {
            proxies,
            echo,
            mark,
            half_open,
            buffers,
            pause,
            filters,
            cut,
        })
        .boxed()
}

fn line() -> BoxedStrategy<Line> {
    let writes = prop::collection::vec((wrote(), when()), 0..20);
    let talk = prop::collection::vec((size(), when()), 0..10);
    prop_oneof![
        2 => (from(), taking()).prop_map(|(f, t)| Line::Read(f, t)),
        2 => (writes, to()).prop_map(|(w, t)| Line::Write(w, t)),
        4 => (from(), stages(), to(), prop::option::of(meddle()))
            .prop_map(|(f, s, t, m)| Line::Pipe(f, s, t, m)),
        2 => (from(), stages(), route(), stages(), to())
            .prop_map(|(from, up, route, down, to)| Line::Echo { from, up, route, down, to }),
        2 => (talk, route()).prop_map(|(w, r)| Line::Talk(w, r)),
    ]
    .boxed()
}

pub fn program() -> impl Strategy<Value = Program> {
    let budget = || prop_oneof![Just(4_096usize), Just(65_536), Just(1 << 20)];
    let ticks = prop_oneof![Just(1u32), Just(1_000)];
    let lines = prop::collection::vec(line(), 1..4);
    (budget(), budget(), ticks, any::<bool>(), lines).prop_map(
        |(read_budget, write_budget, tick_budget, observed, lines)| Program {
            read_budget,
            write_budget,
            tick_budget,
            observed,
            lines,
        },
    )
}
