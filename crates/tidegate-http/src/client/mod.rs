//! The client's side, as definitions: what users write and what they get.
//!
//! Read `origin` and `request` (what is asked, of whom), `options` (the agent that keeps the
//! connections), `callbacks` and `on_response` (what comes back), `error`, `key`, `event`. What is
//! done with them is in `requests/`.
#![forbid(unsafe_code)]

pub(crate) mod callbacks;
pub(crate) mod error;
pub(crate) mod event;
pub(crate) mod key;
pub(crate) mod on_response;
pub(crate) mod options;
pub(crate) mod origin;
pub(crate) mod request;
