//! Ends of pipes that are a user's own, and panic: in each of their methods, before or after
//! they did their work. Both ends are destroyed all the same, `done` and each `on_close` come
//! once, nothing is left, and the panic leaves `run`.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use tidegate::prelude::*;
use tidegate::stream::*;

use crate::support::*;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    Attach,
    Pause,
    Resume,
    TryWrite,
    Write,
    End,
    Destroy,
    Never,
}

const ALL: [At; 8] =
    [At::Attach, At::Pause, At::Resume, At::TryWrite, At::Write, At::End, At::Destroy, At::Never];

/// An end over another, which panics at these places: before its work, or after.
struct Bad<E> {
    inner: E,
    at: [At; 2],
    before: bool,
    panics: Rc<Cell<u32>>,
}

impl<E> Bad<E> {
    fn call<R>(&self, at: At, work: impl FnOnce(&E) -> R) -> R {
        let panics = self.at.contains(&at);
        if panics && self.before {
            self.panic();
        }
        let done = work(&self.inner);
        if panics {
            self.panic();
        }
        done
    }

    fn panic(&self) -> ! {
        self.panics.set(self.panics.get() + 1);
        resume_unwind(Box::new("on purpose"))
    }
}

impl<E: ReadEnd> ReadEnd for Bad<E> {
    fn attach(&self, cx: &mut Cx<'_>, pipe: PipeKey) -> Result<(), StreamError> {
        self.call(At::Attach, |e| e.attach(cx, pipe))
    }
    fn pause(&self, cx: &mut Cx<'_>) {
        self.call(At::Pause, |e| e.pause(cx))
    }
    fn resume(&self, cx: &mut Cx<'_>) {
        self.call(At::Resume, |e| e.resume(cx))
    }
    fn destroy(&self, cx: &mut Cx<'_>, cause: &StreamError) {
        self.call(At::Destroy, |e| e.destroy(cx, cause))
    }
}

impl<E: WriteEnd> WriteEnd for Bad<E> {
    fn attach(&self, cx: &mut Cx<'_>, pipe: PipeKey) -> Result<Flow, StreamError> {
        self.call(At::Attach, |e| e.attach(cx, pipe))
    }
    fn try_write(&self, cx: &mut Cx<'_>, data: &[u8]) -> usize {
        self.call(At::TryWrite, |e| e.try_write(cx, data))
    }
    fn write(&self, cx: &mut Cx<'_>, data: Bytes) -> Flow {
        self.call(At::Write, |e| e.write(cx, data))
    }
    fn end(&self, cx: &mut Cx<'_>) {
        self.call(At::End, |e| e.end(cx))
    }
    fn destroy(&self, cx: &mut Cx<'_>, cause: &StreamError) {
        self.call(At::Destroy, |e| e.destroy(cx, cause))
    }
}

/// What makes the pipe come to its end, beside the panic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum How {
    Well,
    SourceFails,
    SinkFails,
    TransformFails,
    TransformPanics,
    SinkPanics,
    ClosedFromOutside,
    ClosedFromATick,
}

const HOW: [How; 8] = [
    How::Well,
    How::SourceFails,
    How::SinkFails,
    How::TransformFails,
    How::TransformPanics,
    How::SinkPanics,
    How::ClosedFromOutside,
    How::ClosedFromATick,
];

struct Give(u32, How);
impl Source for Give {
    fn read(&mut self, r: &mut ReadableCx<'_>) -> Result<(), BoxError> {
        self.0 += 1;
        match self.0 {
            4 if self.1 == How::SourceFails => return Err("out of sand".into()),
            5 => r.push_end(),
            _ => {
                let _ = r.push(vec![1; 3000]);
            }
        }
        Ok(())
    }
}

struct Take(u32, How);
impl Sink for Take {
    fn write(&mut self, _: &mut WritableCx<'_>, _: &[Bytes]) -> Result<Progress, BoxError> {
        self.0 += 1;
        match self.1 {
            How::SinkFails if self.0 == 2 => Err("no space".into()),
            How::SinkPanics if self.0 == 2 => resume_unwind(Box::new("on purpose")),
            _ => Ok(Progress::Done),
        }
    }
}

