//! Any bytes beside a datagram: reading them neither panics nor says nonsense.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidegate_net::read_control(bytes));
