//! How a superuser reaches a server, and the URLs made from it.

use std::fmt::Write as _;

/// A server's address and its superuser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Access {
    /// Host and port as in a URL.
    pub(super) host: String,
    /// User and password as in a URL.
    user: String,
    /// The database to connect to when none is meant.
    pub(super) database: String,
    /// What follows the `?`.
    query: String,
}

impl Access {
    /// The superuser of a server of ours.
    pub(super) fn local(port: u16, password: &str) -> Self {
        Self {
            host: format!("127.0.0.1:{port}"),
            user: format!("postgres:{password}"),
            database: "postgres".into(),
            query: String::new(),
        }
    }

    /// The parts of `postgres://user:password@host:port/database?query`.
    pub(super) fn parse(url: &str) -> Self {
        let rest = url.split_once("://").unwrap_or_else(|| panic!("DATABASE_URL is not a URL")).1;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, host) = authority.rsplit_once('@').unwrap_or(("postgres", authority));
        let database = if database.is_empty() { "postgres" } else { database };
        Self { host: host.into(), user: user.into(), database: database.into(), query: query.into() }
    }

    /// The superuser's URL of a database.
    pub(super) fn url(&self, database: &str) -> String {
        self.compose(&self.user, &self.host, database)
    }

    /// Another user's URL of a database.
    pub(super) fn login(&self, database: &str, user: &str, password: &str) -> String {
        self.compose(&format!("{}:{}", escape(user), escape(password)), &self.host, database)
    }

    /// The superuser's name and password, as they are.
    pub(super) fn superuser(&self) -> (String, String) {
        let (name, password) = self.user.split_once(':').unwrap_or((&self.user, ""));
        (unescape(name), unescape(password))
    }

    fn compose(&self, user: &str, host: &str, database: &str) -> String {
        let mark = if self.query.is_empty() { "" } else { "?" };
        format!("postgres://{user}@{host}/{}{mark}{}", escape(database), self.query)
    }
}

/// The same URL by way of another host and port.
pub(super) fn by_way_of(url: &str, host: &str) -> String {
    let there = Access::parse(url);
    there.compose(&there.user, host, &there.database)
}

fn unescape(text: &str) -> String {
    let mut rest = text.bytes();
    let mut plain = Vec::new();
    while let Some(byte) = rest.next() {
        let digits = |rest: &mut std::str::Bytes<'_>| String::from_utf8(vec![rest.next()?, rest.next()?]).ok();
        match byte {
            b'%' => plain.push(u8::from_str_radix(&digits(&mut rest).unwrap_or_default(), 16).unwrap()),
            _ => plain.push(byte),
        }
    }
    String::from_utf8(plain).unwrap()
}

fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(byte.into()),
            _ => write!(escaped, "%{byte:02X}").unwrap(),
        }
        escaped
    })
}
