//! One end for everything that waits for the network, and a TCP stream that keeps it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::limits;

/// When all must be done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Instant);

impl Deadline {
    pub(super) fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// What is left, at most `most`; an error when nothing is.
    pub(super) fn left(self, most: Duration) -> io::Result<Duration> {
        let left = self.0.saturating_duration_since(Instant::now()).min(most);
        match left.is_zero() {
            true => Err(io::Error::new(ErrorKind::TimedOut, "there was no time left for it")),
            false => Ok(left),
        }
    }
}

/// Each read and each write ends with the step, and the whole with the deadline.
pub(super) struct TimedStream {
    stream: TcpStream,
    deadline: Deadline,
}

impl TimedStream {
    pub(super) fn connect(address: SocketAddr, deadline: Deadline) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, deadline.left(limits::STEP)?)?;
        Ok(Self { stream, deadline })
    }

    /// Whether the other side is this machine: it sees us come from its own address.
    pub(super) fn is_to_ourselves(&self) -> bool {
        match (self.stream.local_addr(), self.stream.peer_addr()) {
            (Ok(own), Ok(peer)) => own.ip() == peer.ip() || peer.ip().is_loopback(),
            _ => false,
        }
    }
}

impl Read for TimedStream {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.deadline.left(limits::STEP)?))?;
        self.stream.read(octets)
    }
}

impl Write for TimedStream {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.deadline.left(limits::STEP)?))?;
        self.stream.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// What went wrong, for people: the operating system's words for a wait that ended say nothing.
pub(super) fn said(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "no answer in time".to_string(),
        ErrorKind::UnexpectedEof => "it closed the connection".to_string(),
        ErrorKind::ConnectionRefused => "nothing listens there".to_string(),
        _ => {
            let text = error.to_string();
            text.split(" (os error").next().unwrap_or_default().to_string()
        }
    }
}
