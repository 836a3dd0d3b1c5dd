//! Chapters to read. There is no code here.
//!
//! In this order they follow one connection, from the first packet to the last callback:
//!
//! | chapter | answers |
//! |---|---|
//! | [`request_path`] | what happens between `connect` and the last `on_close`, on both sides, and who does it |
//! | [`one_turn`] | in which order callbacks come, and when the loop waits |
//! | [`readiness`] | how what the kernel says becomes a callback; what happens to what was not read |
//! | [`accept`] | where connections wait before you see them, and who is refused |
//! | [`tuning_accept`] | what budget, backlog and the other options of a listener trade, measured |
//! | [`back_pressure`] | where bytes wait, and who stops whom |
//! | [`endings`] | every way a connection ends, and what is told, in order |
//! | [`timeouts`] | the four deadlines, and what else is called a time-out |
//! | [`options`] | every option: when it applies, and what it is without you |
//! | [`sharing_state`] | where a value lives that several callbacks need |
//! | [`names`] | names of libuv and Node, and what they are called here |
//!
//! Outputs in the chapters are what the examples print: the suite runs them and compares.
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
