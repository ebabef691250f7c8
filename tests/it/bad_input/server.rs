//! A server that cannot start, or is not there.

use std::net::TcpListener;

use magistrate_tests::Store;

use super::refused;

#[test]
fn port_in_use_is_named() {
    let store = Store::example();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refused(
        &store,
        &["serve", "--listen", &address],
        1,
        &[&format!("cannot listen on `{address}`"), "is another server running there?"],
    );
    let port = taken.local_addr().unwrap().port().to_string();
    refused(&store, &["dev", "--once", "--port", &port], 1, &[&format!("cannot listen on `{address}`")]);
}

#[test]
fn nobody_elsewhere_is_served_in_clear() {
    let store = Store::example();
    // An address of no machine comes first: a server that tries it fails here, and does not go on to serve.
    for address in ["192.0.2.1:7700", "0.0.0.0:0", "[::]:0"] {
        refused(
            &store,
            &["serve", "--listen", address],
            1,
            &[&format!("`listen` is `{address}`"), "TLS is not configured", "or listen on a loopback address"],
        );
    }
    store.file("magistrate.toml", "listen = \"0.0.0.0:0\"");
    refused(&store, &["serve"], 1, &["TLS is not configured"]);
}

#[test]
fn check_without_a_server_says_so_and_decides_nothing() {
    let store = Store::example();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let check = |server: &str, says: &[&str]| {
        let question = ["check", "Company::User::ana", "readMessage", "Company::Message::m-1001", "--server", server];
        refused(&store, &question, 1, says);
    };
    let url = format!("http://{closed}");
    check(&url, &[&format!("cannot connect to `{url}`"), "is the server running, and is this its address?"]);
    check("no server", &["cannot connect to `no server`", "write `http://127.0.0.1:7700`"]);
}
