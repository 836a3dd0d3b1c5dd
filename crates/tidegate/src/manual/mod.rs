//! Chapters to read. There is no code here.
#![forbid(unsafe_code)]

pub mod back_pressure;
pub mod endings;
pub mod names;
