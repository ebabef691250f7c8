//! What a peer may take, all of it: what is not limited here is not limited at all.

use std::time::Duration;

/// Limits of the door. The defaults suit gateways that keep a few connections open and ask thousands of questions
/// a second over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; more are closed when they are accepted.
    pub connections: usize,
    /// Connections at a time from one address (of IPv6, one /64). Loopback is not counted: everybody on this machine
    /// comes from there.
    pub connections_per_address: usize,
    /// Calls under way at a time, over all connections; more are refused as overloaded.
    pub in_flight: usize,
    /// Calls under way at a time on one connection.
    pub streams: u32,
    /// Bytes of the headers of a call, decoded.
    pub header_list: u32,
    /// Bytes of an HTTP/2 frame.
    pub frame: u32,
    /// Bytes of the message of a Check: two asserted entities with all their parents, a context and an environment fit.
    pub check_bytes: usize,
    /// Bytes of the message of a batch: 1,000 items of 4 KiB.
    pub batch_bytes: usize,
    /// Bytes of everything sent in a call of any other method.
    pub other_bytes: usize,
    /// Bytes of its request that every call may have here, whatever others take.
    pub own_bytes: usize,
    /// Bytes of requests above that, and of answers that are not taken yet, of all peers together. What comes to more
    /// is refused as overload.
    pub kept_bytes: usize,
    /// Calls a peer may reset before they were accepted (CVE-2023-44487), and errors it may provoke.
    pub pending_resets: usize,
    /// Resets of our own that a peer may cause.
    pub error_resets: usize,
    /// Bytes that may be on their way to us on one call, and on one connection.
    pub stream_window: u32,
    /// See [`stream_window`](Self::stream_window).
    pub connection_window: u32,
    /// Bytes of answers that a call keeps for a peer that does not read them.
    pub send_buffer: usize,
    /// How long the handshake of TLS and the first bytes of HTTP/2 may take, together.
    pub hello: Duration,
    /// How often an idle peer is asked whether it lives, and how long it may take to say so.
    pub keepalive: Duration,
    /// See [`keepalive`](Self::keepalive).
    pub keepalive_answer: Duration,
    /// A connection without calls is closed after so long.
    pub idle: Duration,
    /// A connection is closed after so long, give or take a tenth, so that callers spread over nodes again.
    pub age: Duration,
    /// How long its calls may go on after that.
    pub age_grace: Duration,
    /// A peer that takes nothing of what is being sent to it for so long, or nothing of an answer, is cut off.
    pub stall: Duration,
    /// Calls without a deadline have this one.
    pub deadline: Duration,
    /// No call has a longer one.
    pub longest_deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self::USUAL
    }
}

impl Limits {
    /// Those of the door.
    pub const USUAL: Self = Self {
        connections: 4_096,
        connections_per_address: 512,
        in_flight: 1_024,
        streams: 128,
        header_list: 8 * 1_024,
        frame: 16 * 1_024,
        check_bytes: 256 * 1_024,
        batch_bytes: 4 * 1_024 * 1_024,
        other_bytes: 64 * 1_024,
        own_bytes: 64 * 1_024,
        kept_bytes: 64 * 1_024 * 1_024,
        pending_resets: 20,
        error_resets: 128,
        stream_window: 64 * 1_024,
        connection_window: 1_024 * 1_024,
        send_buffer: 64 * 1_024,
        hello: Duration::from_secs(3),
        keepalive: Duration::from_secs(30),
        keepalive_answer: Duration::from_secs(10),
        idle: Duration::from_mins(2),
        age: Duration::from_mins(5),
        age_grace: Duration::from_secs(30),
        stall: Duration::from_secs(10),
        deadline: Duration::from_secs(10),
        longest_deadline: Duration::from_mins(1),
    };
}
