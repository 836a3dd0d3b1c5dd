//! hyper 1 as a server of HTTP/1.1: the services of its examples `hello`, `echo`, `upgrades` and
//! `single_threaded`, unchanged.

use std::cell::Cell;
use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::header::{HeaderValue, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tidegate::task::{AsyncSocket, LoopTimer, oneshot, spawn, yield_now};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::judge::judged;
use crate::serving::{beside, served};
use crate::support::*;

pub(crate) async fn hello(_: Request<impl Body>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from("Hello World!"))))
}

async fn serve_hello(io: AsyncSocket) {
    let served = http1::Builder::new().timer(LoopTimer).serve_connection(io, service_fn(hello));
    served.await.unwrap();
}

/// A response with a body of known length.
fn answer(s: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        assert_eq!(s.read(&mut byte).unwrap(), 1, "it ended after {head:?}");
        head.push(byte[0]);
    }
    let mut text = String::from_utf8(head).unwrap();
    let length = text.lines().find_map(|l| l.strip_prefix("content-length: ")).unwrap_or("0");
    let mut body = vec![0; length.parse().unwrap()];
    s.read_exact(&mut body).unwrap();
    text.push_str(std::str::from_utf8(&body).unwrap());
    text
}

#[test]
fn b33_hello_again_and_again() {
    served(serve_hello, |at| {
        let mut s = client(at);
        for _ in 0..100 {
            s.write_all(b"GET / HTTP/1.1\r\nhost: tide.test\r\n\r\n").unwrap();
            let answer = answer(&mut s);
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert!(answer.ends_with("\r\n\r\nHello World!"), "{answer}");
        }
        // Sixteen at once, and the end.
        let all = "GET / HTTP/1.1\r\nhost: tide.test\r\n\r\n".repeat(15)
            + "GET / HTTP/1.1\r\nhost: tide.test\r\nconnection: close\r\n\r\n";
        s.write_all(all.as_bytes()).unwrap();
        let answers = String::from_utf8(read_to_end(&s)).unwrap();
        assert_eq!(answers.matches("Hello World!").count(), 16);
    });
}

#[test]
fn b33_hello_judged_by_curl() {
    let said = served(serve_hello, |at| judged("curl", &["-sS", &format!("http://{at}/")], b""));
    assert!(said.is_none_or(|said| said == b"Hello World!"));
}

type Boxed = BoxBody<Bytes, hyper::Error>;

fn empty() -> Boxed {
    Empty::<Bytes>::new().map_err(|never| match never {}).boxed()
}

fn full<T: Into<Bytes>>(chunk: T) -> Boxed {
    Full::new(chunk.into()).map_err(|never| match never {}).boxed()
}

/// The service of hyper's example `echo`.
pub(crate) async fn echo(req: Request<Incoming>) -> Result<Response<Boxed>, hyper::Error> {
    match (req.method(), req.uri().path()) {
        (&Method::GET, "/") => Ok(Response::new(full("Try POSTing data to /echo"))),
        (&Method::POST, "/echo") => Ok(Response::new(req.into_body().boxed())),
        (&Method::POST, "/echo/uppercase") => {
            let frame_stream = req.into_body().map_frame(|frame| {
                let frame = if let Ok(data) = frame.into_data() {
                    data.iter().map(|byte| byte.to_ascii_uppercase()).collect::<Bytes>()
                } else {
                    Bytes::new()
                };
                Frame::data(frame)
            });
            Ok(Response::new(frame_stream.boxed()))
        }
        (&Method::POST, "/echo/reversed") => {
            let upper = req.body().size_hint().upper().unwrap_or(u64::MAX);
            if upper > 1024 * 64 {
                let mut resp = Response::new(full("Body too big"));
                *resp.status_mut() = hyper::StatusCode::PAYLOAD_TOO_LARGE;
                return Ok(resp);
            }
            let whole_body = req.collect().await?.to_bytes();
            let reversed_body = whole_body.iter().rev().cloned().collect::<Vec<u8>>();
            Ok(Response::new(full(reversed_body)))
        }
        _ => {
            let mut not_found = Response::new(empty());
            *not_found.status_mut() = StatusCode::NOT_FOUND;
            Ok(not_found)
        }
    }
}

