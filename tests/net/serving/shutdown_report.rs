//! What a shutdown reports: whom it cut off, and whom it did not.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tidegate::net::{Reason, ServerHandler, ShutdownReport, Timeout};
use tidegate::prelude::*;

use crate::support::*;

const GRACE: Duration = Duration::from_secs(5);

/// Ends a connection that sends `q`; keeps the others, also when the server shuts down.
struct Stays(Log);

impl ServerHandler for Stays {
    fn on_connection(&mut self, conn: Incoming<'_>) {
        let on = On::new()
            .data(|s, chunk| {
                if chunk.contains(&b'q') {
                    s.end()
                }
            })
            .shutdown(|_| {});
        conn.accept(on);
    }

    fn on_close(&mut self, _: &mut ServerCx<'_>) {
        self.0.add("closed");
    }
}

#[test]
fn a_report_names_those_that_were_cut_off() {
    let (mut lp, script) = scripted();
    let log = Log::default();
    let server = lp.serve("127.0.0.1:0", Stays(log.clone())).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let reports: Rc<RefCell<Vec<ShutdownReport>>> = Rc::default();
    let (told, l) = (reports.clone(), log.clone());
    // The second takes the place of the first.
    lp.server(server).report_shutdown(|_, _| panic!("it was replaced")).unwrap();
    lp.server(server)
        .report_shutdown(move |_, report| {
            l.add("report");
            told.borrow_mut().push(report);
        })
        .unwrap();
    let peers: Vec<_> = (0..3).map(|_| client(at)).collect();
    poll_until(&mut lp, |lp| lp.server(server).connections().len() == 3);
    lp.server(server).shutdown(GRACE).unwrap();
    // A shorter lifetime is the connection's own, and no matter of the shutdown.
    let early = lp.server(server).connections()[2];
    lp.socket(early).set_lifetime(Duration::from_secs(1));
    write_all(&peers[0], b"q");
    peers[0].shutdown(std::net::Shutdown::Write).unwrap();
    poll_until(&mut lp, |lp| lp.net_metrics().sockets == 2);
    script.advance(Duration::from_secs(2));
    poll_until(&mut lp, |lp| lp.net_metrics().sockets == 1);
    assert!(reports.borrow().is_empty());
    let left = lp.server(server).connections()[0];
    let _ = lp.socket(left).write("late");
    script.advance(GRACE);
    poll_until(&mut lp, |_| log.has("closed"));
    assert_eq!(log.lines(), ["report", "closed"]);
    let reports = reports.borrow();
    let [report] = &reports[..] else { panic!("{reports:?}") };
    assert_eq!((report.connections, report.cut_off, report.closes.len()), (3, 1, 1));
    let close = &report.closes[0];
    assert!(matches!(close.reason, Reason::TimedOut(Timeout::Shutdown, _)), "{close}");
    assert_eq!(close.peer, Some(peers[1].local_addr().unwrap()));
    assert_eq!(close.bytes_written, 4);
    assert!(report.took >= GRACE, "{report:?}");
    let stats = report.stats;
    assert_eq!((stats.accepted, stats.connections, stats.cut_off), (3, 0, 1));
    let line = report.to_string();
    let peer = peers[1].local_addr().unwrap();
    assert!(line.starts_with(&format!("{at} shut down in ")), "{line}");
    assert!(
        line.ends_with(&format!("1 of 3 connections cut off: {peer} (0 bytes unsent)")),
        "{line}"
    );
}

/// Its own panic does not cost the server its `on_close`; a closed server reports nothing.
#[test]
fn a_reporter_that_panics_and_one_that_is_not_called() {
    let mut lp = guarded();
    let log = Log::default();
    for shut_down in [true, false] {
        let server = lp.serve("127.0.0.1:0", Stays(log.clone())).unwrap();
        lp.server(server)
            .report_shutdown(|_, _| std::panic::resume_unwind(Box::new("reporter")))
            .unwrap();
        if shut_down {
            lp.server(server).shutdown(GRACE).unwrap();
            let run = std::panic::AssertUnwindSafe(|| lp.run());
            let payload = std::panic::catch_unwind(run).unwrap_err();
            assert_eq!(payload.downcast_ref(), Some(&"reporter"));
        } else {
            lp.server(server).close().unwrap();
            lp.run().unwrap();
        }
        lp.run().unwrap();
        let gone = lp.server(server).report_shutdown(|_, _| {});
        assert!(gone.is_err());
    }
    assert_eq!(log.lines(), ["closed", "closed"]);
}
