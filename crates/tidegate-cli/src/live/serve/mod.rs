//! The page's server: HTTP on another loop, so that the page goes on while the studied loop
//! blocks.
//!
//! Read `site` first (requests and answers), then `guard` (who may ask), `stream` (server-sent
//! events, bounded for each browser), `frame` (what is sent 20 times a second) and `verdict` (which
//! callback blocked, and who waited).
#![forbid(unsafe_code)]

pub(super) mod frame;
pub(super) mod guard;
pub(super) mod site;
pub(super) mod stream;
pub(super) mod verdict;
