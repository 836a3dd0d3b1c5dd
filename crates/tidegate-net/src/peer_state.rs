//! [`PeerState`]: what a connection knows of its peer.
//!
//! Which readiness bits mean what is in `state/socket.rs`.
#![forbid(unsafe_code)]

/// What a connection knows of its peer: from [`SocketCx::peer_state`](crate::SocketCx::peer_state),
/// and in [`Handler::on_hangup`](crate::Handler::on_hangup).
///
/// ```
/// use tidegate_net::PeerState;
/// assert!(PeerState::Open < PeerState::Ended && PeerState::Ended < PeerState::Gone);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum PeerState {
    /// It may still send.
    Open,
    /// It has ended its side (FIN). It may still read.
    Ended,
    /// Nobody will read what is written: the connection was reset, or is closed. On a Unix domain
    /// socket also: the peer closed its socket. A peer that closes a TCP socket without a reset is
    /// `Ended` at first: its system answers the next bytes with a reset.
    Gone,
}
