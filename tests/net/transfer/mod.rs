//! Bytes on their way through a connection: reads, what is given back, writes and back-pressure,
//! filters, the limits on what is queued, and where the bytes are.

mod back_pressure;
mod crowd;
mod fast_path;
mod filter;
mod kernel_queues;
mod limits;
mod reads;
mod unread;
mod writes;
