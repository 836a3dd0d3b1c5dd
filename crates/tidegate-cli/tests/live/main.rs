//! `tidegate demo` and `tidegate replay` as a browser sees them: the program runs, and blocking
//! clients talk to it. What they show is `events`, who may ask is `guard`, what a browser draws is
//! `browser`.

mod browser;
mod events;
mod guard;
mod program;
