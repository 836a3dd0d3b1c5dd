//! The tools of others as the other side: openssl, curl, gnutls, Python, Node. A tool that is not
//! installed is skipped, and the test prints why.

mod clients;
mod servers;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::authority::Authority;

/// A folder for this test alone, with the PEM files that tools want.
pub(crate) struct Files(PathBuf);

impl Files {
    pub(crate) fn new(ca: &Authority) -> Files {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("tidegate-tls-{}-{n}", std::process::id());
        let files = Files(std::env::temp_dir().join(name));
        std::fs::create_dir_all(&files.0).unwrap();
        let (cert, key) = ca.leaf_pem("tide.example");
        std::fs::write(files.path("ca.pem"), ca.pem()).unwrap();
        std::fs::write(files.path("cert.pem"), cert).unwrap();
        std::fs::write(files.path("key.pem"), key).unwrap();
        files
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether a tool runs. If not, says so.
pub(crate) fn has(tool: &str, version: &str) -> bool {
    let runs = Command::new(tool).arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let runs = runs.is_ok_and(|status| status.success());
    if !runs {
        eprintln!("skipped: {tool} is not installed");
    }
    runs
}

/// Runs a tool with these bytes as its input, for at most 20 s.
pub(crate) fn run(dir: &Path, tool: &str, args: &[String], input: &[u8]) -> Output {
    let mut command = Command::new("timeout");
    command.arg("20").arg(tool).args(args).current_dir(dir);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().unwrap()
}

pub(crate) fn args(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
