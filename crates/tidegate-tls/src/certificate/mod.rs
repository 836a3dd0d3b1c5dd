//! What a certificate says of itself: `shown` (names and times), `der` (how it is read). Nothing
//! here verifies anything.
#![forbid(unsafe_code)]

mod der;
pub(crate) mod shown;
