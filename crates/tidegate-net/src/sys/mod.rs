//! What differs between the systems. Each file provides:
//!
//! - `SEND_FLAGS`: flags that keep a write to a dead peer from raising a signal;
//! - `reuse_port`: `SO_REUSEPORT`, or an error where there is none;
//! - `is_out_of_descriptors`: whether an accept failed for want of descriptors
//!   or memory;
//! - `code_name`: the system's name of an error number.
#![forbid(unsafe_code)]

#[cfg(unix)]
#[path = "unix.rs"]
mod imp;

#[cfg(not(unix))]
#[path = "other.rs"]
mod imp;

use std::io;

pub(crate) use imp::{SEND_FLAGS, code_name, is_out_of_descriptors, reuse_address, reuse_port};

/// The system's words for an error, without its number.
pub(crate) fn description(e: &io::Error) -> String {
    let text = e.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}