async fn serve_echo(io: AsyncSocket) {
    // Clients that close before they were answered are no error of the server's.
    let _ = http1::Builder::new().serve_connection(io, service_fn(echo)).await;
}

fn post(at: SocketAddr, path: &str, body: &str) -> String {
    let mut s = client(at);
    let length = body.len();
    write!(s, "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
    answer(&mut s)
}

#[test]
fn b33_echo_in_all_its_ways() {
    served(serve_echo, |at| {
        let reversed = post(at, "/echo/reversed", "tide");
        assert!(reversed.ends_with("\r\n\r\nedit"), "{reversed}");
        let big = format!(
            "POST /echo/reversed HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
            1 << 20
        );
        let mut s = client(at);
        s.write_all(big.as_bytes()).unwrap();
        assert!(answer(&mut s).starts_with("HTTP/1.1 413 "));
        assert!(post(at, "/nowhere", "").starts_with("HTTP/1.1 404 "));
    });
}

/// A body goes through while it comes: the client sends more than the kernel holds, and reads
/// meanwhile.
#[test]
fn b33_echo_streams_large_bodies() {
    const SIZE: usize = 16 << 20;
    let back = served(serve_echo, |at| {
        let s = client(at);
        let mut writer = s.try_clone().unwrap();
        let sender = std::thread::spawn(move || {
            let head = format!(
                "POST /echo/uppercase HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {SIZE}\r\n\r\n"
            );
            writer.write_all(head.as_bytes()).unwrap();
            writer.write_all(&vec![b'x'; SIZE]).unwrap();
        });
        let all = read_to_end(&s);
        sender.join().unwrap();
        all
    });
    assert_eq!(back.iter().filter(|b| **b == b'X').count(), SIZE);
}

#[test]
fn b33_echo_judged_by_curl() {
    let body = vec![b'a'; 5_000_000];
    let said = served(serve_echo, move |at| {
        let url = format!("http://{at}/echo");
        judged("curl", &["-sS", "-T", "-", "-X", "POST", "-H", "Expect:", &url], &body)
    });
    assert!(said.is_none_or(|said| said == vec![b'a'; 5_000_000]));
}

/// The server of hyper's example `upgrades`.
async fn server_upgraded_io(upgraded: Upgraded) -> std::io::Result<()> {
    let mut upgraded = TokioIo::new(upgraded);
    let mut vec = vec![0; 7];
    upgraded.read_exact(&mut vec).await?;
    assert_eq!(vec, b"foo=bar");
    upgraded.write_all(b"bar=foo").await
}

async fn server_upgrade(
    mut req: Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, hyper::Error> {
    let mut res = Response::new(Empty::new());
    if !req.headers().contains_key(UPGRADE) {
        *res.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(res);
    }
    spawn(async move {
        server_upgraded_io(hyper::upgrade::on(&mut req).await.unwrap()).await.unwrap();
    })
    .unwrap()
    .detach();
    *res.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    res.headers_mut().insert(UPGRADE, HeaderValue::from_static("foobar"));
    Ok(res)
}

async fn serve_upgrades(io: AsyncSocket) {
    let conn = http1::Builder::new().serve_connection(io, service_fn(server_upgrade));
    conn.with_upgrades().await.unwrap();
}

/// Both sides of the example, on one loop.
#[test]
fn b33_upgrades() {
    beside(serve_upgrades, async |io: AsyncSocket| {
        let (mut sender, conn) = hyper::client::conn::http1::handshake(io).await.unwrap();
        let conn = spawn(async move { conn.with_upgrades().await.unwrap() }).unwrap();
        let req = Request::builder().uri("/").header(UPGRADE, "foobar");
        let res = sender.send_request(req.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        assert_eq!(res.status(), StatusCode::SWITCHING_PROTOCOLS);
        let mut upgraded = TokioIo::new(hyper::upgrade::on(res).await.unwrap());
        upgraded.write_all(b"foo=bar").await.unwrap();
        let mut back = Vec::new();
        upgraded.read_to_end(&mut back).await.unwrap();
        assert_eq!(back, b"bar=foo");
        conn.await.unwrap();
    });
}

/// What hyper read too much is with the socket that it gives back.
#[test]
fn an_upgraded_socket_comes_back_with_its_bytes() {
    let serve = async |io: AsyncSocket| {
        let upgrade = service_fn(async |mut req: Request<Incoming>| {
            spawn(async move {
                let upgraded = hyper::upgrade::on(&mut req).await.unwrap();
                let parts = upgraded.downcast::<AsyncSocket>().unwrap();
                let mut io = parts.io;
                futures_util::AsyncWriteExt::write_all(&mut io, &parts.read_buf).await.unwrap();
            })
            .unwrap()
            .detach();
            let res = Response::builder().status(101).header(UPGRADE, "tide");
            Ok::<_, Infallible>(res.body(Empty::<Bytes>::new()).unwrap())
        });
        let conn = http1::Builder::new().serve_connection(io, upgrade);
        conn.with_upgrades().await.unwrap();
    };
    let back = served(serve, |at| {
        let s = client(at);
        write_all(
            &s,
            b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: tide\r\n\r\nearly",
        );
        String::from_utf8(read_to_end(&s)).unwrap()
    });
    assert!(back.ends_with("\r\n\r\nearly"), "{back}");
}

/// hyper's `single_threaded`: a service that is not `Send`.
#[test]
fn b33_a_service_of_one_thread() {
    let counter = Rc::new(Cell::new(0));
    let serve = async move |io: AsyncSocket| {
        let counted = service_fn(|_: Request<Incoming>| {
            counter.set(counter.get() + 1);
            let n = counter.get();
            async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(format!("{n}"))))) }
        });
        http1::Builder::new().serve_connection(io, counted).await.unwrap();
    };
    served(serve, |at| {
        for n in 1..=3 {
            let mut s = client(at);
            s.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
            assert!(answer(&mut s).ends_with(&format!("\r\n\r\n{n}")));
        }
    });
}

