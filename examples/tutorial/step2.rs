//! Step 2 of docs/tutorial: lines.

use tidegate::net::Lines;
use tidegate::prelude::*;

fn main() -> Result<(), MainError> {
    let at = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:6380".to_owned());
    let mut lp = Loop::new()?;
    let server = lp.listen(at, |conn| {
        conn.accept(On::new().framed(Lines::new(1024), |s, line| match line {
            b"PING" => s.write("+PONG\r\n"),
            b"QUIT" => {
                let _ = s.end_with("+OK\r\n");
                Flow::Closed // no more frames
            }
            _ => s.write("-ERR unknown command\r\n"),
        }));
    })?;
    println!("listening on {}", lp.server(server).local_addr()?);
    Ok(lp.run()?)
}
