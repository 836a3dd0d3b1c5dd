//! Random streams of frames, cut at random places, answered at random: every frame comes once, in
//! order, and none while the connection is paused.

use std::cell::Cell;
use std::rc::Rc;

use proptest::prelude::*;
use tidegate::net::*;
use tidegate::prelude::*;

use super::Cut;
use crate::support::*;

#[derive(Clone, Copy, Debug)]
enum Act {
    Go,
    /// `Full`, with or without a pause before it.
    Full(bool),
    Pause,
    /// A new decoder in a new handler, from here on.
    Replace,
    Tick,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => Just(Act::Go),
        1 => any::<bool>().prop_map(Act::Full),
        1 => Just(Act::Pause),
        1 => Just(Act::Replace),
        1 => Just(Act::Tick),
    ]
}

/// What a connection does for its frames, one after the other.
struct Case {
    acts: Vec<Act>,
    log: Log,
    at: Cell<usize>,
    paused: Cell<bool>,
}

fn framed<C>(decoder: C, case: Rc<Case>) -> impl Handler
where
    C: for<'a> Decode<Frame<'a> = &'a [u8]> + Clone,
{
    let c = case.clone();
    let on = On::new().close(move |_, close| c.log.add(close.reason.to_string()));
    on.framed(decoder.clone(), move |s, frame| {
        assert!(!case.paused.get(), "a frame of a paused connection");
        case.log.add(format!("{frame:?}"));
        let at = case.at.get();
        case.at.set(at + 1);
        let resume_later = |s: &mut SocketCx<'_>| {
            case.paused.set(true);
            let (key, case) = (s.key(), case.clone());
            s.next_tick(move |cx| {
                cx.next_tick(move |cx| {
                    case.paused.set(false);
                    cx.socket(key).resume();
                });
            });
        };
        match case.acts[at % case.acts.len()] {
            Act::Go => Flow::Ready,
            Act::Full(pause) => {
                if pause {
                    s.pause();
                }
                resume_later(s);
                Flow::Full
            }
            Act::Pause => {
                s.pause();
                resume_later(s);
                Flow::Ready
            }
            Act::Replace => {
                s.set_handler(Replaced::new(decoder.clone(), case.clone()));
                Flow::Ready
            }
            Act::Tick => {
                s.pause();
                s.resume();
                Flow::Ready
            }
        }
    })
}

/// Breaks the circle of types that a handler in itself would be.
struct Replaced(Box<dyn Handler>);

impl Replaced {
    fn new<C>(decoder: C, case: Rc<Case>) -> Replaced
    where
        C: for<'a> Decode<Frame<'a> = &'a [u8]> + Clone,
    {
        Replaced(Box::new(framed(decoder, case)))
    }
}

impl Handler for Replaced {
    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        self.0.on_data(s, chunk);
    }
    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        self.0.on_drain(s);
    }
    fn on_end(&mut self, s: &mut SocketCx<'_>) {
        self.0.on_end(s);
    }
    fn on_close(&mut self, s: &mut SocketCx<'_>, close: Close) {
        self.0.on_close(s, close);
    }
}

fn check<C>(decoder: C, bytes: &[u8], frames: &[Vec<u8>], acts: Vec<Act>, cuts: Vec<usize>)
where
    C: for<'a> Decode<Frame<'a> = &'a [u8]> + Clone,
{
    let mut lp = guarded();
    let (peer, ours) = pair();
    write_all(&peer, bytes);
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    let (log, at) = (Log::default(), Cell::new(0));
    let case = Rc::new(Case { acts, log: log.clone(), at, paused: Cell::new(false) });
    let mut cuts = cuts.into_iter().cycle();
    let next = move || cuts.next().unwrap();
    lp.adopt(ours, Cut::new(Replaced::new(decoder, case), next)).unwrap();
    lp.run().unwrap();
    let mut expected: Vec<_> = frames.iter().map(|f| format!("{f:?}")).collect();
    expected.push("both sides ended".into());
    assert_eq!(log.lines(), expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]
    #[test]
    fn every_frame_comes_once_and_in_order(
        frames in prop::collection::vec(prop::collection::vec(97..100u8, 0..600), 0..20),
        acts in prop::collection::vec(act(), 1..8),
        cuts in prop::collection::vec(prop_oneof![1..4usize, 1..700usize, Just(usize::MAX)], 1..6),
    ) {
        let lengths = LengthPrefixed::u16_le(600);
        let (mut lined, mut ended, mut prefixed) = (Vec::new(), Vec::new(), Vec::new());
        for frame in &frames {
            lined.extend(frame.iter().copied().chain(*b"\r\n"));
            ended.extend(frame.iter().copied().chain(*b"-ab-"));
            prefixed.extend(lengths.prefix(frame.len()).unwrap());
            prefixed.extend(frame);
        }
        check(Lines::new(600), &lined, &frames, acts.clone(), cuts.clone());
        check(Delimited::new("-ab-", 600), &ended, &frames, acts.clone(), cuts.clone());
        check(lengths, &prefixed, &frames, acts, cuts);
    }
}
