//! An HTTP server that says hello. `hello [ADDR]`

use tidegate::http::Http;
use tidegate::prelude::*;

fn main() -> Result<(), MainError> {
    let at = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let mut lp = Loop::new()?;
    let server = lp.http_listen(at, |head, x| match (head.method, head.path()) {
        ("GET" | "HEAD", "/") => x.reply(200, "hello\n"),
        _ => x.reply(404, "not found\n"),
    })?;
    lp.server(server).shutdown_on_signals(Duration::from_secs(5))?;
    println!("listening on {}", lp.server(server).local_addr()?);
    Ok(lp.run()?)
}
