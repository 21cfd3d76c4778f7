//! HTTP by hand: requests that no library would send, and answers as they come off the wire.
//!
//! One connection for each request. Nothing is corrected: not the path, not the length, not the headers.

use std::io;

use openkcm_client::Url;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

/// What is sent of a long body at once.
const PIECE: usize = 64 * 1024;

/// A request, as it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Body,
}

#[derive(Debug, Clone)]
enum Body {
    None,
    Bytes(Vec<u8>),
    /// So many bytes are announced; they are sent while the peer takes them.
    Announced(usize),
    /// So many bytes, in chunks, so that nothing says how many there are.
    Chunked(usize),
}

/// An answer, as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self { method: method.into(), target: target.into(), headers: Vec::new(), body: Body::None }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// A body of JSON, or of what is to be taken for it.
    pub(crate) fn json(self, body: impl Into<Vec<u8>>) -> Self {
        self.header("content-type", "application/json").body(body)
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Body::Bytes(body.into());
        self
    }

    pub(crate) fn announced(mut self, bytes: usize) -> Self {
        self.body = Body::Announced(bytes);
        self
    }

    pub(crate) fn chunked(mut self, bytes: usize) -> Self {
        self.body = Body::Chunked(bytes);
        self
    }

    /// What it is, in one line, for a failed test.
    pub(crate) fn line(&self) -> String {
        let mut line = format!("{} {}", self.method, self.target);
        line.truncate(300);
        line
    }

    /// Sends it, and reads the answer.
    pub(crate) async fn send(&self, to: &Url) -> Answer {
        let address = (to.host_str().expect("a host"), to.port().expect("a port"));
        let stream = TcpStream::connect(address).await.expect("the component listens");
        let (mut reader, mut writer) = stream.into_split();
        let mut raw = Vec::new();
        let told = {
            let sent = async {
                // A peer that has said its word may close before it has read everything.
                let _ = self.write(&mut writer).await;
                std::future::pending::<()>().await
            };
            tokio::select! {
                told = reader.read_to_end(&mut raw) => told,
                () = sent => unreachable!("it never ends"),
            }
        };
        Answer::parse(&raw).unwrap_or_else(|| panic!("{}: no answer ({told:?}): {raw:?}", self.line()))
    }

    async fn write(&self, writer: &mut OwnedWriteHalf) -> io::Result<()> {
        let mut head =
            format!("{} {} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match &self.body {
            Body::None => {}
            Body::Bytes(bytes) => head.push_str(&format!("content-length: {}\r\n", bytes.len())),
            Body::Announced(bytes) => head.push_str(&format!("content-length: {bytes}\r\n")),
            Body::Chunked(_) => head.push_str("transfer-encoding: chunked\r\n"),
        }
        head.push_str("\r\n");
        writer.write_all(head.as_bytes()).await?;
        match &self.body {
            Body::None => Ok(()),
            Body::Bytes(bytes) => writer.write_all(bytes).await,
            Body::Announced(bytes) => pieces(writer, *bytes, false).await,
            Body::Chunked(bytes) => pieces(writer, *bytes, true).await,
        }
    }
}

/// Sends a text in JSON that is as long as this.
async fn pieces(writer: &mut OwnedWriteHalf, bytes: usize, chunked: bool) -> io::Result<()> {
    let mut piece = vec![b'A'; PIECE];
    piece[0] = b'"';
    for _ in 0..bytes.div_ceil(PIECE) {
        if chunked {
            writer.write_all(format!("{PIECE:x}\r\n").as_bytes()).await?;
        }
        writer.write_all(&piece).await?;
        if chunked {
            writer.write_all(b"\r\n").await?;
        }
        piece[0] = b'A';
    }
    if chunked { writer.write_all(b"0\r\n\r\n").await } else { Ok(()) }
}

impl Answer {
    fn parse(raw: &[u8]) -> Option<Self> {
        let end = raw.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8(raw[..end].to_vec()).ok()?;
        let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        Some(Self { status, head, body: raw[end + 4..].to_vec() })
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The body as JSON; a panic when it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
