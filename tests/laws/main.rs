//! The laws of ARCHITECTURE.md. Law 9 is a `compile_fail` example at `Cx`.

mod law_01;
mod law_03;
mod law_08;
mod law_10;
mod law_11;

#[path = "../support/mod.rs"]
mod support;
