//! As little HTTP/1.1 as a load takes: one connection that stays open, blocking, and nothing allocated for a request
//! but its answer.

use nilometer_model::{Error, Result};
use std::io::{self, BufRead, BufReader, IoSlice, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// An answer that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(120);
const CONNECT: Duration = Duration::from_secs(5);
/// Of an answer: a verifier's largest is a few MiB.
const MAX_BODY_BYTES: u64 = 1 << 30;

/// Where requests go, and what goes with each.
#[derive(Clone, Debug)]
pub struct Endpoint {
    host: String,
    path: String,
    headers: String,
}

impl Endpoint {
    /// # Errors
    /// `Invalid`: the URL is not `http://host:port/path`, or a header cannot be one.
    pub fn new(url: &str, headers: &[(String, String)]) -> Result<Endpoint> {
        let Some(rest) = url.strip_prefix("http://") else {
            return Err(Error::invalid(format!(
                "{url}: a URL is like http://host:port/path; TLS is not spoken here: aim behind it, or at a proxy that adds it"
            )));
        };
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if host.is_empty() || rest.bytes().any(|b| b <= b' ') {
            return Err(Error::invalid(format!("{url} is no URL")));
        }
        let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        let mut lines = String::new();
        for (name, value) in headers {
            if name.is_empty() || [name, value].iter().any(|text| text.bytes().any(|b| b < b' ')) {
                return Err(Error::invalid(format!("{name:?} cannot be a header with {value:?}")));
            }
            lines += &format!("{name}: {value}\r\n");
        }
        Ok(Endpoint { host, path: path.trim_end_matches('/').to_owned(), headers: lines })
    }
}

#[derive(Debug)]
/// What a server says.
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<Duration>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// What it says, short enough for a line.
    pub fn text(&self) -> String {
        let text: String = String::from_utf8_lossy(&self.body).trim().chars().take(300).collect();
        format!("{}: {text}", self.status)
    }
}

/// One connection, opened when it is needed.
pub struct Client<'a> {
    endpoint: &'a Endpoint,
    stream: Option<BufReader<TcpStream>>,
}

impl<'a> Client<'a> {
    pub fn new(endpoint: &'a Endpoint) -> Self {
        Client { endpoint, stream: None }
    }

    /// `headers`: whole lines, beside the endpoint's own.
    pub fn post(&mut self, headers: &str, body: &[u8]) -> io::Result<Answer> {
        let Endpoint { host, path, headers: own } = self.endpoint;
        let path = if path.is_empty() { "/" } else { path };
        let len = body.len();
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: {host}\r\n{own}{headers}Content-Length: {len}\r\n\r\n");
        self.ask(&head, body)
    }

    /// `path` stands behind the endpoint's own.
    pub fn get(&mut self, path: &str) -> io::Result<Answer> {
        let Endpoint { host, path: base, headers } = self.endpoint;
        self.ask(&format!("GET {base}{path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n"), &[])
    }

    fn ask(&mut self, head: &str, body: &[u8]) -> io::Result<Answer> {
        // Taken out: after an error it is not used again.
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(&self.endpoint.host)?,
        };
        write_both(stream.get_mut(), head.as_bytes(), body)?;
        let (answer, stays_open) = read(&mut stream)?;
        self.stream = stays_open.then_some(stream);
        Ok(answer)
    }
}

fn connect(host: &str) -> io::Result<BufReader<TcpStream>> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
    for address in host.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(BufReader::new(stream));
            }
            Err(e) => last = e,
        }
    }
    Err(last)
}

/// In one system call where the socket takes it.
fn write_both(stream: &mut TcpStream, head: &[u8], body: &[u8]) -> io::Result<()> {
    let written = stream.write_vectored(&[IoSlice::new(head), IoSlice::new(body)])?;
    if written < head.len() {
        stream.write_all(&head[written..])?;
    }
    stream.write_all(&body[written.saturating_sub(head.len())..])
}

