//! HTTP/2 by hyper and h2: each stream is a task of the loop.

use std::convert::Infallible;

use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version, client, server};
use tidegate::task::{AsyncSocket, LoopExecutor, LoopTimer, spawn};

use crate::hyper_server::{echo, hello};
use crate::judge::judged;
use crate::serving::{beside, served};

async fn serve_hello(io: AsyncSocket) {
    let mut builder = server::conn::http2::Builder::new(LoopExecutor);
    let _ = builder.timer(LoopTimer).serve_connection(io, service_fn(hello)).await;
}

async fn serve_echo(io: AsyncSocket) {
    let mut builder = server::conn::http2::Builder::new(LoopExecutor);
    let _ = builder.timer(LoopTimer).serve_connection(io, service_fn(echo)).await;
}

/// Streams side by side on one connection, of which some are larger than a window.
#[test]
fn b34_client_and_server_on_one_loop() {
    beside(serve_echo, async |io: AsyncSocket| {
        let builder = client::conn::http2::Builder::new(LoopExecutor);
        let (sender, conn) = builder.handshake(io).await.unwrap();
        let conn = spawn(conn).unwrap();
        let ask = |n: usize| {
            let mut sender = sender.clone();
            async move {
                let body = Full::new(Bytes::from(vec![b'x'; n]));
                let request = Request::post("http://tide.test/echo").body(body).unwrap();
                let response = sender.send_request(request).await.unwrap();
                assert_eq!(
                    (response.status(), response.version()),
                    (StatusCode::OK, Version::HTTP_2)
                );
                response.collect().await.unwrap().to_bytes().len()
            }
        };
        let sizes: Vec<usize> = (0..40).map(|i| i * i * 2000).collect();
        let lengths = futures_util::future::join_all(sizes.iter().map(|n| ask(*n))).await;
        assert_eq!(lengths, sizes);
        drop(sender);
        conn.await.unwrap().unwrap();
    });
}

/// A service and bodies of one thread, which need no `Send`.
#[test]
fn b34_streams_are_tasks_that_are_not_send() {
    use std::cell::Cell;
    use std::rc::Rc;
    let serve = async |io: AsyncSocket| {
        let seen = Rc::new(Cell::new(0));
        let service = service_fn(move |_: Request<Incoming>| {
            let seen = seen.clone();
            async move {
                seen.set(seen.get() + 1);
                tidegate::task::yield_now().await;
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(seen.get().to_string()))))
            }
        });
        let builder = server::conn::http2::Builder::new(LoopExecutor);
        let _ = builder.serve_connection(io, service).await;
    };
    beside(serve, async |io: AsyncSocket| {
        let builder = client::conn::http2::Builder::new(LoopExecutor);
        let (mut sender, conn) = builder.handshake(io).await.unwrap();
        spawn(conn).unwrap().detach();
        for n in 1..=3 {
            let request = Request::get("http://tide.test/").body(Empty::<Bytes>::new()).unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.collect().await.unwrap().to_bytes(), n.to_string());
        }
    });
}

#[test]
fn b34_judged_by_h2load() {
    let said = served(serve_hello, |at| {
        judged("h2load", &["-n", "5000", "-c", "5", "-m", "20", &format!("http://{at}/")], b"")
    });
    let Some(said) = said else { return };
    let said = String::from_utf8(said).unwrap();
    let all = "requests: 5000 total, 5000 started, 5000 done, 5000 succeeded, 0 failed, 0 errored, 0 timeout";
    assert!(said.contains(all), "{said}");
}

#[test]
fn b34_judged_by_curl() {
    let body = vec![b'a'; 3_000_000];
    let said = served(serve_echo, move |at| {
        let url = format!("http://{at}/echo");
        judged("curl", &["-sS", "--http2-prior-knowledge", "--data-binary", "@-", &url], &body)
    });
    assert!(said.is_none_or(|said| said == vec![b'a'; 3_000_000]));
}

/// A client that goes away in the middle of its streams ends their tasks.
#[test]
fn a_client_that_resets_leaves_no_task() {
    use crate::support::{client, reset, write_all};
    served(serve_hello, |at| {
        let s = client(at);
        // The preface, empty settings, and a head that promises a body.
        write_all(&s, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
        write_all(&s, b"\0\0\x03\x01\x04\0\0\0\x01\x83\x84\x86");
        reset(s);
    });
}
