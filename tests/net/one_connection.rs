//! A server for one connection, and a handler that logs every callback.

use tidegate::prelude::*;

use crate::support::*;

/// Logs every callback.
pub(crate) fn logged(name: &'static str, log: &Log) -> On {
    let add = |what: &'static str| {
        let log = log.clone();
        move || log.add(format!("{name} {what}"))
    };
    let (connect, end, finish, drain) = (add("connect"), add("end"), add("finish"), add("drain"));
    let (data, close) = (log.clone(), log.clone());
    On::new()
        .connect(move |_| connect())
        .data(move |_, chunk| data.add(format!("{name} data {}", String::from_utf8_lossy(chunk))))
        .drain(move |_| drain())
        .end(move |_| end())
        .finish(move |_| finish())
        .close(move |_, c| close.add(format!("{name} close: {c}")))
}

/// A server for one connection.
pub(crate) fn server(lp: &mut Loop, handler: impl Fn() -> On + 'static) -> std::net::SocketAddr {
    let key = lp
        .listen("127.0.0.1:0", move |mut conn| {
            conn.server(conn.server_key()).close().unwrap();
            conn.accept(handler());
        })
        .unwrap();
    lp.server(key).local_addr().unwrap()
}
