//! The keys of users' streams, and the contexts that their callbacks are given.
//!
//! Definitions only: the methods stand in `run/readable.rs` and `run/writable.rs`.
#![forbid(unsafe_code)]

use tidegate_loop::{AsCx, Cx, Key};

/// A key, and the context of the stream that it names: the same for both kinds of streams.
macro_rules! context {
    ($(#[$key_doc:meta])* key $Key:ident; $(#[$doc:meta])* context $Context:ident;) => {
        $(#[$key_doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $Key(pub(crate) Key);

        impl From<$Key> for Key {
            fn from(k: $Key) -> Key {
                k.0
            }
        }

        $(#[$doc])*
        pub struct $Context<'a> {
            pub(crate) cx: Cx<'a>,
            pub(crate) key: $Key,
        }

        impl<'a> $Context<'a> {
            pub(crate) fn new(cx: Cx<'a>, key: $Key) -> $Context<'a> {
                $Context { cx, key }
            }

            /// The stream's key, to be kept.
            pub fn key(&self) -> $Key {
                self.key
            }
        }

        impl AsCx for $Context<'_> {
            fn cx(&mut self) -> Cx<'_> {
                self.cx.cx()
            }
        }
    };
}

context! {
    /// Names a readable stream.
    ///
    /// ```
    /// assert_eq!(size_of::<Option<tidegate_stream::ReadableKey>>(), 8);
    /// ```
    key ReadableKey;

    /// A readable stream. For the loop call [`cx`](AsCx::cx). If the stream is closed, every method
    /// does nothing, and a push returns [`Flow::Closed`](crate::Flow::Closed).
    ///
    /// ```
    /// use tidegate_stream::ReadableCx;
    /// fn take_lines_of_80(r: &mut ReadableCx<'_>) {
    ///     while let Some(line) = r.read(80) {
    ///         println!("{line:?}");
    ///     }
    /// }
    /// # let _ = take_lines_of_80;
    /// ```
    context ReadableCx;
}

context! {
    /// Names a writable stream.
    ///
    /// ```
    /// assert_eq!(size_of::<Option<tidegate_stream::WritableKey>>(), 8);
    /// ```
    key WritableKey;

    /// A writable stream. For the loop call [`cx`](AsCx::cx). If the stream is closed, every method
    /// does nothing, and a write returns [`Flow::Closed`](crate::Flow::Closed).
    ///
    /// ```
    /// use tidegate_stream::{Flow, WritableCx};
    /// fn fill(w: &mut WritableCx<'_>) {
    ///     while w.write("tide") == Flow::Ready {}
    /// }
    /// # let _ = fill;
    /// ```
    context WritableCx;
}
