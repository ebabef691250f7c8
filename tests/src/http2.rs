//! HTTP/2 written by hand, for clients that do what no library lets them do (RFC 9113).

use std::collections::BTreeMap;
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
    /// `WINDOW_UPDATE`.
    pub const WINDOW_UPDATE: u8 = 8;
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

/// Where a Check is asked.
pub const CHECK: &str = "/magistrate.v1.AuthorizationService/Check";
/// Where a batch is asked.
pub const CHECK_BATCH: &str = "/magistrate.v1.AuthorizationService/CheckBatch";

/// The window of a connection and of its calls before anybody says otherwise.
const WINDOW: usize = 65_535;

/// A connection on which frames are written by hand.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    /// Bytes of bodies that the peer takes: of the whole connection, and of each call.
    window: usize,
    windows: BTreeMap<u32, usize>,
}

/// A frame that was read.
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

impl Raw {
    /// A connection on which nothing was said.
    pub fn silent(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, window: WINDOW, windows: BTreeMap::new() }
    }

    /// One that has said hello.
    pub fn hello(address: &str) -> Self {
        Self::hello_with(address, &[])
    }

    /// The same with settings of its own.
    pub fn hello_with(address: &str, settings: &[(u16, u32)]) -> Self {
        let mut raw = Self::silent(address);
        raw.bytes(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let each = settings.iter().map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat());
        raw.frame(kind::SETTINGS, 0, 0, &each.collect::<Vec<_>>().concat());
        raw
    }

    /// One that takes nothing of any answer but its headers.
    pub fn windowless(address: &str) -> Self {
        Self::hello_with(address, &[(INITIAL_WINDOW_SIZE, 0)])
    }

    /// One that has said hello and agreed to the peer's settings, which count from then on.
    pub fn settled(address: &str) -> Self {
        let mut raw = Self::hello(address);
        assert_eq!(raw.read().unwrap().kind, kind::SETTINGS, "settings come first");
        raw.frame(kind::SETTINGS, END, 0, &[]);
        raw
    }

    /// Writes bytes; whether they were taken.
    pub fn bytes(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Writes a frame; whether it was taken.
    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.bytes(&frame)
    }

    /// One that takes every answer whole, and reads none.
    pub fn greedy(address: &str) -> Self {
        let mut raw = Self::hello_with(address, &[(INITIAL_WINDOW_SIZE, MOST)]);
        raw.frame(kind::WINDOW_UPDATE, 0, 0, &(MOST - 65_535).to_be_bytes());
        raw
    }

    /// Begins a call of Check whose headers are complete and whose body is to come.
    pub fn begin(&mut self, stream: u32, more: &[(&str, &str)]) -> bool {
        self.call(stream, CHECK, more)
    }

    /// The same of another method.
    pub fn call(&mut self, stream: u32, path: &str, more: &[(&str, &str)]) -> bool {
        self.windows.insert(stream, WINDOW);
        self.frame(kind::HEADERS, END_HEADERS, stream, &headers(path, more))
    }

    /// A whole call.
    pub fn ask(&mut self, stream: u32, path: &str, message: &[u8]) -> bool {
        let body = announced(message.len(), message);
        self.call(stream, path, &[]) && self.body(stream, &body) && self.last(stream, &[])
    }

    /// Sends a part of a body as fast as the peer takes it; whether it took all.
    pub fn body(&mut self, stream: u32, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let Some(own) = self.windows.get_mut(&stream) else { return false };
            let room = bytes.len().min(16_384).min(*own).min(self.window);
            if room == 0 {
                if self.step() == Some(Taken::Closed) {
                    return false;
                }
                continue;
            }
            *own -= room;
            self.window -= room;
            let (part, rest) = bytes.split_at(room);
            if !self.frame(kind::DATA, 0, stream, part) {
                return false;
            }
            bytes = rest;
        }
        true
    }

    /// Sends the last part of a body.
    pub fn last(&mut self, stream: u32, bytes: &[u8]) -> bool {
        self.frame(kind::DATA, END, stream, bytes)
    }

    /// Waits until everything that was sent has been read: a PING is answered in its turn (RFC 9113, section 6.7).
    pub fn is_read(&mut self) {
        self.frame(kind::PING, 0, 0, &[7; 8]);
        loop {
            let frame = self.read().unwrap();
            if frame.kind == kind::PING && frame.flags & END == END {
                return;
            }
        }
    }

    /// Reads until a call was answered or the connection has ended, whatever is said in between.
    pub fn until_answered(&mut self) -> Taken {
        loop {
            match self.taken() {
                Taken::GoAway(_) => {}
                taken @ (Taken::Closed | Taken::Reset(_) | Taken::Answered) => return taken,
            }
        }
    }

    /// Reads until the peer ends the connection or a stream, and says how.
    pub fn taken(&mut self) -> Taken {
        loop {
            if let Some(taken) = self.step() {
                return taken;
            }
        }
    }

    /// Reads a frame, agrees to it where that is asked for, and says what it ended, if anything.
    fn step(&mut self) -> Option<Taken> {
        let Some(frame) = self.read() else { return Some(Taken::Closed) };
        match frame.kind {
            kind::GOAWAY => return Some(Taken::GoAway(frame.number(4))),
            kind::RST_STREAM => {
                self.windows.remove(&frame.stream);
                return Some(Taken::Reset(frame.number(0)));
            }
            kind::HEADERS if frame.flags & END == END => {
                self.windows.remove(&frame.stream);
                return Some(Taken::Answered);
            }
            kind::WINDOW_UPDATE if frame.stream == 0 => self.window += frame.number(0) as usize,
            kind::WINDOW_UPDATE => {
                let more = frame.number(0) as usize;
                self.windows.entry(frame.stream).and_modify(|window| *window += more);
            }
            kind::PING if frame.flags & END == 0 => _ = self.frame(kind::PING, END, 0, &frame.payload),
            _ => {}
        }
        None
    }

    fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
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
        let _ended = self.stream.shutdown(Shutdown::Write);
    }
}

/// A window that is never full.
const MOST: u32 = 1 << 30;
/// `SETTINGS_INITIAL_WINDOW_SIZE`.
const INITIAL_WINDOW_SIZE: u16 = 4;

/// A message, or its beginning, that is announced with a length.
pub fn announced(length: usize, message: &[u8]) -> Vec<u8> {
    [&[0], &u32::try_from(length).unwrap().to_be_bytes()[..], message].concat()
}

/// A field of a message, of the kind that has a length.
pub fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 128 {
        field.push(u8::try_from(length % 128).unwrap() | 128);
        length /= 128;
    }
    field.push(u8::try_from(length).unwrap());
    field.extend(bytes);
    field
}

/// A batch of as many items as may be, none of which says anything: 2 KB whose answer says what is missing a thousand
/// times, at no cost to whoever answers.
pub fn empty_items() -> Vec<u8> {
    field(10, &[]).repeat(1_000)
}

/// A Check of what ana may read, in the example.
pub fn question() -> Vec<u8> {
    let entity = |of: &str, id: &str| field(1, &[field(1, of.as_bytes()), field(2, id.as_bytes())].concat());
    let (who, what) = (entity("Company::User", "ana"), entity("Company::Message", "m-1001"));
    [field(1, &who), field(2, b"readMessage"), field(3, &what)].concat()
}

/// The headers of a call, each as a literal that is not indexed (RFC 7541, section 6.2.2).
fn headers(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
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
