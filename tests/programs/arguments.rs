//! `--help` and wrong arguments of the programs.

use std::process::Command;

use crate::example;

#[test]
fn help_and_wrong_arguments() {
    let names = [
        "chat",
        "http_client",
        "http_echo",
        "http_hello",
        "http_proxy",
        "http_stream",
        "http_timeouts",
        "https_hello",
        "production",
        "reconnect",
        "redis",
        "rpc",
        "socks5",
        "websocket_echo",
    ];
    let ends_by_itself = ["http_client"];
    let folder = example::build(&names);
    let run = |name: &str, arguments: &[&str]| {
        let done = Command::new(folder.join(name)).args(arguments).output().unwrap();
        let said = |bytes| String::from_utf8(bytes).unwrap();
        (done.status.code(), said(done.stdout), said(done.stderr))
    };
    for name in names {
        let (code, out, _) = run(name, &["--help"]);
        assert_eq!(code, Some(0), "{name} --help");
        assert!(out.starts_with(&format!("usage: {name} ")), "{out}");
        let says_how = out.contains("Ctrl-C") || ends_by_itself.contains(&name);
        assert!(says_how, "how to stop it: {out}");
        for wrong in [&["nonsense"][..], &["127.0.0.1:0", "b", "c"], &["127.0.0.1:99999"]] {
            let (code, out, err) = run(name, wrong);
            assert_eq!(code, Some(2), "{name} {wrong:?}: {out}{err}");
            assert!(err.contains(&format!("\nusage: {name} ")), "{err}");
            assert!(!err.contains("Error:") && !err.contains("panicked"), "{err}");
        }
    }
}
