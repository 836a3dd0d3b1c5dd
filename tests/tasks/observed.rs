//! What observers, counters and traces show of tasks; signals, jobs and names as futures.

use std::cell::RefCell;
use std::rc::Rc;

use tidegate::observe::{Event, Moment, Observer, Perfetto};
use tidegate::task::{
    Async, AsyncUdp, BlockOn, BlockingError, TaskEnd, TaskEvent, TaskOptions, blocking, lookup,
    yield_now,
};

use crate::run;
use crate::support::*;

#[derive(Clone, Default)]
struct Events(Rc<RefCell<Vec<TaskEvent>>>);

impl Observer for Events {
    fn event(&mut self, _: &Moment, event: &Event<'_>) {
        if let Event::Layer(e) = event {
            self.0.borrow_mut().extend(e.as_any().downcast_ref().cloned());
        }
    }
}

#[test]
fn a_task_is_spawned_polled_and_over() {
    let mut lp = guarded();
    let events = Events::default();
    lp.observe(events.clone());
    let options = TaskOptions::new().name("ebb");
    lp.spawn_with(options, yield_now()).unwrap().detach();
    lp.run().unwrap();
    let events = events.0.borrow();
    let lines: Vec<_> = events.iter().map(|e| e.to_string()).collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[0].starts_with("task 'ebb' at tests/tasks/observed.rs:"), "{lines:?}");
    assert!(lines[0].ends_with(" spawned") && lines[3].ends_with(" finished after 2 polls"));
    let polls = events.iter().filter_map(|e| match e {
        TaskEvent::Polled { ready, .. } => Some(*ready),
        _ => None,
    });
    assert_eq!(polls.collect::<Vec<_>>(), [false, true]);
    assert!(matches!(events[3], TaskEvent::Ended { how: TaskEnd::Finished, .. }));
}

#[test]
fn the_trace_has_a_slice_for_each_poll() {
    let out = Rc::new(RefCell::new(Vec::new()));
    struct To(Rc<RefCell<Vec<u8>>>);
    impl std::io::Write for To {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut lp = guarded();
    lp.observe(Perfetto::new(To(out.clone())));
    lp.spawn_with(TaskOptions::new().name("flood"), yield_now()).unwrap().detach();
    lp.run().unwrap();
    drop(lp);
    let text = String::from_utf8(out.take()).unwrap();
    let trace: serde_json::Value = serde_json::from_str(&text).unwrap();
    let slices = trace.as_array().unwrap().iter().filter(|e| {
        e["ph"] == "X"
            && e["cat"] == "poll of a task"
            && e["name"].as_str().unwrap().contains("flood")
    });
    assert_eq!(slices.count(), 2, "{text}");
}

#[test]
fn counters_add_up() {
    let mut lp = guarded();
    lp.spawn(yield_now()).detach();
    let cancelled = lp.spawn(std::future::pending::<()>());
    lp.run_nowait().unwrap();
    assert_eq!(lp.task_metrics().tasks, 2);
    drop(cancelled);
    lp.run().unwrap();
    let m = lp.task_metrics();
    assert_eq!((m.tasks, m.spawned, m.finished, m.cancelled), (0, 2, 1, 1));
    assert_eq!((m.polls, m.woken_while_polled), (3, 1));
}

#[test]
fn jobs_and_their_ends() {
    let mut lp = guarded();
    let sum = lp.block_on(async {
        let mut sum = 0;
        for n in 0..20 {
            sum += blocking(move || n * 2).await.unwrap();
        }
        sum
    });
    assert_eq!(sum.unwrap(), 380);
    let failed = lp.block_on(blocking(|| std::panic::resume_unwind(Box::new("no"))));
    let failed: Result<(), BlockingError> = failed.unwrap();
    assert!(matches!(failed, Err(BlockingError::Work(_))));
    // Dropped before and while it runs.
    let task = lp.spawn(blocking(std::thread::yield_now));
    lp.run_nowait().unwrap();
    drop(task);
    drop(lp.spawn(blocking(|| ())));
    lp.run().unwrap();
    assert_eq!(handles(&lp), 0);
}

#[test]
fn names_are_looked_up() {
    let mut lp = guarded();
    let found = run(&mut lp, async {
        let both = [lookup("localhost"), lookup("localhost")];
        let [one, other] = both;
        assert_eq!(one.await?, other.await?);
        lookup("localhost").await
    });
    assert!(found.iter().any(|ip| ip.is_loopback()));
    let unknown = lp.block_on(lookup("no.such.name.invalid")).unwrap();
    assert!(unknown.is_err());
    let task = lp.spawn(lookup("localhost"));
    lp.run_nowait().unwrap();
    drop(task);
    // The system's resolver goes on, and keeps no loop alive.
    lp.run().unwrap();
    poll_until(&mut lp, |lp| lp.handles() == 1);
}

#[test]
fn datagrams_wait_for_tasks_and_have_a_bound() {
    let mut lp = guarded();
    run(&mut lp, async {
        let (a, b) = (AsyncUdp::bind("127.0.0.1:0")?, AsyncUdp::bind("127.0.0.1:0")?);
        let (from, to) = (a.local_addr()?, b.local_addr()?);
        for n in 0..200_u8 {
            a.send_to(&[n; 8], to).await?;
        }
        for n in 0..200_u8 {
            let mut buffer = [0; 16];
            assert_eq!(b.recv_from(&mut buffer).await?, (8, from));
            assert_eq!(buffer[..8], [n; 8]);
        }
        a.send_to(b"cut", to).await?;
        let mut short = [0; 2];
        assert_eq!(b.recv_from(&mut short).await?, (2, from));
        Ok(())
    });
    lp.run().unwrap();
    assert_eq!(handles(&lp), 0);
}
