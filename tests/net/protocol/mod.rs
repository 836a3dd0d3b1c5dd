//! Layers above connections: a protocol of frames with piped bodies (`framed.rs`, which is no
//! test), pull mode (plain, with filters, with connections that are lent), the hand-over of a
//! connection with bytes that came already, what a protocol is called for and in which order, and
//! ends that drop what the peer still sends.

mod calls;
mod drained;
mod framed;
mod frames;
mod gathered;
mod handover;
mod lent;
mod pull;
mod pull_filtered;
