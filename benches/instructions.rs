//! Instructions in user space, counted by valgrind. Other programs do not change this number.
//!
//! ```text
//! cargo install gungraun-runner --version 0.18.2     # once; and valgrind
//! cargo bench -p tidegate-bench --bench instructions
//! ```
//! Each bench counts 256 operations, which were prepared before. For the figures of one
//! operation, and to see which of them grew: `cargo run --release -p tidegate-bench -- counts`.

#[cfg(epoll)]
mod counted {
    use gungraun::{LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
    use tidegate_bench::counted::{Operation, warm};

    fn prepared(name: &str) -> Box<dyn Operation> {
        warm(name).expect("loopback works")
    }

    // Given back, so that its end is not counted.
    #[library_benchmark(setup = prepared)]
    #[bench::turn("turn")]
    #[bench::dispatch("dispatch")]
    #[bench::timer("timer")]
    #[bench::write_queue("write_queue")]
    #[bench::accept_and_close("accept_and_close")]
    #[bench::accept_keep_end("accept_keep_end")]
    #[bench::echo("echo")]
    #[bench::echo_late_layer("echo_late_layer")]
    #[bench::echo_alone("echo_alone")]
    #[bench::echo_async("echo_async")]
    #[bench::echo_async_alone("echo_async_alone")]
    #[bench::echo_idle("echo_idle")]
    #[bench::echo_idle_alone("echo_idle_alone")]
    #[bench::http_get("http_get")]
    #[bench::http_get_pipelined("http_get_pipelined")]
    fn operations(mut operation: Box<dyn Operation>) -> Box<dyn Operation> {
        operation.run();
        operation
    }

    library_benchmark_group!(name = instructions; benchmarks = operations);
    main!(
        config = LibraryBenchmarkConfig::default();
        library_benchmark_groups = instructions
    );

    pub(crate) fn run() {
        main();
    }
}

#[cfg(epoll)]
fn main() {
    counted::run();
}

#[cfg(not(epoll))]
fn main() {
    println!("skipped: Linux only");
}
