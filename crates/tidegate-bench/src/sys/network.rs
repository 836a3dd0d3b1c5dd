//! A loopback of this process alone, if it may have one: all ports are free, nobody else's
//! packets are in the way, and nothing paces them.

use std::fs;
use std::io;
use std::mem;

/// What is set there; what the kernel does not know stays as it is.
const SETTINGS: [(&str, &str); 3] = [
    ("/proc/sys/net/core/somaxconn", "4096"),
    ("/proc/sys/net/ipv4/ip_local_port_range", "1100 65000"),
    // Others pace, or measure the path, and vary from run to run.
    ("/proc/sys/net/ipv4/tcp_congestion_control", "reno"),
];

/// Moves the calling thread, and those that it starts from here on, into a network
/// namespace of their own. It takes root.
pub fn isolate() -> io::Result<()> {
    // SAFETY: no pointers; what is unshared is this thread's network.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err(io::Error::last_os_error());
    }
    loopback_up()?;
    for (path, value) in SETTINGS {
        // They are for calm: where they cannot be set, the report names what is there.
        let _ = fs::write(path, value);
    }
    Ok(())
}

fn loopback_up() -> io::Result<()> {
    let socket = std::net::UdpSocket::bind(("0.0.0.0", 0))?;
    // SAFETY: a request of zeroes is a valid one; its name is ended by them. Its flags are
    // the part of the union that this request reads.
    unsafe {
        use std::os::fd::AsRawFd;
        let mut request: libc::ifreq = mem::zeroed();
        for (at, byte) in request.ifr_name.iter_mut().zip(b"lo") {
            *at = *byte as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
