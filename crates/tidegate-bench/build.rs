//! Says whether there is an epoll, and builds the libuv side of the benches if its headers
//! and library are there.

use std::path::Path;

fn main() {
    // The report names the compiler.
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let said = std::process::Command::new(rustc).arg("-V").output();
    let version = said.map_or(String::new(), |o| String::from_utf8_lossy(&o.stdout).into_owned());
    println!("cargo:rustc-env=TIDEGATE_BENCH_RUSTC={}", version.trim());
    println!("cargo:rustc-check-cfg=cfg(epoll, libuv)");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    println!("cargo:rustc-cfg=epoll");
    println!("cargo:rerun-if-changed=src/sys/libuv_loop.c");
    println!("cargo:rerun-if-changed=src/sys/libuv_server.c");
    println!("cargo:rerun-if-changed=/usr/include/uv.h");
    println!("cargo:rerun-if-env-changed=LIBUV_PREFIX");
    let prefix = std::env::var("LIBUV_PREFIX").ok();
    let include = match &prefix {
        Some(prefix) => format!("{prefix}/include"),
        None => "/usr/include".to_owned(),
    };
    if !Path::new(&include).join("uv.h").exists() {
        return;
    }
    let built = cc::Build::new()
        .file("src/sys/libuv_loop.c")
        .file("src/sys/libuv_server.c")
        .include(&include)
        .opt_level(2)
        .define("NDEBUG", None)
        .try_compile("tidegate_bench_libuv");
    match built {
        Ok(()) => {
            if let Some(prefix) = prefix {
                println!("cargo:rustc-link-search=native={prefix}/lib");
                // Without this a shared one would have to be found again when it runs.
                let archive = Path::new(&prefix).join("lib/libuv.a").exists();
                println!("cargo:rustc-link-lib={}uv", if archive { "static=" } else { "" });
            } else {
                println!("cargo:rustc-link-lib=uv");
            }
            println!("cargo:rustc-cfg=libuv");
        }
        Err(e) => println!("cargo:warning=libuv is left out: {e}"),
    }
}
