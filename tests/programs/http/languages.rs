//! The clients of other languages at `http_echo`: connections that are kept, bodies of known and of
//! unknown length, HEAD, `Expect`.

use super::judge;
use crate::running::Running;

const NODE: &str = r#"
const http = require('http'), assert = require('assert');
const [host, port] = process.argv.slice(1);
const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
const sockets = new Set();
function ask(method, path, body, headers = {}) {
  return new Promise((done, fail) => {
    const req = http.request({ host, port, method, path, agent, headers }, res => {
      sockets.add(res.socket.localPort);
      const parts = [];
      res.on('data', part => parts.push(part));
      res.on('end', () => done({ status: res.statusCode, headers: res.headers,
                                 body: Buffer.concat(parts) }));
    });
    req.on('error', fail);
    if (headers.expect) req.on('continue', () => req.end(body));
    else req.end(body);
  });
}
(async () => {
  const all = await Promise.all(Array.from({ length: 100 }, () => ask('GET', '/hello')));
  assert(all.every(a => a.status === 200 && String(a.body) === 'world\n'));
  assert(sockets.size <= 4, sockets.size);
  const json = await ask('POST', '/echo', '{"x":1}', { 'content-type': 'application/json' });
  assert.deepStrictEqual(JSON.parse(json.body), { youSent: '{"x":1}' });
  const large = Buffer.alloc(5 << 20, 'tide');
  for (const headers of [{}, { 'transfer-encoding': 'chunked' }, { 'content-length': large.length },
                         { expect: '100-continue', 'content-length': large.length }]) {
    const back = await ask('POST', '/stream', large, headers);
    assert(back.status === 200 && back.body.equals(large), JSON.stringify(headers));
  }
  const head = await ask('HEAD', '/hello');
  assert.deepStrictEqual([head.status, head.headers['content-length'], head.body.length],
                         [200, '6', 0]);
  assert.strictEqual((await ask('GET', '/none')).status, 404);
  agent.destroy();
  console.log('all is well');
})().catch(e => { console.error(e); process.exit(1); });
"#;

#[test]
fn node() {
    let server = Running::start("http_echo", &["127.0.0.1:0"]);
    let (host, port) = (server.at.ip().to_string(), server.at.port().to_string());
    let said = judge("node", "--version", &["-e", NODE, &host, &port], b"");
    assert!(said.is_none_or(|said| said.contains("all is well")));
    server.stop();
}

const PYTHON: &str = r#"
import http.client, json, sys
host, port = sys.argv[1], int(sys.argv[2])
c = http.client.HTTPConnection(host, port, timeout=10)
def ask(method, path, **more):
    c.request(method, path, **more)
    answer = c.getresponse()
    return answer.status, answer.read(), answer
ask("GET", "/hello")
kept = c.sock
assert kept is not None
for _ in range(50):
    assert ask("GET", "/hello")[:2] == (200, b"world\n")
status, body, _ = ask("POST", "/echo", body='{"x":1}', headers={"Content-Type": "application/json"})
assert json.loads(body) == {"youSent": '{"x":1}'}, body
parts = [b"tide" * n for n in range(1, 500)]
status, body, answer = ask("POST", "/stream", body=iter(parts), encode_chunked=True,
                           headers={"Transfer-Encoding": "chunked"})
assert status == 200 and body == b"".join(parts) and answer.chunked
status, body, answer = ask("HEAD", "/hello")
assert (status, body, answer.headers["Content-Length"]) == (200, b"", "6")
assert ask("GET", "/none")[0] == 404
assert c.sock is kept, "all on one connection"
print("all is well")
"#;

#[test]
fn python() {
    let server = Running::start("http_echo", &["127.0.0.1:0"]);
    let (host, port) = (server.at.ip().to_string(), server.at.port().to_string());
    let said = judge("python3", "--version", &["-c", PYTHON, &host, &port], b"");
    assert!(said.is_none_or(|said| said.contains("all is well")));
    server.stop();
}
