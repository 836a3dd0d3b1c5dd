//! Bytes through the traits of futures-io and of tokio: the adapters of these two crates, unchanged,
//! over sockets and halves of them.

use std::io::ErrorKind;

use futures_util::io::{self as futures_io, AllowStdIo, BufReader as FuturesReader};
use futures_util::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, TryStreamExt};
use tidegate::task::AsyncSocket;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};

use crate::serving::beside;

/// More than all buffers of the kernel.
const MUCH: usize = 16 << 20;

fn pattern(n: usize) -> Vec<u8> {
    (0..n as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Echoes by the traits of futures-io, and ends with the peer.
async fn futures_echo(io: AsyncSocket) {
    let (mut reader, mut writer) = io.into_split();
    futures_io::copy(&mut reader, &mut writer).await.unwrap();
    AsyncWriteExt::close(&mut writer).await.unwrap();
}

/// The same by tokio's.
async fn tokio_echo(io: AsyncSocket) {
    let (mut reader, mut writer) = io.into_split();
    tokio::io::copy(&mut reader, &mut writer).await.unwrap();
    writer.shutdown().await.unwrap();
}

#[test]
fn b31_futures_io_every_byte_there_and_back() {
    let back = beside(futures_echo, async |io: AsyncSocket| {
        let (mut reader, mut writer) = io.into_split();
        let sent = pattern(MUCH);
        let (mut back, mut input) = (Vec::new(), AllowStdIo::new(&sent[..]));
        let there = async {
            futures_io::copy(&mut input, &mut writer).await?;
            AsyncWriteExt::close(&mut writer).await
        };
        let (there, n) =
            futures_util::future::join(there, AsyncReadExt::read_to_end(&mut reader, &mut back))
                .await;
        there.unwrap();
        assert_eq!(n.unwrap(), MUCH);
        back
    });
    assert!(back == pattern(MUCH));
}

#[test]
fn b31_tokio_io_every_byte_there_and_back() {
    let back = beside(tokio_echo, async |io: AsyncSocket| {
        let (mut reader, mut writer) = tokio::io::split(io);
        let (sent, mut back) = (pattern(MUCH), Vec::new());
        let there = async {
            writer.write_all(&sent).await?;
            writer.shutdown().await
        };
        let (there, n) = futures_util::future::join(
            there,
            tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut back),
        )
        .await;
        there.unwrap();
        assert_eq!(n.unwrap(), MUCH);
        back
    });
    assert!(back == pattern(MUCH));
}

#[test]
fn b31_lines_of_both() {
    let text = "low\nrising\n\nhigh";
    let lines = beside(futures_echo, async |mut io: AsyncSocket| {
        AsyncWriteExt::write_all(&mut io, text.as_bytes()).await.unwrap();
        AsyncWriteExt::close(&mut io).await.unwrap();
        FuturesReader::new(io).lines().try_collect::<Vec<_>>().await.unwrap()
    });
    assert_eq!(lines, text.lines().collect::<Vec<_>>());
    let lines = beside(tokio_echo, async |mut io: AsyncSocket| {
        tokio::io::AsyncWriteExt::write_all(&mut io, text.as_bytes()).await.unwrap();
        io.shutdown().await.unwrap();
        let (mut all, mut lines) = (Vec::new(), tokio::io::BufReader::new(io).lines());
        while let Some(line) = lines.next_line().await.unwrap() {
            all.push(line);
        }
        all
    });
    assert_eq!(lines, text.lines().collect::<Vec<_>>());
}

/// tokio's buffers with and without initialized memory, and smaller than what came.
#[test]
fn tokio_buffers_of_every_kind() {
    beside(tokio_echo, async |mut io: AsyncSocket| {
        let sent = pattern(300);
        tokio::io::AsyncWriteExt::write_all(&mut io, &sent).await.unwrap();
        let mut zeroed = [0; 100];
        tokio::io::AsyncReadExt::read_exact(&mut io, &mut zeroed).await.unwrap();
        assert_eq!(zeroed[..], sent[..100]);
        let mut room = Vec::with_capacity(100);
        while room.len() < 100 {
            let mut limited = tokio::io::AsyncReadExt::take(&mut io, 100 - room.len() as u64);
            limited.read_buf(&mut room).await.unwrap();
        }
        assert_eq!(room[..], sent[100..200]);
        io.shutdown().await.unwrap();
        room.clear();
        tokio::io::AsyncReadExt::read_to_end(&mut io, &mut room).await.unwrap();
        assert_eq!(room[..], sent[200..]);
        assert_eq!(tokio::io::AsyncReadExt::read(&mut io, &mut zeroed).await.unwrap(), 0);
    });
}

/// Several pieces are one call, so that a vectored write is worth it.
#[test]
fn pieces_go_out_together() {
    use std::io::IoSlice;
    beside(futures_echo, async |mut io: AsyncSocket| {
        let pieces = [IoSlice::new(b"ebb"), IoSlice::new(b""), IoSlice::new(b" and flow")];
        assert!(tokio::io::AsyncWrite::is_write_vectored(&io));
        assert_eq!(AsyncWriteExt::write_vectored(&mut io, &pieces).await.unwrap(), 12);
        assert_eq!(tokio::io::AsyncWriteExt::write_vectored(&mut io, &pieces).await.unwrap(), 12);
        AsyncWriteExt::close(&mut io).await.unwrap();
        let mut back = String::new();
        AsyncReadExt::read_to_string(&mut io, &mut back).await.unwrap();
        assert_eq!(back, "ebb and flowebb and flow");
        let late = AsyncWriteExt::write(&mut io, b"x").await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::BrokenPipe);
    });
}
