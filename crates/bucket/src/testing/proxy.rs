//! A bad network between a program and a store: HTTP requests go through, or fail in the ways in which they do.
//!
//! One request for each connection, which the proxy's answer ends. What is signed stays as it is, the name of the host
//! included, so that the store takes it for what its client sent.

use nilometer_env::sim::SimRandom;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// Nobody here is silent for so long.
const PATIENCE: Duration = Duration::from_secs(60);
const MAX_HEAD_BYTES: usize = 64 << 10;
const MAX_BODY_BYTES: u64 = 64 << 20;

/// What goes wrong, each with its odds: once in so many requests, never where 0.
#[derive(Clone, Debug, Default)]
pub struct Trouble {
    /// The store says 500 or 503, and has done nothing.
    pub refused_one_in: u64,
    /// A part of the request goes through, then the connection breaks.
    pub torn_request_one_in: u64,
    /// The store has done it, and the connection breaks before the answer.
    pub unanswered_one_in: u64,
    /// It breaks in the midst of the answer.
    pub torn_answer_one_in: u64,
    /// It takes [`Trouble::slow`] longer.
    pub slow_one_in: u64,
    pub slow: Duration,
    /// Whose `Authorization` has this in it gets 403.
    pub expired: Option<String>,
}

pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

struct State {
    to: u16,
    random: SimRandom,
    trouble: Mutex<Trouble>,
    met: Mutex<BTreeMap<&'static str, u64>>,
    is_over: AtomicBool,
}

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Well,
    Refused,
    Expired,
    TornRequest,
    Unanswered,
    TornAnswer,
}

struct Request {
    /// With the empty line that ends it.
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.is_over.store(true, Relaxed);
        // Wakes who waits for a connection.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Proxy {
    /// To the store on a port of this machine. Well until trouble is set.
    ///
    /// # Panics
    /// If there is no port for it.
    pub fn start(to: u16, seed: u64) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its number").port();
        let state = Arc::new(State {
            to,
            random: SimRandom::new(seed),
            trouble: Mutex::default(),
            met: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let shared = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.is_over.load(Relaxed) {
                    return;
                }
                let state = shared.clone();
                // Who breaks a connection is none of ours.
                std::thread::spawn(move || drop(state.serve(client)));
            }
        });
        Proxy { port, state }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn set(&self, trouble: Trouble) {
        *self.state.trouble.lock() = trouble;
    }

    /// How often each of it was met.
    pub fn met(&self) -> BTreeMap<&'static str, u64> {
        self.state.met.lock().clone()
    }
}

impl State {
    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        client.set_read_timeout(Some(PATIENCE))?;
        let request = Request::read(&mut client)?;
        let trouble = self.trouble.lock().clone();
        if self.happens("slow", trouble.slow_one_in) {
            std::thread::sleep(trouble.slow);
        }
        let fate = self.fate(&trouble, &request);
        match fate {
            Fate::Expired => return refuse(&mut client, "403 Forbidden", "ExpiredToken"),
            Fate::Refused if self.random.one_in(2) => {
                return refuse(&mut client, "500 Internal Server Error", "InternalError");
            }
            Fate::Refused => return refuse(&mut client, "503 Service Unavailable", "SlowDown"),
            _ => {}
        }
        let mut store = TcpStream::connect(("127.0.0.1", self.to))?;
        store.set_read_timeout(Some(PATIENCE))?;
        store.write_all(&request.head)?;
        if fate == Fate::TornRequest {
            store.write_all(self.some_of(&request.body))?;
            return client.shutdown(Shutdown::Both);
        }
        store.write_all(&request.body)?;
        let mut answer = Vec::new();
        store.read_to_end(&mut answer)?;
        match fate {
            Fate::Unanswered => {}
            Fate::TornAnswer => client.write_all(self.some_of(&answer))?,
            _ => client.write_all(&answer)?,
        }
        client.shutdown(Shutdown::Both)
    }

    fn fate(&self, trouble: &Trouble, request: &Request) -> Fate {
        let asks_as = request.header("authorization").unwrap_or_default();
        if trouble.expired.as_ref().is_some_and(|who| asks_as.contains(who)) {
            *self.met.lock().entry("expired").or_default() += 1;
            return Fate::Expired;
        }
        let odds = [
            ("refused", trouble.refused_one_in, Fate::Refused),
            ("torn request", trouble.torn_request_one_in, Fate::TornRequest),
            ("unanswered", trouble.unanswered_one_in, Fate::Unanswered),
            ("torn answer", trouble.torn_answer_one_in, Fate::TornAnswer),
        ];
        odds.into_iter().find(|(name, one_in, _)| self.happens(name, *one_in)).map_or(Fate::Well, |o| o.2)
    }

    fn happens(&self, name: &'static str, one_in: u64) -> bool {
        let happens = one_in > 0 && self.random.one_in(one_in);
        if happens {
            *self.met.lock().entry(name).or_default() += 1;
        }
        happens
    }

    fn some_of<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[..self.random.below(bytes.len() as u64 + 1) as usize]
    }
}

impl Request {
    fn read(client: &mut TcpStream) -> io::Result<Request> {
        let (mut head, mut piece) = (Vec::new(), [0; 8 << 10]);
        let end = loop {
            if let Some(at) = head.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            let len = client.read(&mut piece)?;
            if len == 0 || head.len() > MAX_HEAD_BYTES {
                return Err(io::ErrorKind::InvalidData.into());
            }
            head.extend_from_slice(&piece[..len]);
        };
        let body = head.split_off(end);
        let mut request = Request { head, body };
        let told = request.header("content-length").and_then(|len| len.parse::<u64>().ok()).unwrap_or(0);
        if told > MAX_BODY_BYTES || request.header("transfer-encoding").is_some() {
            return Err(io::Error::other("a request that no client of a store sends"));
        }
        client.take(told.saturating_sub(request.body.len() as u64)).read_to_end(&mut request.body)?;
        if (request.body.len() as u64) < told {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // One request for each connection; clients do not sign this.
        request.head.truncate(end - 2);
        request.head.extend_from_slice(b"connection: close\r\n\r\n");
        Ok(request)
    }

    /// By its name in small letters.
    fn header(&self, name: &str) -> Option<String> {
        let head = String::from_utf8_lossy(&self.head);
        let pairs = head.lines().filter_map(|line| line.split_once(':'));
        let mut values = pairs.filter(|(n, _)| n.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value.trim().to_owned())
    }
}

fn refuse(client: &mut TcpStream, status: &str, code: &str) -> io::Result<()> {
    let body =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>on purpose</Message></Error>");
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    client.write_all((head + &body).as_bytes())?;
    client.shutdown(Shutdown::Both)
}
