//! The chapters of `docs/manual/`, for rustdoc alone: this file has no code. The links of a chapter
//! lead to files where its folder is browsed. `links.md` stands before each chapter here, so that
//! the same links lead to the documentation: the first definition of a link counts.
#![forbid(unsafe_code)]

macro_rules! chapters {
    ($($(#[$only:meta])? $name:ident)*) => {$(
        $(#[$only])?
        #[doc = include_str!("links.md")]
        #[doc = include_str!(concat!("../../../docs/manual/", stringify!($name), ".md"))]
        pub mod $name {}
    )*};
}

chapters! {
    try_it
    request_path
    one_turn
    readiness
    accept
    tuning_accept
    back_pressure
    endings
    timeouts
    datagrams
    options
    #[cfg(feature = "tls")]
    tls
    sharing_state
    long_lived_state
    errors
    from_node
    from_libuv
    from_tokio
    filters
    protocols
    #[cfg(feature = "http")]
    http
    #[cfg(feature = "http")]
    http_timeouts
    #[cfg(feature = "http")]
    http_bodies
    #[cfg(feature = "http")]
    http_client
    #[cfg(feature = "async")]
    futures
    #[cfg(all(feature = "hyper", feature = "tokio"))]
    other_crates
    #[cfg(all(feature = "otlp", feature = "tracing"))]
    production
    other_systems
    names
}
