//! Failures from outside: bad addresses, peers that are gone, networks that lose packets. And the
//! text of every error.

mod bad_addresses;
mod error_texts;
mod failed_writes;
mod faulty_networks;
mod no_buffers;
mod panicking_drops;
mod without_a_logger;
