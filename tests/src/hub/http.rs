//! As much of HTTP/1.1 as the stand-in needs: one request per connection, everything bounded.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bounds of what a client may do here, in bytes and silence.
const MOST_HEAD: u64 = 1 << 16;
const MOST_BODY: usize = 1 << 26;
const SILENCE: Duration = Duration::from_secs(20);
/// Bytes of a body that does not end, for a client that never leaves.
const MOST_ENDLESS: usize = 1 << 26;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET` and the like.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// What it carried.
    pub body: Vec<u8>,
}

impl Request {
    /// A header's value, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The target without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// A parameter of the query.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let query = self.target.split_once('?')?.1;
        query
            .split('&')
            .find_map(|pair| pair.split_once('=').filter(|(known, _)| *known == name))
            .map(|p| p.1)
    }
}

/// Ways to fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Another answer.
    Status(u16, &'static [(&'static str, &'static str)]),
    /// The body ends after so many bytes, and the connection with it.
    Cut(usize),
    /// One bit of the body is wrong.
    Flip,
    /// The body never ends, and does not say how long it is.
    Endless,
    /// The whole file, whatever part was asked for.
    WholeFile,
    /// Another part than was asked for.
    OtherPart,
    /// The connection ends without an answer.
    HangUp,
}

/// An answer.
pub(super) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Reply {
    pub(super) fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    pub(super) fn json(value: &serde_json::Value) -> Self {
        Self { body: value.to_string().into_bytes(), ..Self::status(200) }
            .with("Content-Type", "application/json")
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn with_all(self, headers: &[(&str, &str)]) -> Self {
        headers.iter().fold(self, |reply, (name, value)| reply.with(name, *value))
    }

    /// Content, or the part of it that was asked for.
    pub(super) fn content(request: &Request, content: &[u8]) -> Self {
        let range = request.header("range").and_then(|range| range.strip_prefix("bytes="));
        let first = range.and_then(|range| range.split('-').next()).and_then(|first| first.parse().ok());
        let Some(first) = first else { return Self { body: content.to_vec(), ..Self::status(200) } };
        if first >= content.len() {
            return Self::status(416).with("Content-Range", format!("bytes */{}", content.len()));
        }
        let span = format!("bytes {first}-{}/{}", content.len() - 1, content.len());
        Self { body: content[first..].to_vec(), ..Self::status(206) }.with("Content-Range", span)
    }
}

/// Listens on loopback until it is dropped.
pub(super) struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Answers every request by `answer`, in a thread each.
    pub(super) fn start(
        answer: impl Fn(&Request) -> (Reply, Option<Fault>) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopping, answer) = (Arc::clone(&stop), Arc::new(answer));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopping.load(Ordering::Relaxed) {
                    return;
                }
                let answer = Arc::clone(&answer);
                // A client that leaves early is what some tests are about.
                std::thread::spawn(move || serve(&stream, &*answer).ok());
            }
        });
        Ok(Self { address, stop, thread: Some(thread) })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the listener.
        let woken = TcpStream::connect(self.address).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            thread.join().ok();
        }
    }
}

fn serve(stream: &TcpStream, answer: &dyn Fn(&Request) -> (Reply, Option<Fault>)) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    let request = read_request(stream)?;
    let (reply, fault) = answer(&request);
    write_reply(stream, &request, reply, fault)
}

fn read_request(stream: &TcpStream) -> io::Result<Request> {
    let broken = || io::Error::from(io::ErrorKind::InvalidData);
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    let mut lines = Read::by_ref(&mut reader).take(MOST_HEAD);
    while !head.ends_with(b"\r\n\r\n") {
        if lines.read_until(b'\n', &mut head)? == 0 {
            return Err(broken());
        }
    }
    let head = String::from_utf8(head).map_err(|_| broken())?;
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target)) = (first.next(), first.next()) else { return Err(broken()) };
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_lowercase(), value.trim().to_owned()))
        .collect();
    let mut request =
        Request { method: method.to_owned(), target: target.to_owned(), headers, body: Vec::new() };
    let length = request.header("content-length").map_or(Ok(0), str::parse).map_err(|_| broken())?;
    if length > MOST_BODY {
        return Err(broken());
    }
    request.body.resize(length, 0);
    reader.read_exact(&mut request.body)?;
    Ok(request)
}

fn write_reply(
    mut stream: &TcpStream,
    request: &Request,
    mut reply: Reply,
    fault: Option<Fault>,
) -> io::Result<()> {
    let mut sent = reply.body.len();
    match &fault {
        Some(Fault::HangUp) => return Ok(()),
        Some(Fault::Cut(bytes)) => sent = sent.min(*bytes),
        Some(Fault::Flip) => {
            if let Some(byte) = reply.body.first_mut() {
                *byte ^= 1;
            }
        }
        Some(Fault::OtherPart) => reply.headers.retain(|(name, _)| name != "Content-Range"),
        _ => (),
    }
    if fault == Some(Fault::OtherPart) {
        let span = format!("bytes 1-{0}/{0}", reply.body.len());
        reply = reply.with("Content-Range", span);
    }
    let states_length = reply.headers.iter().any(|(name, _)| name == "Content-Length");
    if fault != Some(Fault::Endless) && !states_length {
        let length = reply.body.len().to_string();
        reply = reply.with("Content-Length", length);
    }
    let status = format!("HTTP/1.1 {} Stand-In\r\nConnection: close\r\n", reply.status);
    let headers = reply.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    let head: String = std::iter::once(status).chain(headers).chain(["\r\n".to_owned()]).collect();
    stream.write_all(head.as_bytes())?;
    if request.method == "HEAD" {
        return Ok(());
    }
    stream.write_all(&reply.body[..sent])?;
    if fault == Some(Fault::Endless) {
        let noise = vec![7; 1 << 16];
        for _ in 0..MOST_ENDLESS / noise.len() {
            stream.write_all(&noise)?;
        }
    }
    Ok(())
}
