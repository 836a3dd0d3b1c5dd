//! Plain data of HTTP messages, for the codec and for all above it.
//!
//! Read `version` and `status` (what a head begins with), `syntax` (which bytes may stand where),
//! `limits` (how large a message may be), `refusal` (why a message is not accepted, and with which status), `encode_error` (why one is
//! not written). How messages are read and written is in `codec/`.
#![forbid(unsafe_code)]

pub(crate) mod encode_error;
pub(crate) mod limits;
pub(crate) mod refusal;
pub(crate) mod status;
pub(crate) mod syntax;
pub(crate) mod version;
