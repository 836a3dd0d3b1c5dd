//! Network namespaces for tests: hosts of their own, without leaving this process.
#![allow(dead_code, unreachable_pub)]

use std::fs::File;
use std::process::Command;

/// The two system calls for them.
#[cfg(target_os = "linux")]
mod calls {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;

    pub fn number(file: &File) -> i32 {
        file.as_raw_fd()
    }

    #[allow(unsafe_code)]
    pub fn unshare() -> io::Result<()> {
        // SAFETY: it moves this thread alone into a new network namespace.
        match unsafe { libc::unshare(libc::CLONE_NEWNET) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    #[allow(unsafe_code)]
    pub fn enter(file: &File) -> io::Result<()> {
        // SAFETY: the descriptor is open, `file` proves it.
        match unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Other systems have none: nothing is ever made.
#[cfg(not(target_os = "linux"))]
mod calls {
    use std::fs::File;
    use std::io;

    pub fn number(_: &File) -> i32 {
        -1
    }

    pub fn unshare() -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn enter(_: &File) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A network of its own, with its loopback up. Gone with its last handle.
pub struct Netns(File);

/// Runs `ip` or `nft` in the namespace of this thread.
pub fn run(command: &str) -> Result<(), String> {
    let mut words = command.split_whitespace();
    let program = words.next().unwrap_or_default();
    let done = Command::new(program).args(words).output();
    match done {
        Ok(o) if o.status.success() => Ok(()),
        Ok(o) => Err(format!("{command}: {}", String::from_utf8_lossy(&o.stderr).trim())),
        Err(e) => Err(format!("{program}: {e}")),
    }
}

impl Netns {
    /// A new one; the reason if that is not permitted here.
    pub fn new() -> Result<Netns, String> {
        let made = std::thread::spawn(|| {
            // The thread ends here.
            calls::unshare().map_err(|e| format!("unshare: {e}"))?;
            run("ip link set lo up")?;
            File::open("/proc/thread-self/ns/net").map_err(|e| e.to_string())
        });
        made.join().map_err(|_| "the thread panicked".to_owned())?.map(Netns)
    }

    /// Runs `f` on a thread inside; its sockets stay there.
    pub fn inside<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                calls::enter(&self.0).unwrap();
                f()
            });
            inside.join().unwrap_or_else(|e| std::panic::resume_unwind(e))
        })
    }

    /// The name by which `ip` finds it while this process runs.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), calls::number(&self.0))
    }
}

/// Two hosts with a cable: 10.9.0.1 and fd09::1 here, 10.9.0.2 and fd09::2 there.
pub fn pair() -> Result<(Netns, Netns), String> {
    let (here, there) = (Netns::new()?, Netns::new()?);
    let path = there.path();
    here.inside(|| {
        run(&format!("ip link add near type veth peer name far netns {path}"))?;
        run("ip addr add 10.9.0.1/24 dev near")?;
        run("ip link set near up")?;
        run("ip -6 addr add fd09::1/64 dev near nodad")
    })?;
    there.inside(|| {
        run("ip addr add 10.9.0.2/24 dev far")?;
        run("ip link set far up")?;
        run("ip -6 addr add fd09::2/64 dev far nodad")
    })?;
    Ok((here, there))
}
