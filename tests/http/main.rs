//! HTTP/1.1. The codec alone is in `codec/`.

mod codec;
