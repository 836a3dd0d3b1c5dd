//! Connections that we make or adopt: lookups of names, attempts beside each other, what is
//! written before the connection is made, and giving up.

mod adopt;
mod back_off;
mod connect;
mod early_writes;
mod lookup;
mod race;