/// The answer, and whether the connection can be used again.
fn read(stream: &mut BufReader<TcpStream>) -> io::Result<(Answer, bool)> {
    let first = line(stream)?;
    let status = first.split(' ').nth(1).and_then(|s| s.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("this is no answer: {first:?}")))?;
    let mut answer = Answer { status, retry_after: None, body: Vec::new() };
    let (mut len, mut chunked, mut stays_open) = (None, false, first.starts_with("HTTP/1.1"));
    loop {
        let line = line(stream)?;
        let Some((name, value)) = line.split_once(':') else { break };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => len = Some(value.parse::<u64>().map_err(io::Error::other)?),
            "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
            "connection" => stays_open &= !value.eq_ignore_ascii_case("close"),
            "retry-after" => answer.retry_after = value.parse().ok().map(Duration::from_secs),
            _ => {}
        }
    }
    if chunked {
        while let size @ 1.. = chunk_len(&line(stream)?)? {
            take(stream, size, &mut answer.body)?;
            line(stream)?;
        }
        line(stream)?;
    } else if let Some(len) = len {
        take(stream, len, &mut answer.body)?;
    } else if status != 204 {
        stays_open = false;
        stream.take(MAX_BODY_BYTES).read_to_end(&mut answer.body)?;
    }
    Ok((answer, stays_open))
}

fn chunk_len(line: &str) -> io::Result<u64> {
    let digits = line.split(';').next().unwrap_or_default().trim();
    u64::from_str_radix(digits, 16).map_err(io::Error::other)
}

fn take(stream: &mut BufReader<TcpStream>, len: u64, body: &mut Vec<u8>) -> io::Result<()> {
    if body.len() as u64 + len > MAX_BODY_BYTES {
        return Err(io::Error::other(format!("the answer is larger than {MAX_BODY_BYTES} bytes")));
    }
    if stream.take(len).read_to_end(body)? as u64 != len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

fn line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    const MAX_LINE_BYTES: u64 = 1 << 16;
    let mut line = String::new();
    if stream.take(MAX_LINE_BYTES).read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    line.truncate(line.trim_end().len());
    Ok(line)
}

/// A text within a URL's query.
pub fn escaped(text: &str) -> String {
    let escape = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(b).to_string(),
        _ => format!("%{b:02X}"),
    };
    text.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Gives each of `answers` on one connection, and what was asked.
    fn answering(answers: &'static [&'static str]) -> (Endpoint, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/base/", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            for answer in answers {
                let mut bytes = [0; 4096];
                let len = stream.read(&mut bytes).unwrap();
                asked.push(String::from_utf8(bytes[..len].to_vec()).unwrap());
                stream.write_all(answer.as_bytes()).unwrap();
            }
            asked
        });
        (Endpoint::new(&url, &[("X-Tenant".into(), "a".into())]).unwrap(), server)
    }

    #[test]
    fn answers_of_all_forms() {
        let (endpoint, server) = answering(&[
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            "HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nwait",
            "HTTP/1.0 200 OK\r\n\r\nto the end",
        ]);
        let mut client = Client::new(&endpoint);
        assert!(client.post("A: b\r\n", b"xyz").unwrap().is_success());
        assert_eq!(client.get("/q").unwrap().body, b"abcde");
        let refused = client.get("/q").unwrap();
        assert_eq!(
            (refused.text().as_str(), refused.retry_after),
            ("503: wait", Some(Duration::from_secs(7)))
        );
        let last = client.get("/q");
        let asked = server.join().unwrap();
        assert_eq!(last.unwrap().body, b"to the end");
        assert!(asked[0].starts_with("POST /base HTTP/1.1\r\nHost: 127.0.0.1:"), "{}", asked[0]);
        assert!(asked[0].ends_with("X-Tenant: a\r\nA: b\r\nContent-Length: 3\r\n\r\nxyz"), "{}", asked[0]);
        assert!(asked[1].starts_with("GET /base/q HTTP/1.1\r\n"), "{}", asked[1]);
    }

    #[test]
    fn urls() {
        let host = |url: &str| Endpoint::new(url, &[]).map(|e| (e.host, e.path)).map_err(|e| e.to_string());
        assert_eq!(host("http://a:1/b/c"), Ok(("a:1".into(), "/b/c".into())));
        assert_eq!(host("http://a"), Ok(("a:80".into(), String::new())));
        assert!(host("https://a").unwrap_err().contains("TLS"));
        assert!(host("http:///x").is_err() && host("http://a b").is_err());
        assert!(Endpoint::new("http://a", &[("A".into(), "b\r\nC: d".into())]).is_err());
    }
}
