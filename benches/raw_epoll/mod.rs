//! The floor: an accept loop by hand over epoll, with no runtime at all.
//!
//! Level-triggered; one accept for a wake-up while connections come singly, a
//! batch that doubles up to 64 while they queue. Linux only. All that is unsafe
//! in the benches is here.
#![allow(unsafe_code)]

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::thread::JoinHandleExt;
use std::thread::JoinHandle;
use std::time::Duration;

const MOST: u32 = 64;

fn check(done: i32) -> io::Result<i32> {
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(done) }
}

fn watch(epoll: RawFd, fd: RawFd) -> io::Result<i32> {
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: fd as u64 };
    // SAFETY: both descriptors are open, the event is a valid local.
    check(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &mut event) })
}

/// Takes up to `want` connections and closes them. How many there were.
fn accept(listener: RawFd, want: u32) -> u32 {
    for n in 0..want {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: no address is asked for; the descriptor is open.
        let fd =
            unsafe { libc::accept4(listener, std::ptr::null_mut(), std::ptr::null_mut(), flags) };
        if fd < 0 {
            return n;
        }
        // SAFETY: the descriptor was just made, and nobody else has it.
        unsafe { libc::close(fd) };
    }
    want
}

/// Accepts and closes until the other end of `stop` is dropped.
pub(crate) fn accept_and_close(listener: &TcpListener, stop: &UnixStream) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let (listener, stop) = (listener.as_raw_fd(), stop.as_raw_fd());
    // SAFETY: no pointers.
    let epoll = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
    watch(epoll, listener)?;
    watch(epoll, stop)?;
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
    let mut batch = 1;
    loop {
        // SAFETY: the buffer holds as many events as it is said to.
        let n = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), events.len() as i32, -1) };
        for event in &events[..n.max(0) as usize] {
            if event.u64 == stop as u64 {
                // SAFETY: made above, used by nobody else.
                unsafe { libc::close(epoll) };
                return Ok(());
            }
            let got = accept(listener, batch);
            batch = if got < batch { 1 } else { (batch * 2).min(MOST) };
        }
    }
}

/// CPU time that a running thread has used.
pub(crate) fn cpu<T>(thread: &JoinHandle<T>) -> Duration {
    let mut clock = 0;
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the handle is not joined yet, so the thread's id is valid; both
    // pointers are to locals.
    unsafe {
        if libc::pthread_getcpuclockid(thread.as_pthread_t(), &mut clock) == 0 {
            libc::clock_gettime(clock, &mut t);
        }
    }
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}
