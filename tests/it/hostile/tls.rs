//! Peers that do not get as far as a call over TLS.

use std::io::Write as _;
use std::net::TcpStream;

use magistrate_tests::http2::{Raw, Taken};
use magistrate_tests::{Running, Secured, request};

use super::{PATIENCE, ended, until};

/// The head of a record of TLS and of the `ClientHello` it announces, of which nothing comes (RFC 8446, sections 4 and
/// 5.1).
const HALF_A_HELLO: [u8; 11] = [22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3];

/// Silent peers, half handshakes, clear text and rubbish: each is ended by the limit that is meant, and who comes with
/// a key is answered all the while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_that_lead_nowhere_are_ended() {
    let secured = Secured::example();
    secured.store.file("magistrate.toml", "[limits]\nhello_seconds = 1");
    let key = secured.key("check");
    let node = secured.start(&[]);
    let address = format!("127.0.0.1:{}", node.address().rsplit(':').next().unwrap());
    let mut silent: Vec<Raw> = (0..100).map(|_| Raw::silent(&address)).collect();
    silent.iter_mut().take(50).for_each(|raw| _ = raw.bytes(&HALF_A_HELLO));
    let serves = async |node: &Running| {
        let client = secured.connect(node, Some(&key)).await.unwrap();
        let question = request(("User", "ana"), "readMessage", ("Message", "m-1001"));
        assert_eq!(client.check(question, PATIENCE).await.unwrap().decision, 1);
    };
    serves(&node).await;
    silent.iter_mut().for_each(|raw| assert_eq!(raw.ended(), Taken::Closed));
    until("each is counted", || ended(&node, "no_hello") == 100);
    let mut clear: Vec<Raw> = (0..20).map(|_| Raw::hello(&address)).collect();
    clear.iter_mut().for_each(|raw| _ = raw.begin(1, &[]));
    let mut rubbish = TcpStream::connect(&address).unwrap();
    rubbish.write_all(&[0xff; 4_000]).unwrap();
    until("each is counted", || ended(&node, "handshake") == 21);
    serves(&node).await;
}
