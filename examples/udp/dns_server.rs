//! A DNS server for its own zone, over UDP and TCP on one loop.
//!
//! ```text
//! cargo run --release --example dns_server -- 127.0.0.1:5300
//! dig @127.0.0.1 -p 5300 gate.tide.test A
//! dig @127.0.0.1 -p 5300 long.tide.test TXT
//! ```
//! The answer to the second question does not fit into a datagram of 1,232 bytes. So it has the TC
//! bit set, and `dig` asks again over TCP. The crate `simple-dns` reads and writes messages; the rest
//! is here. Ctrl-C ends the server.

use std::error::Error;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use simple_dns::rdata::{A, AAAA, RData, TXT};
use simple_dns::{
    CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord, TYPE,
};
use tidegate::net::{Framed, LengthPrefixed};
use tidegate::prelude::*;

/// What fits into a datagram on every path, <https://www.dnsflagday.net/2020/>.
const MOST_UDP: usize = 1232;
/// A message over TCP has two bytes of length before it.
const MOST_TCP: usize = 65_535;
const TTL: u32 = 60;
const ZONE: &str = "tide.test";

/// The records of a name, of the kinds that were asked for; `None` if there is no such name.
fn records(name: &str, kind: QTYPE) -> Option<Vec<RData<'static>>> {
    let all: Vec<(TYPE, RData<'static>)> = match name.to_ascii_lowercase().strip_suffix(ZONE)? {
        "gate." => vec![
            (TYPE::A, RData::A(A::from(Ipv4Addr::new(192, 0, 2, 1)))),
            (TYPE::AAAA, RData::AAAA(AAAA::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)))),
        ],
        "" => vec![(TYPE::A, RData::A(A::from(Ipv4Addr::new(192, 0, 2, 2))))],
        "long." => {
            let mut text = TXT::new();
            for n in 0..20 {
                text = text.with_string(LINES[n % LINES.len()]).ok()?;
            }
            vec![(TYPE::TXT, RData::TXT(text))]
        }
        _ => return None,
    };
    let asked = |t: &TYPE| kind == QTYPE::ANY || kind == QTYPE::TYPE(*t);
    Some(all.into_iter().filter(|(t, _)| asked(t)).map(|(_, data)| data).collect())
}

const LINES: [&str; 2] = [
    "The tide comes in and the tide goes out; what waits at the gate waits for the water, and not for \
     the keeper, who only opens what the water would open in its time.",
    "A datagram that does not fit is not cut into two: it is answered with a bit that says so, and the \
     one who asked comes back by another way, on which there is room.",
];

/// The answer to a message, or nothing if it is none.
fn answer(message: &[u8], most: usize) -> Option<Vec<u8>> {
    let query = Packet::parse(message).ok()?;
    if query.has_flags(PacketFlag::RESPONSE) {
        return None;
    }
    let question = query.questions.first().cloned();
    let whole = reply(&query, question.as_ref(), true)?;
    match whole.len() > most {
        true => reply(&query, question.as_ref(), false),
        false => Some(whole),
    }
}

/// The reply, with its records, or with the TC bit in their place.
fn reply(query: &Packet<'_>, question: Option<&Question<'_>>, fits: bool) -> Option<Vec<u8>> {
    let mut reply = Packet::new_reply(query.id());
    reply.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    match question {
        None => *reply.rcode_mut() = RCODE::FormatError,
        Some(q) if q.qclass != QCLASS::CLASS(CLASS::IN) => *reply.rcode_mut() = RCODE::Refused,
        Some(q) => {
            reply.questions.push(q.clone());
            match records(&q.qname.to_string(), q.qtype) {
                None => *reply.rcode_mut() = RCODE::NameError,
                Some(_) if !fits => reply.set_flags(PacketFlag::TRUNCATION),
                Some(all) => {
                    let name: Name<'_> = q.qname.clone();
                    let record = |data| ResourceRecord::new(name.clone(), CLASS::IN, TTL, data);
                    reply.answers.extend(all.into_iter().map(record));
                }
            }
        }
    }
    reply.build_bytes_vec_compressed().ok()
}

fn main() -> Result<(), Box<dyn Error>> {
    let at = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5300".into());
    let mut lp = Loop::new()?;
    let options = ListenOptions::new(at.as_str())
        .idle_timeout(Duration::from_secs(10))
        .max_connections(1000, tidegate::net::AtLimit::Drop);
    let tcp = lp.listen(options, |conn| {
        conn.accept(Framed::new(LengthPrefixed::u16_be(MOST_TCP), |s, query| {
            let Some(answer) = answer(query, MOST_TCP) else {
                s.destroy();
                return Flow::Closed;
            };
            let len = (answer.len() as u16).to_be_bytes();
            s.write([&len[..], &answer].concat())
        }));
    })?;
    // The same port for both; that of TCP first, because fewer of them are free.
    let at: SocketAddr = lp.server(tcp).local_addr()?;
    let udp = OnDatagram::new(|u, query, meta| {
        if let Some(answer) = answer(query, MOST_UDP) {
            // No answer has to wait: the client asks again.
            let _ = u.send_to(&answer, meta.from);
        }
    });
    let udp = lp.udp(at, udp)?;
    lp.server(tcp).shutdown_on_signals(Duration::from_secs(1))?;
    println!("listening on {at}; dig @{} -p {} gate.{ZONE}", at.ip(), at.port());
    lp.cx().set_ref(udp, false)?;
    lp.run()?;
    Ok(())
}
