//! The laws of ARCHITECTURE.md. Law 9 is a `compile_fail` example at `Cx`.

mod law_01;
mod law_02;
mod law_03;
mod law_04;
mod law_05;
mod law_06;
mod law_07;
mod law_08;
mod law_10;
mod law_11;

#[path = "../support/pipe_ends.rs"]
mod pipe_ends;
#[path = "../support/mod.rs"]
mod support;
