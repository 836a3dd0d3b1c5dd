//! hyper's server: tokio's `current_thread` runtime, a task for each connection.
#![forbid(unsafe_code)]

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

use super::BODY;

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match request.uri().path() {
        "/hello" => (StatusCode::OK, BODY),
        _ => (StatusCode::NOT_FOUND, ""),
    };
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

pub(super) fn serve(listener: std::net::TcpListener) {
    let rt = Builder::new_current_thread().enable_io().build().expect("a runtime");
    rt.block_on(async {
        let listener = TcpListener::from_std(listener).expect("a listener");
        loop {
            let Ok((s, _)) = listener.accept().await else { continue };
            tokio::spawn(async move {
                let mut http = http1::Builder::new();
                let served = http.pipeline_flush(true);
                let _ = served.serve_connection(TokioIo::new(s), service_fn(answer)).await;
            });
        }
    });
}
