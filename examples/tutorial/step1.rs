//! Step 1 of docs/tutorial: an echo server.

use tidegate::prelude::*;

fn main() -> Result<(), MainError> {
    let at = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:6380".to_owned());
    let mut lp = Loop::new()?;
    let server = lp.listen(at, |conn| {
        conn.accept(
            On::new()
                .data(|s, chunk| {
                    if s.write(chunk) == Flow::Full {
                        s.pause()
                    }
                })
                .drain(|s| s.resume()),
        );
    })?;
    println!("listening on {}", lp.server(server).local_addr()?);
    Ok(lp.run()?)
}
