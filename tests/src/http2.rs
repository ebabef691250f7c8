//! HTTP/2 written by hand, for clients that do what no library lets them do (RFC 9113).

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// Types of frames.
pub mod kind {
    /// DATA.
    pub const DATA: u8 = 0;
    /// HEADERS.
    pub const HEADERS: u8 = 1;
    /// `RST_STREAM`.
    pub const RST_STREAM: u8 = 3;
    /// SETTINGS.
    pub const SETTINGS: u8 = 4;
    /// PING.
    pub const PING: u8 = 6;
    /// GOAWAY.
    pub const GOAWAY: u8 = 7;
    /// CONTINUATION.
    pub const CONTINUATION: u8 = 9;
}

/// `END_STREAM`, or ACK.
pub const END: u8 = 1;
/// `END_HEADERS`.
pub const END_HEADERS: u8 = 4;

/// How a peer took it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It said goodbye with this error code.
    GoAway(u32),
    /// It closed the connection.
    Closed,
    /// It reset the stream with this error code.
    Reset(u32),
    /// It answered a call, and that was all of the answer.
    Answered,
}

/// A connection on which frames are written by hand.
#[derive(Debug)]
pub struct Raw(TcpStream);

impl Raw {
    /// A connection on which nothing was said.
    pub fn silent(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    /// One that has said hello.
    pub fn hello(address: &str) -> Self {
        let mut raw = Self::silent(address);
        raw.bytes(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        raw.frame(kind::SETTINGS, 0, 0, &[]);
        raw
    }

    /// One that has said hello and agreed to the peer's settings, which count from then on.
    pub fn settled(address: &str) -> Self {
        let mut raw = Self::hello(address);
        let mut head = [0; 9];
        raw.0.read_exact(&mut head).unwrap();
        assert_eq!(head[3], kind::SETTINGS, "settings come first");
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        raw.0.read_exact(&mut vec![0; length as usize]).unwrap();
        raw.frame(kind::SETTINGS, END, 0, &[]);
        raw
    }

    /// Writes bytes; whether they were taken.
    pub fn bytes(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    /// Writes a frame; whether it was taken.
    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.bytes(&frame)
    }

    /// Begins a call of Check whose headers are complete and whose body is to come.
    pub fn begin(&mut self, stream: u32, more: &[(&str, &str)]) -> bool {
        self.frame(kind::HEADERS, END_HEADERS, stream, &headers(more))
    }

    /// Reads until the peer ends the connection or a stream, and says how.
    pub fn taken(&mut self) -> Taken {
        loop {
            let mut head = [0; 9];
            if self.0.read_exact(&mut head).is_err() {
                return Taken::Closed;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let mut payload = vec![0; length];
            if self.0.read_exact(&mut payload).is_err() {
                return Taken::Closed;
            }
            let code = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
            match head[3] {
                kind::GOAWAY => return Taken::GoAway(code(4)),
                kind::RST_STREAM => return Taken::Reset(code(0)),
                kind::HEADERS if head[4] & END == END => return Taken::Answered,
                _ => {}
            }
        }
    }

    /// Reads until the connection has ended.
    pub fn ended(&mut self) -> Taken {
        let mut last = Taken::Closed;
        loop {
            let taken = self.taken();
            if taken == Taken::Closed {
                return last;
            }
            last = taken;
        }
    }

    /// Says that nothing more will come.
    pub fn finish(&self) {
        let _ended = self.0.shutdown(Shutdown::Write);
    }
}

/// The headers of a Check, each as a literal that is not indexed (RFC 7541, section 6.2.2).
fn headers(more: &[(&str, &str)]) -> Vec<u8> {
    let path = "/magistrate.v1.AuthorizationService/Check";
    let usual = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "x"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ];
    let mut block = Vec::new();
    for (name, value) in usual.iter().chain(more) {
        block.push(0);
        text(&mut block, name);
        text(&mut block, value);
    }
    block
}

fn text(block: &mut Vec<u8>, text: &str) {
    match u8::try_from(text.len()) {
        Ok(length) if length < 127 => block.push(length),
        _ => {
            block.push(127);
            let mut rest = text.len() - 127;
            while rest >= 128 {
                block.push(u8::try_from(rest % 128).unwrap() | 128);
                rest /= 128;
            }
            block.push(u8::try_from(rest).unwrap());
        }
    }
    block.extend(text.as_bytes());
}

/// Longer than any limit that tests wait for.
const PATIENCE: Duration = Duration::from_mins(1);
