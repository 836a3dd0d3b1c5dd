//! What a loop keeps of clients: who owns what. Which request gets which connection is decided by the
//! machine of pools in the net crate; what is done with it is in `requests/`.
#![forbid(unsafe_code)]

pub(crate) mod state;