struct Through(u32, How);
impl Transform for Through {
    fn transform(
        &mut self,
        _: &mut Cx<'_>,
        chunk: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), BoxError> {
        self.0 += 1;
        out.extend_from_slice(chunk);
        match self.1 {
            How::TransformFails if self.0 == 2 => Err("not in order".into()),
            How::TransformPanics if self.0 == 2 => resume_unwind(Box::new("on purpose")),
            _ => Ok(()),
        }
    }
}

/// Counts its `on_close`.
struct Told(Rc<Cell<u32>>);
impl ReadHandler for Told {
    fn on_close(&mut self, _: &mut Cx<'_>, _: StreamClose) {
        self.0.set(self.0.get() + 1);
    }
}
impl WriteHandler for Told {
    fn on_close(&mut self, _: &mut Cx<'_>, _: StreamClose) {
        self.0.set(self.0.get() + 1);
    }
}

/// Runs to the end, through all panics; how many there were.
fn run_through(lp: &mut Loop) -> u32 {
    for panics in 0..20 {
        if catch_unwind(AssertUnwindSafe(|| lp.run().unwrap())).is_ok() {
            return panics;
        }
    }
    panic!("it panics on and on")
}

#[test]
fn a_panic_of_an_end_leaves_the_pipe_whole() {
    let mut tried = 0;
    for how in HOW {
        for source_at in ALL {
            for sink_at in ALL {
                for before in [true, false] {
                    a_panic(how, [source_at, At::Never], [sink_at, At::Never], before);
                    a_panic(how, [source_at, At::Destroy], [sink_at, At::Destroy], before);
                    tried += 2;
                }
            }
        }
    }
    assert_eq!(tried, 8 * 8 * 8 * 2 * 2);
}

fn a_panic(how: How, source_at: [At; 2], sink_at: [At; 2], before: bool) {
    let case = format!("{how:?}, source {source_at:?}, sink {sink_at:?}, before {before}");
    let mut lp = guarded();
    let [panics, closes, dones] = [0; 3].map(|n| Rc::new(Cell::new(n)));
    let from = lp.open_readable(ReadableOptions::new(), Give(0, how), Told(closes.clone()));
    let options = WritableOptions::new().high_water_mark(2000);
    let to = lp.open_writable(options, Take(0, how), Told(closes.clone()));
    let panics_of = || panics.clone();
    let (from, to) = (from.unwrap(), to.unwrap());
    let source = Bad { inner: from, at: source_at, before, panics: panics_of() };
    let sink = Bad { inner: to, at: sink_at, before, panics: panics_of() };
    let d = dones.clone();
    let result = Rc::new(Cell::new(None));
    let r = result.clone();
    let done = move |_: &mut Cx<'_>, result: Result<(), PipeError>| {
        d.set(d.get() + 1);
        r.set(Some(result));
    };
    let pipe = lp.pipeline(source, vec![Box::new(Through(0, how))], sink, done).unwrap();
    assert_eq!((closes.get(), dones.get()), (0, 0), "nothing is called inside the call: {case}");
    match how {
        How::ClosedFromOutside => {
            let _ = lp.close(pipe);
        }
        How::ClosedFromATick => lp.next_tick(move |cx| {
            let _ = cx.close(pipe);
        }),
        _ => {}
    }
    let left = run_through(&mut lp);
    let own = u32::from(matches!(how, How::TransformPanics | How::SinkPanics));
    assert!(
        (panics.get()..=panics.get() + own).contains(&left),
        "{left} panics left run, {} were made: {case}",
        panics.get()
    );
    assert_eq!(dones.get(), 1, "{case}");
    if before {
        // What was neither attached nor destroyed was never the pipe's.
        let untouched = [At::Attach, At::Destroy];
        if source_at == untouched {
            lp.readable(from).destroy();
        }
        if sink_at == untouched {
            lp.writable(to).destroy();
        }
        lp.run().unwrap();
    }
    assert_eq!((dones.get(), closes.get()), (1, 2), "{case}");
    assert_eq!((handles(&lp), lp.is_alive()), (0, false), "{case}");
    let result = result.take().unwrap();
    let well = how == How::Well && panics.get() == 0;
    assert_eq!(result.is_ok(), well, "{result:?}: {case}");
}

