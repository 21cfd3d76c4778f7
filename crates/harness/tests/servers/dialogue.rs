//! A server that says back what it hears, and a client of it: enough to see whether bytes arrive.
//!
//! Blocking, with a time for each wait: most questions here are whether something does *not* arrive.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// How long a test waits for what must arrive: build machines can be slow.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// How long a test waits for what must not arrive.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

/// A server of as many connections as come, until the test ends.
pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    /// Every line that any client said, as it was heard.
    pub(crate) heard: Receiver<String>,
}

impl Echo {
    /// Binds on the calling thread, so in the network namespace that it is in.
    pub(crate) fn start(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (tell, heard) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, tell) = (stream.expect("a listener accepts"), tell.clone());
                thread::spawn(move || {
                    let mut buffer = [0; 64];
                    while let Ok(count @ 1..) = stream.read(&mut buffer) {
                        // The test may have ended.
                        let _ = tell.send(String::from_utf8_lossy(&buffer[..count]).into_owned());
                        if stream.write_all(&buffer[..count]).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Self { address, heard }
    }
}

/// A connection that was made within this time.
pub(crate) fn dial(address: SocketAddr, within: Duration) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(&address, within)
}

/// Says a word.
pub(crate) fn say(stream: &mut TcpStream, word: &str) {
    stream.write_all(word.as_bytes()).expect("an open connection");
}

/// Hears a word of this length, or what was in its way: `WouldBlock` when nothing came in time.
pub(crate) fn hear(stream: &mut TcpStream, length: usize, within: Duration) -> io::Result<String> {
    stream.set_read_timeout(Some(within)).expect("a time above zero");
    let mut word = vec![0; length];
    stream.read_exact(&mut word)?;
    Ok(String::from_utf8_lossy(&word).into_owned())
}

/// Says a word and hears it back.
pub(crate) fn ask(stream: &mut TcpStream, word: &str, within: Duration) -> io::Result<String> {
    say(stream, word);
    hear(stream, word.len(), within)
}
