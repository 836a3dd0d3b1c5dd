#![doc = include_str!("../../../README.md")]
#![deny(unsafe_code)]

#[cfg(doc)]
pub mod manual;

pub mod observe;
#[cfg(feature = "prometheus")]
pub mod prometheus;

pub use tidegate_loop::*;
pub use tidegate_net as net;
pub use tidegate_stream as stream;

/// What most programs need: `use tidegate::prelude::*`.
///
/// ```
/// use tidegate::prelude::*;
/// let mut lp = Loop::new()?;
/// let server = lp.listen("127.0.0.1:0", |conn| conn.reject())?;
/// lp.server(server).close()?;
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub mod prelude {
    pub use tidegate_loop::{AsCx, Cx, Loop};
    pub use tidegate_net::{
        Close, ConnectOptions, Flow, Handler, Incoming, ListenOptions, Net, On, Reason, ServerCx,
        ServerHandler, ServerKey, SocketCx, SocketKey,
    };
    pub use tidegate_stream::Streams;
}
