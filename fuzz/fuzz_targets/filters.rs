//! Any program of calls on a stack of filters that keep, split, are late and leave: nothing is
//! lost, the order stays, and what is kept is counted. The model is `filter/program.rs` of
//! `tidegate-net`.
#![no_main]

libfuzzer_sys::fuzz_target!(|program: &[u8]| tidegate_net::run_filters(program));
