//! Asks DNS servers for an address: several at once, again after a while, and over TCP if the answer
//! did not fit.
//!
//! ```text
//! cargo run --release --example dns_client -- gate.tide.test 127.0.0.1:5300 [SERVER...]
//! ```
//! The first answer wins. A question has an id that nobody can guess, is asked again after 500 ms,
//! and is given up after 3 s. Each server has a connected socket, so an answer of somebody else
//! does not arrive, and a server that is not there says so at once.

use std::cell::RefCell;
use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::process::exit;
use std::rc::Rc;
use std::time::Duration;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, Question, TYPE};
use tidegate::net::{Framed, LengthPrefixed, UdpOptions};
use tidegate::prelude::*;

const AGAIN_EVERY: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(3);

/// What is left to be asked.
struct Asked {
    query: Vec<u8>,
    id: u16,
    refused: usize,
    servers: usize,
}

type Shared = Rc<RefCell<Asked>>;

fn query(name: &str, id: u16) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let kind = QTYPE::TYPE(TYPE::A);
    packet.questions.push(Question::new(Name::new(name)?, kind, CLASS::IN.into(), false));
    Ok(packet.build_bytes_vec()?)
}

/// Prints what a message says, and ends the program; `false` if it is to be asked over TCP.
fn read(message: &[u8], from: SocketAddr, asked: &Shared) -> bool {
    let Ok(reply) = Packet::parse(message) else { return true };
    if reply.id() != asked.borrow().id || !reply.has_flags(PacketFlag::RESPONSE) {
        return true;
    }
    if reply.has_flags(PacketFlag::TRUNCATION) {
        println!("{from}: the answer does not fit into a datagram; again over TCP");
        return false;
    }
    println!("{from}: {:?}, {} records", reply.rcode(), reply.answers.len());
    for record in &reply.answers {
        match &record.rdata {
            RData::A(a) => println!("{} {}", record.name, std::net::Ipv4Addr::from(a.address)),
            other => println!("{} {other:?}", record.name),
        }
    }
    exit(0);
}

/// The same question over TCP.
fn ask_by_tcp(cx: &mut Cx<'_>, server: SocketAddr, asked: &Shared) {
    let (query, asked) = (asked.borrow().query.clone(), asked.clone());
    let handler = Framed::new(LengthPrefixed::u16_be(65_535), move |s, message| {
        read(message, server, &asked);
        s.end();
        Flow::Closed
    });
    let key = cx.connect(server, handler);
    let len = (query.len() as u16).to_be_bytes();
    let _ = cx.socket(key).write([&len[..], &query].concat());
}

fn ask(lp: &mut Loop, server: SocketAddr, asked: &Shared) -> Result<(), Box<dyn Error>> {
    let (a, b) = (asked.clone(), asked.clone());
    let handler = OnDatagram::new(move |u, message, meta| {
        if !read(message, meta.from, &a) {
            ask_by_tcp(&mut u.cx(), meta.from, &a);
            u.destroy();
        }
    })
    .error(move |u, e| {
        println!("{e}");
        b.borrow_mut().refused += 1;
        if b.borrow().refused == b.borrow().servers {
            exit(1);
        }
        u.destroy();
    });
    let key = lp.udp(UdpOptions::client(server), handler)?;
    let query = asked.borrow().query.clone();
    let _ = lp.datagrams(key).send(&query);
    lp.interval(AGAIN_EVERY, move |cx, timer| {
        if cx.datagrams(key).send(&query) == SendFlow::Closed {
            let _ = cx.timer_stop(timer);
        }
    });
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_else(|| "gate.tide.test".into());
    let mut servers = args.map(|s| s.parse()).collect::<Result<Vec<SocketAddr>, _>>()?;
    if servers.is_empty() {
        servers.push("127.0.0.1:5300".parse()?);
    }
    let mut lp = Loop::new()?;
    let id = RandomState::new().hash_one(&name) as u16;
    let asked = Asked { query: query(&name, id)?, id, refused: 0, servers: servers.len() };
    let asked = Rc::new(RefCell::new(asked));
    for server in servers {
        ask(&mut lp, server, &asked)?;
    }
    lp.after(PATIENCE, |_| {
        println!("no answer in {PATIENCE:?}");
        exit(1);
    });
    lp.run()?;
    Ok(())
}
