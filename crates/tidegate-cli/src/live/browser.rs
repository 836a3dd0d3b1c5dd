//! Opens an address in the user's browser.
#![forbid(unsafe_code)]

use std::process::{Command, Stdio};

/// Tries to; whether a program was started.
pub(super) fn open(url: &str) -> bool {
    let mut command = match std::env::consts::OS {
        "macos" => Command::new("open"),
        "windows" => {
            let mut explorer = Command::new("rundll32");
            explorer.arg("url.dll,FileProtocolHandler");
            explorer
        }
        _ => Command::new("xdg-open"),
    };
    let command = command.arg(url).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::null()).spawn().is_ok()
}
