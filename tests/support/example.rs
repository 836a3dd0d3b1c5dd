//! The examples, as fresh as the test that runs them: `cargo test --test NAME` alone builds
//! none.
#![allow(dead_code, unreachable_pub)]

use std::path::PathBuf;
use std::process::Command;

/// Builds these, as the test was built, and says where they are.
pub fn build(names: &[&str]) -> PathBuf {
    let mut profile = std::env::current_exe().unwrap();
    profile.pop();
    profile.pop();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet"]);
    for name in names {
        build.args(["--example", name]);
    }
    build.arg("--target-dir").arg(profile.parent().unwrap());
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "{names:?} do not compile");
    profile.join("examples")
}
