//! tokio-rustls over sockets of the loop, and the TLS of the loop itself: as server and client of
//! each other they carry the same bytes, and refuse for the same reasons.

#[path = "../tls/authority.rs"]
#[allow(dead_code)]
mod authority;

use std::io;
use std::sync::Arc;

use tidegate::net::{ConnectOptions, ListenOptions};
use tidegate::task::{AsyncListener, BlockOn, connect, spawn};
use tidegate::tls::rustls::pki_types::ServerName;
use tidegate::tls::rustls::{ClientConfig, ServerConfig, crypto};
use tidegate::tls::{TlsClient, TlsServer, TlsVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use self::authority::Authority;
use crate::support::*;

/// Who does TLS on one side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum By {
    /// A filter of the connection.
    Loop,
    /// tokio-rustls, above it.
    Library,
}

const NAME: &str = "tide.example";

fn acceptor(ca: &Authority, version: TlsVersion) -> TlsAcceptor {
    let config: Arc<ServerConfig> =
        TlsServer::builder().identity(ca.leaf(NAME)).versions(&[version]).build_config().unwrap();
    config.into()
}

fn connector(trusted: &Authority) -> TlsConnector {
    let config = ClientConfig::builder_with_provider(crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(trusted.store())
        .with_no_client_auth();
    Arc::new(config).into()
}

async fn echo(mut io: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut buffer = vec![0; 20_000];
    loop {
        let n = io.read(&mut buffer).await?;
        if n == 0 {
            return io.shutdown().await;
        }
        io.write_all(&buffer[..n]).await?;
        io.flush().await?;
    }
}

/// Sends and receives at the same time, and returns what came until the end.
async fn exchange(io: impl AsyncRead + AsyncWrite, sent: &[u8]) -> io::Result<Vec<u8>> {
    let (mut reader, mut writer) = tokio::io::split(io);
    let mut back = Vec::new();
    let there = async {
        writer.write_all(sent).await?;
        writer.shutdown().await
    };
    futures_util::future::try_join(there, reader.read_to_end(&mut back)).await?;
    Ok(back)
}

/// One connection. What the client got back, and how the server's task ended.
async fn meet(
    (server, client): (By, By),
    version: TlsVersion,
    (ca, trusted): (&Authority, &Authority),
    sent: &[u8],
) -> (io::Result<Vec<u8>>, io::Result<()>) {
    let options = ListenOptions::new("127.0.0.1:0");
    let acceptor = acceptor(ca, version);
    let mut listener = AsyncListener::bind(match server {
        By::Loop => {
            let mut tls = TlsServer::builder().identity(ca.leaf(NAME)).versions(&[version]);
            options.filter(tls.build().unwrap())
        }
        By::Library => options,
    })
    .unwrap();
    let at = listener.local_addr().unwrap();
    let serve = spawn(async move {
        match server {
            By::Loop => echo(listener.accept().await?.0).await,
            By::Library => echo(acceptor.accept(listener.accept().await?.0).await?).await,
        }
    });
    let serve = serve.unwrap();
    let got = match client {
        By::Loop => {
            let tls = TlsClient::builder().roots(trusted.roots()).build().unwrap();
            match connect(ConnectOptions::new(at).filter(tls.name(NAME).unwrap())).await {
                Ok(io) => exchange(io, sent).await,
                Err(e) => Err(e.into()),
            }
        }
        By::Library => {
            let name = ServerName::try_from(NAME).unwrap();
            match connector(trusted).connect(name, connect(at).await.unwrap()).await {
                Ok(io) => exchange(io, sent).await,
                Err(e) => Err(e),
            }
        }
    };
    // A filter gates: a connection whose handshake failed is never accepted.
    let ended = match (&got, server) {
        (Err(_), By::Loop) => Ok(()),
        _ => serve.await.unwrap(),
    };
    (got, ended)
}

const SIDES: [(By, By); 4] = [
    (By::Loop, By::Loop),
    (By::Loop, By::Library),
    (By::Library, By::Loop),
    (By::Library, By::Library),
];

#[test]
fn b37_both_carry_the_same_bytes() {
    let sent: Vec<u8> =
        (0..3_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for sides in SIDES {
        for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
            let sent = sent.clone();
            let done = guarded().block_on(async move {
                let ca = Authority::new();
                let (got, ended) = meet(sides, version, (&ca, &ca), &sent).await;
                assert!(got.unwrap() == sent, "{sides:?}, {version:?}");
                ended.unwrap();
            });
            done.unwrap();
        }
    }
}

#[test]
fn b37_both_refuse_an_authority_that_they_do_not_know() {
    for sides in SIDES {
        let done = guarded().block_on(async move {
            let (ca, other) = (Authority::new(), Authority::named("another"));
            let (got, ended) = meet(sides, TlsVersion::V1_3, (&ca, &other), b"tide").await;
            let why = got.unwrap_err().to_string();
            assert!(
                why.contains("UnknownIssuer") || why.contains("unknown issuer"),
                "{sides:?}: {why}"
            );
            if sides.0 == By::Library {
                let why = ended.unwrap_err().to_string();
                assert!(
                    why.contains("UnknownCA") || why.contains("BadCertificate"),
                    "{sides:?}: {why}"
                );
            }
        });
        done.unwrap();
    }
}
