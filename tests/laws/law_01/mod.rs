//! Law 1: no call of the interface runs a callback or drops a user's value.

mod calls;
mod protocols;
