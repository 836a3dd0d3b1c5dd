//! Chapters to read. This module has no code.
//!
//! Read in this order, they follow one connection from the first packet to the last callback:
//!
//! | chapter | answers |
//! |---|---|
//! | [`request_path`] | what happens between `connect` and the last `on_close`, on both sides, and who does it |
//! | [`one_turn`] | in which order callbacks come, and when the loop waits |
//! | [`readiness`] | how an event of the kernel becomes a callback; what happens to bytes that were not read |
//! | [`accept`] | where connections wait before you see them, and which are refused |
//! | [`tuning_accept`] | what budget, backlog and the other options of a listener gain and cost, measured |
//! | [`back_pressure`] | where bytes wait, and how a slow reader stops the writer |
//! | [`endings`] | every way a connection ends, and the callbacks in order |
//! | [`timeouts`] | the four deadlines, and what else is called a time-out |
//! | [`options`] | every option: when it applies, and its default |
//! | [`sharing_state`] | where a value lives that several callbacks need |
//! | [`names`] | names of libuv and Node, and what they are called here |
//!
//! The outputs in the chapters are what the examples print: the tests run the examples and compare.
//! Figures differ from machine to machine; `...` stands for lines left out.
#![forbid(unsafe_code)]

pub mod accept;
pub mod back_pressure;
pub mod endings;
pub mod names;
pub mod one_turn;
pub mod options;
pub mod readiness;
pub mod request_path;
pub mod sharing_state;
pub mod timeouts;
pub mod tuning_accept;