/// hyper's deadline for a head, on the loop's timers. It moves the same timer for each request.
#[test]
fn b33_the_deadline_of_a_head() {
    const LIMIT: Duration = Duration::from_millis(60);
    let serve = async |io: AsyncSocket| {
        let mut builder = http1::Builder::new();
        builder.timer(LoopTimer).header_read_timeout(LIMIT);
        let ended = builder.serve_connection(io, service_fn(hello)).await;
        assert!(ended.unwrap_err().is_timeout());
    };
    served(serve, |at| {
        let mut s = client(at);
        let mut asked = Instant::now();
        for _ in 0..3 {
            asked = Instant::now();
            s.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
            answer(&mut s);
        }
        // The deadline runs from the answer, which comes after this thread has asked.
        s.write_all(b"GET / HTTP/1.1\r\nhos").unwrap();
        read_to_end(&s);
        assert!(asked.elapsed() >= LIMIT - Duration::from_millis(5), "{:?}", asked.elapsed());
    });
}

/// A server that ends in good order: the request that has begun is answered, and no more.
#[test]
fn b33_graceful_shutdown() {
    let serve = async |io: AsyncSocket| {
        let (began, begun) = oneshot();
        let began = Cell::new(Some(began));
        let service = service_fn(move |req: Request<Incoming>| {
            let sent = began.take().map(|began| began.send(()));
            async move {
                sent.expect("the first request is the last").unwrap();
                yield_now().await;
                hello(req).await
            }
        });
        let mut conn = pin!(http1::Builder::new().serve_connection(io, service));
        match select(begun, conn.as_mut()).await {
            Either::Left((begun, _)) => begun.unwrap(),
            Either::Right(_) => panic!("it ended before"),
        }
        conn.as_mut().graceful_shutdown();
        conn.await.unwrap();
    };
    let all = served(serve, |at| {
        let s = client(at);
        write_all(&s, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n");
        String::from_utf8(read_to_end(&s)).unwrap()
    });
    assert!(all.contains("connection: close") && all.ends_with("Hello World!"), "{all}");
}