/// An end that closes the pipe from inside its own methods, and one that says it took more
/// than it was given.
#[test]
fn an_end_that_closes_its_pipe_ends_it_once() {
    struct Meddles<E>(E, At, Cell<Option<PipeKey>>);
    impl<E> Meddles<E> {
        fn at(&self, cx: &mut Cx<'_>, at: At) {
            if let Some(pipe) = self.2.get().filter(|_| self.1 == at) {
                let _ = cx.close(pipe);
            }
        }
    }
    impl<E: ReadEnd> ReadEnd for Meddles<E> {
        fn attach(&self, cx: &mut Cx<'_>, pipe: PipeKey) -> Result<(), StreamError> {
            self.2.set(Some(pipe));
            self.at(cx, At::Attach);
            self.0.attach(cx, pipe)
        }
        fn pause(&self, cx: &mut Cx<'_>) {
            self.at(cx, At::Pause);
            self.0.pause(cx)
        }
        fn resume(&self, cx: &mut Cx<'_>) {
            self.at(cx, At::Resume);
            self.0.resume(cx)
        }
        fn destroy(&self, cx: &mut Cx<'_>, cause: &StreamError) {
            self.at(cx, At::Destroy);
            self.0.destroy(cx, cause)
        }
    }
    impl<E: WriteEnd> WriteEnd for Meddles<E> {
        fn attach(&self, cx: &mut Cx<'_>, pipe: PipeKey) -> Result<Flow, StreamError> {
            self.2.set(Some(pipe));
            self.at(cx, At::Attach);
            self.0.attach(cx, pipe)
        }
        fn try_write(&self, cx: &mut Cx<'_>, data: &[u8]) -> usize {
            self.at(cx, At::TryWrite);
            if data.len() == 3000 { self.0.try_write(cx, data) } else { data.len() + 1 }
        }
        fn write(&self, cx: &mut Cx<'_>, data: Bytes) -> Flow {
            self.at(cx, At::Write);
            self.0.write(cx, data)
        }
        fn end(&self, cx: &mut Cx<'_>) {
            self.at(cx, At::End);
            self.0.end(cx)
        }
        fn destroy(&self, cx: &mut Cx<'_>, cause: &StreamError) {
            self.at(cx, At::Destroy);
            self.0.destroy(cx, cause)
        }
    }
    for how in [How::Well, How::SourceFails, How::SinkFails] {
        for at in ALL {
            for side in 0..2 {
                let mut lp = guarded();
                let [closes, dones] = [0; 2].map(|n| Rc::new(Cell::new(n)));
                let from = lp
                    .open_readable(ReadableOptions::new(), Give(0, how), Told(closes.clone()))
                    .unwrap();
                let options = WritableOptions::new().high_water_mark(2000);
                let to = lp.open_writable(options, Take(0, how), Told(closes.clone())).unwrap();
                let on = |own: usize| if own == side { at } else { At::Never };
                let source = Meddles(from, on(0), Cell::default());
                let sink = Meddles(to, on(1), Cell::default());
                let d = dones.clone();
                lp.pipe(source, sink, move |_, _| d.set(d.get() + 1)).unwrap();
                lp.run().unwrap();
                assert_eq!((dones.get(), closes.get()), (1, 2), "{how:?} {at:?} {side}");
                assert_eq!((handles(&lp), lp.is_alive()), (0, false), "{how:?} {at:?} {side}");
            }
        }
    }
}

