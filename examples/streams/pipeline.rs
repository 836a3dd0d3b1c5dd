//! A file goes through a transform into a connection whose peer is slow. The memory stays
//! bounded, however large the file is.
//!
//! ```text
//! cargo run --release --example pipeline [FILE]     # without FILE: 64 MiB that it makes itself
//! ```
//! The file is read on the loop's thread pool, one block at a time, and only when the stream wants
//! more. It ends by itself.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::exit;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tidegate::prelude::*;
use tidegate::stream::{BoxError, ReadableCx, ReadableOptions, Source, Transform};

/// One block of the file.
const BLOCK: usize = 64 * 1024;
/// The peer reads this many bytes, and then nothing for a while.
const GULP: u64 = 16 << 20;
const STALL: Duration = Duration::from_millis(50);
/// The most that may wait in our memory: the file's stream up to its mark and one block, and
/// what the kernel did not take of one more.
const BOUND: usize = 3 * BLOCK;

/// Reads a block when it is asked, on another thread.
struct FileSource(Arc<File>);

impl Source for FileSource {
    fn read(&mut self, r: &mut ReadableCx<'_>) -> Result<(), BoxError> {
        let (file, key) = (self.0.clone(), r.key());
        let block = move || {
            let mut block = vec![0; BLOCK];
            let n = (&*file).read(&mut block)?;
            block.truncate(n);
            io::Result::Ok(block)
        };
        let done = move |cx: &mut Cx<'_>, read: Result<io::Result<Vec<u8>>, _>| {
            let mut r = cx.readable(key);
            match read {
                Ok(Ok(block)) if block.is_empty() => r.push_end(),
                // The stream asks again when there is room, so the result may be ignored.
                Ok(Ok(block)) => {
                    let _ = r.push(block);
                }
                Ok(Err(e)) => r.fail(e),
                Err(e) => r.fail(e),
            }
        };
        r.work(block, done).map_err(|e| e.to_string())?;
        Ok(())
    }
}

/// Letters to upper case; the size does not change.
struct Upper;

impl Transform for Upper {
    fn transform(
        &mut self,
        _: &mut Cx<'_>,
        chunk: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), BoxError> {
        out.extend_from_slice(chunk);
        out.make_ascii_uppercase();
        Ok(())
    }
}

/// The peer: reads, pauses, and counts.
fn slow_peer(read: Rc<Cell<u64>>) -> On {
    let mut gulp = 0;
    On::new().data(move |s, chunk| {
        assert!(!chunk.iter().any(u8::is_ascii_lowercase), "it came through the transform");
        read.set(read.get() + chunk.len() as u64);
        gulp += chunk.len() as u64;
        if gulp >= GULP {
            gulp = 0;
            s.pause();
            let key = s.key();
            s.after(STALL, move |cx| cx.socket(key).resume());
        }
    })
}

/// 64 MiB of text.
fn make(path: &std::path::Path) -> io::Result<()> {
    let line = b"the tide comes in, the gate opens; the tide goes out, the gate closes\n";
    let block: Vec<u8> = line.iter().copied().cycle().take(1 << 20).collect();
    let mut file = File::create(path)?;
    (0..64).try_for_each(|_| file.write_all(&block))
}

/// A file, and its size. A directory can be opened, too, but not read.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = File::open(path)?;
    let about = file.metadata()?;
    if about.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok((file, about.len()))
}

const USAGE: &str = "usage: pipeline [FILE]";

fn main() -> io::Result<()> {
    if std::env::args().any(|a| a == "--help") {
        println!("{USAGE}");
        return Ok(());
    }
    env_logger::init();
    let given = std::env::args().nth(1);
    let made = std::env::temp_dir().join(format!("tidegate-pipeline-{}", std::process::id()));
    let path = match &given {
        Some(path) => path.into(),
        None => {
            make(&made)?;
            made.clone()
        }
    };
    let (file, size) = open(&path).unwrap_or_else(|e| {
        eprintln!("{}: {e}\n{USAGE}", path.display());
        exit(1)
    });

    let mut lp = Loop::new()?;
    let most = Rc::new(Cell::new(0));
    let m = most.clone();
    let mut file = Some(file);
    let server = lp.listen("127.0.0.1:0", move |mut conn| {
        let _ = conn.server(conn.server_key()).close();
        let Some(file) = file.take() else { return };
        let s = conn.accept(On::new());
        let to = s.key();
        let mut s = s;
        let opened = s.open_readable(ReadableOptions::new(), FileSource(Arc::new(file)), ());
        let Ok(from) = opened else { return s.destroy() };
        let m = m.clone();
        let watch = s.cx().check(move |cx, _| {
            let held = cx.readable(from).buffered() + cx.socket(to).memory_held();
            m.set(m.get().max(held));
        });
        let done = move |cx: &mut Cx<'_>, result: Result<(), tidegate::stream::PipeError>| {
            match result {
                Ok(()) => println!("the pipeline is done"),
                Err(e) => println!("the pipeline broke: {e}"),
            }
            let _ = cx.close(watch);
        };
        if let Err(e) = s.pipeline(from, vec![Box::new(Upper)], to, done) {
            eprintln!("{e}");
        }
    });
    let server = server.map_err(io::Error::from)?;
    let at = lp.server(server).local_addr()?;
    let read = Rc::new(Cell::new(0));
    lp.connect(at, slow_peer(read.clone()));
    lp.run()?;
    if given.is_none() {
        std::fs::remove_file(&made)?;
    }

    println!("file   {size:>10} bytes");
    println!("peer   {:>10} bytes, with a rest of {STALL:?} after every {GULP}", read.get());
    println!("memory {:>10} bytes at most waited with us; the bound is {BOUND}", most.get());
    if read.get() != size || most.get() > BOUND {
        eprintln!("the figures are not what this example promises");
        exit(1)
    }
    Ok(())
}
