//! libuv, where it was built: servers, and measured pieces of work, which return
//! nanoseconds.

use std::ffi::{CStr, CString, c_char, c_int};
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::net::UnixStream;
use std::sync::Once;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

unsafe extern "C" {
    fn tb_version() -> *const c_char;
    fn tb_turns(n: u64) -> u64;
    fn tb_idle_turns(n: u64) -> u64;
    fn tb_timers(n: u64, delay: *const u32, order: *const u32, fire: c_int, out: *mut u64);
    fn tb_idle_timers(n: u64, same: u32, live: u32, out: *mut u64);
    fn tb_wakes(n: u64) -> u64;
    fn tb_posts(n: u64, threads: c_int, round_trips: c_int) -> u64;
    fn tb_jobs(n: u64) -> u64;
    fn tb_serve(options: *const Options) -> c_int;
    fn tb_named(times: u64, port: *const c_char) -> u64;
    fn tb_count_allocations();
}

/// Its version.
pub fn version() -> String {
    // SAFETY: a static string of the library.
    unsafe { CStr::from_ptr(tb_version()) }.to_string_lossy().into_owned()
}

/// Turns with nothing due.
pub fn turns(n: u64) -> u64 {
    // SAFETY: no pointers; the loop lives inside the call.
    unsafe { tb_turns(n) }
}

/// Turns of one run with an idle handle.
pub fn idle_turns(n: u64) -> u64 {
    // SAFETY: as above.
    unsafe { tb_idle_turns(n) }
}

/// Starts timers with these delays in ms; then fires them all, or stops them in this
/// order. Nanoseconds for starting, and for the rest.
pub fn timers(delay: &[u32], order: &[u32], fire: bool) -> [u64; 2] {
    assert_eq!(delay.len(), order.len());
    let mut out = [0; 2];
    let n = delay.len() as u64;
    // SAFETY: both slices have `n` elements, the indices of `order` are below `n` (it is
    // a permutation), `out` has two.
    unsafe { tb_timers(n, delay.as_ptr(), order.as_ptr(), c_int::from(fire), out.as_mut_ptr()) };
    out
}

/// Starts `n` timers whose delays rise after each `same`, twice, and restarts `live` timers as
/// often. Nanoseconds for the three.
pub fn idle_timers(n: u32, same: u32, live: u32) -> [u64; 3] {
    assert!(same > 0 && live > 0);
    let mut out = [0; 3];
    // SAFETY: `out` has three elements.
    unsafe { tb_idle_timers(n.into(), same, live, out.as_mut_ptr()) };
    out
}

/// Wake-ups from another thread.
pub fn wakes(n: u64) -> u64 {
    // SAFETY: no pointers.
    unsafe { tb_wakes(n) }
}

/// Posts from up to 16 threads.
pub fn posts(n: u64, threads: u32) -> u64 {
    // SAFETY: no pointers; the array of threads has 16 places.
    unsafe { tb_posts(n, threads.clamp(1, 16) as c_int, 0) }
}

/// Round trips of one thread.
pub fn round_trips(n: u64) -> u64 {
    // SAFETY: no pointers.
    unsafe { tb_posts(n, 1, 1) }
}

/// Round trips through the pool.
pub fn jobs(n: u64) -> u64 {
    // SAFETY: no pointers.
    unsafe { tb_jobs(n) }
}

/// The options of a server, as `libuv_server.c` has them.
#[repr(C)]
struct Options {
    listener: c_int,
    control: c_int,
    mode: c_int,
    backlog: c_int,
    udp: c_int,
    messages: u32,
    work: u64,
    stamps: *mut u64,
    stamps_len: u64,
    stamps_used: *mut u64,
    received: *mut u64,
    many: c_int,
}

#[unsafe(no_mangle)]
extern "C" fn tb_count(bytes: i64) {
    super::allocator::add(bytes);
}

#[unsafe(no_mangle)]
extern "C" fn tb_pin_client() {
    super::cores::pin(super::cores::Core::Client);
}

/// Lets libuv's allocations be counted. What came before is not.
pub fn count_allocations() {
    static ONCE: Once = Once::new();
    // SAFETY: no pointers; the functions are those of the C library beside a count, so that
    // memory from before can be given to them.
    ONCE.call_once(|| unsafe { tb_count_allocations() });
}

/// What a server does, in the numbers of `libuv_server.c`.
pub(crate) struct Job<'a> {
    /// One of its modes.
    pub mode: c_int,
    /// Its backlog.
    pub backlog: c_int,
    /// How many messages it writes in its batch mode.
    pub messages: u32,
    /// What each turn computes besides.
    pub work: Duration,
    /// Where it notes its times, and how many of these places are used.
    pub stamps: Option<(&'a [AtomicU64], &'a AtomicU64)>,
    /// Where it counts the datagrams of a flood.
    pub received: &'a AtomicU64,
    /// Whether one call receives many datagrams.
    pub many: bool,
}

/// Serves until the other end of `control` is gone.
pub(crate) fn serve(
    listener: impl IntoRawFd,
    udp: Option<UdpSocket>,
    control: &UnixStream,
    job: &Job<'_>,
) {
    let none = (std::ptr::null_mut(), 0, std::ptr::null_mut());
    let (stamps, stamps_len, stamps_used) = job.stamps.map_or(none, |(times, used)| {
        (times.as_ptr().cast_mut().cast(), times.len() as u64, used.as_ptr())
    });
    let options = Options {
        listener: listener.into_raw_fd(),
        control: control.as_raw_fd(),
        mode: job.mode,
        backlog: job.backlog,
        udp: udp.map_or(-1, IntoRawFd::into_raw_fd),
        messages: job.messages,
        work: job.work.as_nanos() as u64,
        stamps,
        stamps_len,
        stamps_used,
        received: job.received.as_ptr(),
        many: job.many.into(),
    };
    // SAFETY: the descriptors are open, and those that serve are libuv's to close; the stamps
    // outlive the call, may change behind a shared reference (they are atomics), and nobody
    // else writes them meanwhile.
    let failed = unsafe { tb_serve(&options) };
    assert_eq!(failed, 0, "libuv cannot serve");
}

/// Connects to localhost by its name, so many times.
pub fn named(times: u64, port: u16) -> u64 {
    let port = CString::new(port.to_string()).unwrap_or_default();
    // SAFETY: a string that outlives the call.
    unsafe { tb_named(times, port.as_ptr()) }
}