/// Also where the ends are a connection and a stream: nobody waits for them.
#[test]
fn a_connection_at_the_other_end_is_closed_and_told() {
    for at in [At::Destroy, At::Write, At::TryWrite, At::End] {
        let mut lp = guarded();
        let (peer, ours) = pair();
        let log = Log::default();
        let (l, d) = (log.clone(), log.clone());
        let from = lp.adopt(ours, On::new().close(move |_, _| l.add("closed"))).unwrap();
        let closes = Rc::new(Cell::new(0));
        let options = WritableOptions::new();
        let to = lp.open_writable(options, Take(0, How::SinkFails), Told(closes.clone())).unwrap();
        let sink = Bad { inner: to, at: [at, At::Never], before: true, panics: Rc::default() };
        lp.pipe(from, sink, move |_, result| {
            d.add(if result.is_err() { "broken" } else { "done" });
        })
        .unwrap();
        for _ in 0..3 {
            let _ = std::io::Write::write(&mut &peer, &[0; 1000]);
            let _ = catch_unwind(AssertUnwindSafe(|| lp.run_nowait().unwrap()));
        }
        if at != At::End {
            drop(peer);
        } else {
            let _ = peer.shutdown(std::net::Shutdown::Write);
        }
        run_through(&mut lp);
        let mut lines = log.lines();
        lines.sort();
        assert_eq!(
            (lines, closes.get()),
            (vec!["broken".into(), "closed".to_owned()], 1),
            "{at:?}"
        );
        assert_eq!(handles(&lp), 0, "{at:?}");
    }
}

/// X2: the source panics when it is to go on, which destroys the connection: no drain comes
/// after that.
#[test]
fn a_connection_that_its_pipe_destroyed_is_not_told_of_the_drain() {
    struct Big;
    impl Source for Big {
        fn read(&mut self, r: &mut ReadableCx<'_>) -> Result<(), BoxError> {
            let _ = r.push(vec![1; 12 << 20]);
            Ok(())
        }
    }
    let mut lp = guarded();
    let (peer, ours) = pair();
    let log = Log::default();
    let (drains, closes) = (log.clone(), log.clone());
    let on = On::new().drain(move |_| drains.add("drain")).close(move |_, _| closes.add("close"));
    let to = lp.adopt(ours, on).unwrap();
    let from = lp.open_readable(ReadableOptions::new(), Big, ()).unwrap();
    let at = [At::Resume, At::Never];
    let source = Bad { inner: from, at, before: true, panics: Rc::default() };
    let d = log.clone();
    lp.pipe(source, to, move |_, result| d.add(result.unwrap_err().to_string())).unwrap();
    let reading = std::thread::spawn(move || {
        let _ = std::io::Read::read_to_end(&mut &peer, &mut Vec::new());
    });
    assert_eq!(run_through(&mut lp), 1);
    reading.join().unwrap();
    assert_eq!(log.lines(), ["close", "the pipe's source ended by a panic of its callback"]);
    assert_eq!(handles(&lp), 0);
}

/// Users' values that panic as they are dropped: the others still hear of the end.
#[test]
fn a_source_or_a_sink_whose_drop_panics_keeps_no_word_back() {
    struct Dropped;
    impl Drop for Dropped {
        fn drop(&mut self) {
            resume_unwind(Box::new("on purpose"));
        }
    }
    struct From(#[allow(dead_code)] Dropped);
    impl Source for From {
        fn read(&mut self, r: &mut ReadableCx<'_>) -> Result<(), BoxError> {
            r.push_end();
            Ok(())
        }
    }
    struct To(#[allow(dead_code)] Dropped);
    impl Sink for To {
        fn write(&mut self, _: &mut WritableCx<'_>, _: &[Bytes]) -> Result<Progress, BoxError> {
            Ok(Progress::Done)
        }
    }
    let mut lp = guarded();
    let [closes, dones] = [0; 2].map(|n| Rc::new(Cell::new(n)));
    let told = || Told(closes.clone());
    let from = lp.open_readable(ReadableOptions::new(), From(Dropped), told()).unwrap();
    let to = lp.open_writable(WritableOptions::new(), To(Dropped), told()).unwrap();
    let d = dones.clone();
    lp.pipe(from, to, move |_, result| d.set(d.get() + u32::from(result.is_ok()))).unwrap();
    assert_eq!(run_through(&mut lp), 2);
    assert_eq!((dones.get(), closes.get(), handles(&lp)), (1, 2, 0));
}
