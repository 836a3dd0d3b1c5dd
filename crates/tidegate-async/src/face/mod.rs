//! What users call where there is no task: `Async`, on whatever lends a context, and `BlockOn`, on a
//! loop. And what code in a task calls for the loop: `with` and `spawn`.
#![forbid(unsafe_code)]

pub(crate) mod context;
pub(crate) mod here;
