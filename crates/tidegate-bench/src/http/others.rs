//! Servers that may be installed: how each is started. What is not installed is left out.
#![forbid(unsafe_code)]

use std::process::{Command, Stdio};

use super::{BACKLOG, BODY, Folder};
use crate::program::Program;

type Start = fn(&Folder) -> Result<Program, String>;

pub(super) const ALL: [(&str, Start); 3] = [("nginx", nginx), ("haproxy", haproxy), ("node", node)];

fn find(program: &str, version: &str) -> Result<(), String> {
    let mut command = Command::new(program);
    let command = command.arg(version).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().map(|_| ()).map_err(|e| format!("{program}: {e}"))
}

/// One process: it serves in the first.
fn nginx(folder: &Folder) -> Result<Program, String> {
    find("nginx", "-v")?;
    let at = folder.0.display().to_string();
    Program::start("nginx", |port| {
        let text = format!(
            "daemon off; master_process off; pid {at}/nginx.pid; error_log {at}/nginx.err crit;\n\
             events {{ worker_connections 8192; }}\n\
             http {{\n\
             access_log off; tcp_nodelay on; server_tokens off;\n\
             keepalive_requests 1000000000; default_type text/plain;\n\
             client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;\n\
             fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;\n\
             server {{ listen 127.0.0.1:{port} backlog={BACKLOG};\n\
             location = /hello {{ return 200 \"{BODY}\"; }} }}\n\
             }}\n"
        );
        let file = folder.write("nginx.conf", &text).unwrap_or_default();
        ["-p", &at, "-c", &file, "-e", &format!("{at}/nginx.err")].map(str::to_owned).to_vec()
    })
}

fn haproxy(folder: &Folder) -> Result<Program, String> {
    find("haproxy", "-v")?;
    Program::start("haproxy", |port| {
        let text = format!(
            "global\n nbthread 1\n maxconn 8192\n\
             defaults\n mode http\n timeout client 60s\n timeout server 60s\n\
             \x20timeout connect 5s\n timeout http-request 30s\n timeout http-keep-alive 60s\n\
             frontend hello\n bind 127.0.0.1:{port} backlog {BACKLOG}\n\
             \x20http-request return status 200 content-type text/plain \
             hdr Date \"%[date,http_date]\" string \"{BODY}\" if {{ path /hello }}\n\
             \x20http-request return status 404\n"
        );
        let file = folder.write("haproxy.cfg", &text).unwrap_or_default();
        vec!["-db".to_owned(), "-f".to_owned(), file]
    })
}

fn node(folder: &Folder) -> Result<Program, String> {
    find("node", "--version")?;
    Program::start("node", |port| {
        let text = format!(
            "require('http').createServer((req, res) => {{\n\
             \x20 const hello = req.url === '/hello';\n\
             \x20 res.writeHead(hello ? 200 : 404, {{\n\
             \x20   'Content-Type': 'text/plain', 'Content-Length': hello ? {} : 0,\n\
             \x20 }});\n\
             \x20 res.end(hello ? '{BODY}' : '');\n\
             }}).listen({port}, '127.0.0.1', {BACKLOG});\n",
            BODY.len()
        );
        vec![folder.write("server.js", &text).unwrap_or_default()]
    })
}
