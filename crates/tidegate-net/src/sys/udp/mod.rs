//! UDP, as far as the systems differ. A leaf, as all of `sys/`.
//!
//! `linux.rs` receives and sends many datagrams in one call, splits and joins equal ones (GRO and
//! GSO), and reads the error queue and the kernel's counters; all `unsafe` code of UDP is there.
//! `other.rs` is for systems where one call moves one datagram. `control.rs` reads and writes
//! control messages: plain bytes, no system call. `facts.rs` has the types.

#[cfg(target_os = "linux")]
mod control;
mod facts;
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
#[path = "linux.rs"]
mod imp;
#[cfg(not(target_os = "linux"))]
#[path = "other.rs"]
mod imp;
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
mod linux_options;

pub use facts::UdpQueues;
pub(crate) use facts::{Beside, Extras, Outgoing, Refusal};
pub(crate) use imp::{
    IS_CONNECTED, NO_DESTINATION, SEGMENT_MOST, SLOTS, Slots, TOO_BIG, UdpDuplicate, refusal, send,
    send_many,
};
#[cfg(not(target_os = "linux"))]
pub(crate) use imp::{
    disconnect, duplicate_udp, extras_of, join_source_v6, leave_source_v6, next_soft_error,
    path_mtu, set_extras, udp_queues,
};
#[cfg(target_os = "linux")]
pub(crate) use linux_options::{
    disconnect, duplicate_udp, extras_of, join_source_v6, leave_source_v6, next_soft_error,
    path_mtu, set_extras, udp_queues,
};

/// What an ICMP message makes of a socket; on Windows, of the next receive.
pub(crate) fn is_of_network(e: &std::io::Error) -> bool {
    use std::io::ErrorKind::*;
    matches!(
        e.kind(),
        ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | NetworkUnreachable
            | NetworkDown
            | PermissionDenied
            | TimedOut
    ) || imp::is_icmp(e)
}

/// For `fuzz/`: reads any bytes as control messages.
#[cfg(fuzzing)]
pub fn read_control(bytes: &[u8]) {
    #[cfg(target_os = "linux")]
    assert_ne!(control::parse(bytes).segment, Some(0));
    let _ = bytes;
}
