//! The live page: `tidegate demo` shows a loop at work in a browser, `tidegate replay` a trace file.
//!
//! ```text
//!  studied (a loop, an observer)      page (HTTP, server-sent events)      browser
//!    observer -> ring of turns -------> 20 frames a second --------------> page.html
//!    AcceptGauge --------------------->   (also while the loop blocks)
//!    Remote, switch <------------------ buttons <-------------------------
//!  clients (a loop): the presets
//! ```
//! `model/` is plain data: turns, messages, files. `loops/` has the loop that is studied and its
//! clients, `serve/` the page's server. `demo` and `replay` are the subcommands.
#![forbid(unsafe_code)]

mod browser;
pub(crate) mod demo;
mod loops;
mod model;
pub(crate) mod replay;
mod serve;
