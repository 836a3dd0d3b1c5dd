// Decodes messages with the parser of Node. Input: for each message a byte (0: request, 1:
// response), its length in 4 bytes, and its bytes. Output: for each a line of JSON.
'use strict';
const { HTTPParser, allMethods, methods } = process.binding('http_parser');
const names = allMethods || methods;

function decode(type, bytes) {
  const all = [];
  let fields = [], url = '';
  const parser = new HTTPParser();
  parser.initialize(type, {});
  // Fields come in batches; behind a head they are trailers.
  parser[HTTPParser.kOnHeaders | 0] = (more, target) => {
    const last = all[all.length - 1];
    if (last && !last.done) last.trailers.push(...more);
    else { fields.push(...more); url = target || url; }
  };
  parser[HTTPParser.kOnHeadersComplete | 0] =
    (major, minor, rest, method, target, status, reason, upgrade, keep) => {
      all.push({
        start: type === HTTPParser.REQUEST ? [names[method], target || url] : [String(status), reason],
        version: `${major}.${minor}`, fields: fields.concat(rest || []),
        upgrade, keep, body: '', trailers: [], done: false,
      });
      fields = []; url = '';
      return 0;
    };
  parser[HTTPParser.kOnBody | 0] = (part, from, length) => {
    const whole = from === undefined ? part : part.subarray(from, from + length);
    all[all.length - 1].body += whole.latin1Slice();
  };
  parser[HTTPParser.kOnMessageComplete | 0] = () => { all[all.length - 1].done = true; };
  let refused = parser.execute(bytes);
  refused = refused instanceof Error ? refused.code : null;
  if (refused === null) {
    const end = parser.finish();
    if (end instanceof Error && end.code !== 'HPE_INVALID_EOF_STATE') refused = end.code;
  }
  parser.close();
  return { all, refused };
}

let kept = Buffer.alloc(0);
process.stdin.on('data', chunk => {
  kept = kept.length ? Buffer.concat([kept, chunk]) : chunk;
  let at = 0, lines = '';
  while (kept.length >= at + 5 && kept.length >= at + 5 + kept.readUInt32LE(at + 1)) {
    const from = at + 5, to = from + kept.readUInt32LE(at + 1);
    const type = kept[at] === 0 ? HTTPParser.REQUEST : HTTPParser.RESPONSE;
    lines += JSON.stringify(decode(type, Buffer.from(kept.subarray(from, to)))) + '\n';
    at = to;
  }
  kept = kept.subarray(at);
  process.stdout.write(lines);
});
