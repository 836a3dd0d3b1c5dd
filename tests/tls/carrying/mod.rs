//! Bytes under TLS: order, back-pressure, pauses, pipes, ids of writes, records.

mod flow;
mod piped;
mod records;
