//! Handshakes that go well: versions, protocols, names, certificates, resumption, and who decides
//! when.

mod choosing;
mod handshakes;
mod offloaded;
mod proxied;
mod resumed;
mod upgraded;
