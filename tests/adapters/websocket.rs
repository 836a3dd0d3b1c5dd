//! WebSockets by async-tungstenite, which asks for the traits of futures-io.

use std::io::Read;

use async_tungstenite::tungstenite::protocol::CloseFrame;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::{Bytes, Message};
use async_tungstenite::{accept_async, client_async};
use futures_util::StreamExt;
use tidegate::task::AsyncSocket;

use crate::serving::{beside, served};
use crate::support::*;

/// Sends back what comes, until the client closes.
async fn serve(io: AsyncSocket) {
    let mut socket = accept_async(io).await.unwrap();
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() || message.is_binary() {
            socket.send(message).await.unwrap();
        }
    }
}

#[test]
fn b36_messages_there_and_back() {
    beside(serve, async |io: AsyncSocket| {
        let (mut socket, _) = client_async("ws://tide.test/", io).await.unwrap();
        for n in [0, 1, 125, 126, 65535, 65536, 4 << 20] {
            let sent = Message::Binary(Bytes::from(vec![n as u8; n]));
            socket.send(sent.clone()).await.unwrap();
            assert!(socket.next().await.unwrap().unwrap() == sent, "{n} bytes");
        }
        socket.send(Message::Ping(Bytes::from("high"))).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::Pong(Bytes::from("high")));
        socket.send("tide".into()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("tide"));
        let bye = CloseFrame { code: CloseCode::Normal, reason: "ebb".into() };
        socket.close(Some(bye.clone())).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::Close(Some(bye)));
        assert!(socket.next().await.is_none());
    });
}

/// Messages in both directions at once, over halves that a task each has.
#[test]
fn b36_halves_in_two_tasks() {
    beside(serve, async |io: AsyncSocket| {
        let (socket, _) = client_async("ws://tide.test/", io).await.unwrap();
        let (mut writer, mut reader) = socket.split();
        let sender = tidegate::task::spawn(async move {
            for i in 0..500 {
                writer.send(Message::text(format!("{i}:{}", "x".repeat(i * 20)))).await.unwrap();
            }
            writer
        });
        for i in 0..500 {
            let text = reader.next().await.unwrap().unwrap().into_text().unwrap();
            assert!(text.starts_with(&format!("{i}:")));
        }
        let mut writer = sender.unwrap().await.unwrap();
        writer.close(None).await.unwrap();
    });
}

/// The handshake and a frame as RFC 6455 shows them (1.3, 5.7), byte by byte.
#[test]
fn b36_the_examples_of_the_standard() {
    let (head, frames) = served(serve, |at| {
        let mut s = client(at);
        write_all(
            &s,
            b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
            Sec-WebSocket-Version: 13\r\n\r\n",
        );
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            s.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        // "Hello", masked; then a close without a reason.
        write_all(&s, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
        write_all(&s, b"\x88\x80\x37\xfa\x21\x3d");
        (String::from_utf8(head).unwrap().to_lowercase(), read_to_end(&s))
    });
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
    assert_eq!(frames, b"\x81\x05Hello\x88\x00");
}
