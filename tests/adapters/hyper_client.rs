//! hyper 1 as a client of HTTP/1.1: against its own server, against node's, and through the pool of
//! hyper-util, whose bounds are those of many threads.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use tidegate::task::{AsyncSocket, BlockOn, LoopExecutor, LoopTimer, connect, spawn};

use crate::hyper_server::echo;
use crate::judge::Node;
use crate::serving::{beside, on_one_loop};
use crate::support::*;

async fn serve_echo(io: AsyncSocket) {
    let service = hyper::service::service_fn(echo);
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
}

#[test]
fn b35_client_and_server_on_one_loop() {
    beside(serve_echo, async |io: AsyncSocket| {
        let (mut sender, conn) = http1::handshake(io).await.unwrap();
        let conn = spawn(conn).unwrap();
        for n in [0, 1, 1000, 1 << 20] {
            let body = Full::new(Bytes::from(vec![b'x'; n]));
            let request = Request::post("/echo").header("host", "x").body(body).unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.collect().await.unwrap().to_bytes().len(), n);
        }
        drop(sender);
        conn.await.unwrap().unwrap();
    });
}

/// A response that is dropped half-way closes its connection, and the server survives.
#[test]
fn b35_a_response_that_is_not_read() {
    beside(serve_echo, async |io: AsyncSocket| {
        let (mut sender, conn) = http1::handshake(io).await.unwrap();
        let conn = spawn(conn).unwrap();
        let body = Full::new(Bytes::from(vec![b'x'; 1 << 22]));
        let request = Request::post("/echo").header("host", "x").body(body).unwrap();
        let mut response = sender.send_request(request).await.unwrap();
        response.body_mut().frame().await.unwrap().unwrap();
        drop(response);
        drop(sender);
        let _ = conn.await.unwrap();
    });
}

const NODE: &str = "
const server = require('http').createServer((req, res) => {
  if (req.url === '/chunks') { for (let i = 0; i < 1000; i++) res.write('tide ' + i + '\\n'); return res.end(); }
  if (req.url === '/early') { res.writeEarlyHints({ link: '</a>; rel=preload' }); return res.end('late'); }
  if (req.url === '/close') { res.setHeader('connection', 'close'); return res.end('over'); }
  let n = 0;
  req.on('data', d => n += d.length).on('end', () => res.end(req.method + ' ' + n));
}).listen(0, '127.0.0.1', () => console.log(server.address().port));
";

#[test]
fn b35_against_the_server_of_node() {
    let Some(node) = Node::start(NODE) else { return };
    let at = node.at;
    let done = guarded().block_on(async move {
        let (mut sender, conn) = http1::handshake(connect(at).await.unwrap()).await.unwrap();
        let conn = spawn(conn).unwrap();
        let mut ask = async |method: &str, path: &str, n: usize| {
            let request = Request::builder().method(method).uri(path).header("host", "x");
            let request = request.body(Full::new(Bytes::from(vec![7; n]))).unwrap();
            sender.ready().await.unwrap();
            let response = sender.send_request(request).await.unwrap();
            let body = response.collect().await.unwrap().to_bytes();
            String::from_utf8(body.to_vec()).unwrap()
        };
        assert_eq!(ask("GET", "/", 0).await, "GET 0");
        assert_eq!(ask("PUT", "/", 3_000_000).await, "PUT 3000000");
        let lines = ask("GET", "/chunks", 0).await;
        assert!(lines.lines().eq((0..1000).map(|i| format!("tide {i}"))));
        assert_eq!(ask("GET", "/early", 0).await, "late");
        assert_eq!(ask("GET", "/close", 0).await, "over");
        conn.await.unwrap().unwrap();
    });
    done.unwrap();
}

/// What the pool of hyper-util wants: a connection and a future that are `Send`.
#[derive(Clone)]
struct Connector;

struct Pooled(AsyncSocket);

impl Connection for Pooled {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for Pooled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        hyper::rt::Read::poll_read(Pin::new(&mut self.0), cx, buffer)
    }
}

impl hyper::rt::Write for Pooled {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        hyper::rt::Write::poll_write(Pin::new(&mut self.0), cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        hyper::rt::Write::poll_flush(Pin::new(&mut self.0), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        hyper::rt::Write::poll_shutdown(Pin::new(&mut self.0), cx)
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = Pooled;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Pooled>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(async move {
            let at = uri.authority().map(|a| a.to_string()).unwrap_or_default();
            Ok(Pooled(connect(at.as_str()).await?))
        })
    }
}

#[test]
fn b35_the_pool_of_hyper_util() {
    let connections = Rc::new(Cell::new(0));
    let counted = connections.clone();
    let serve = async move |io: AsyncSocket| {
        counted.set(counted.get() + 1);
        serve_echo(io).await;
    };
    on_one_loop(serve, async |at| {
        let client: Client<_, Empty<Bytes>> =
            Client::builder(LoopExecutor).pool_timer(LoopTimer).build(Connector);
        for _ in 0..10 {
            let uri = format!("http://{at}/").parse::<Uri>().unwrap();
            let response = client.get(uri).await.unwrap();
            let body = response.collect().await.unwrap().to_bytes();
            assert_eq!(body, "Try POSTing data to /echo");
        }
    });
    assert_eq!(connections.get(), 1, "connections are kept");
}
