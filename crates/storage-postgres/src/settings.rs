//! Which database, and how to reach it.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// A database and how to reach it. Its texts, `Debug` included, never hold a secret.
///
/// A server that is neither on this machine's loopback nor behind a Unix socket must prove over TLS who it is
/// (`sslmode=verify-full`), unless the URL says otherwise. `sslrootcert` in the URL names the authority to trust
/// besides the public ones. What the URL leaves out is taken from `PGUSER`, `PGPASSWORD` and the other variables
/// of libpq, and from a password file; `PGSSLMODE` is not.
#[derive(Clone)]
pub struct Database {
    main: Place,
    direct: Option<Place>,
    pooled: bool,
    password: Option<String>,
    application_name: Option<String>,
}

/// One address with the user that connects there.
#[derive(Clone)]
struct Place {
    options: PgConnectOptions,
    is_local: bool,
}

/// Settings of a database that cannot be used. No text holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDatabase {
    /// The URL cannot be read.
    #[error("the database's URL is not valid: {0}; it looks like `postgres://user@host:5432/database`")]
    Url(String),
    /// The URL has a parameter that nothing would heed.
    #[error("the database's URL has a parameter that has no meaning here: `{0}`")]
    Parameter(String),
    /// The way past a pooler leads to another database.
    #[error("the direct URL leads to {direct}, and the database is {main}; both must name one database")]
    OtherDatabase {
        /// The database.
        main: String,
        /// Where the direct URL leads.
        direct: String,
    },
    /// The file with the password cannot be used.
    #[error("cannot read the database's password from `{}`: {why}", path.display())]
    Password {
        /// Which file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
}

/// What a URL may set.
const PARAMETERS: [&str; 15] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
];

impl Database {
    /// Reads a URL such as `postgres://user@host:5432/database?sslrootcert=/path`.
    pub fn new(url: &str) -> Result<Self, InvalidDatabase> {
        Ok(Self { main: Place::parse(url)?, direct: None, pooled: false, password: None, application_name: None })
    }

    /// With a password, for the direct URL as well. It wins over one in a URL.
    #[must_use]
    pub fn with_password(self, password: &str) -> Self {
        Self { password: Some(password.to_owned()), ..self }
    }

    /// With the password that a file holds, without its line end.
    pub fn with_password_file(self, path: &Path) -> Result<Self, InvalidDatabase> {
        let refused = |why: String| InvalidDatabase::Password { path: path.to_owned(), why };
        let text = std::fs::read_to_string(path).map_err(|error| refused(error.kind().to_string()))?;
        let password = text.strip_suffix('\n').map_or(&*text, |line| line.strip_suffix('\r').unwrap_or(line));
        match password {
            "" => Err(refused("it is empty".to_owned())),
            password if password.contains(['\n', '\0']) => Err(refused("it has more than one line".to_owned())),
            password => Ok(self.with_password(password)),
        }
    }

    /// With a URL that leads past a pooler: to listen for new revisions, and to migrate.
    pub fn direct(self, url: &str) -> Result<Self, InvalidDatabase> {
        let direct = Place::parse(url)?;
        if direct.name() != self.main.name() {
            let (main, direct) = (self.main.describe(), direct.describe());
            return Err(InvalidDatabase::OtherDatabase { main, direct });
        }
        Ok(Self { direct: Some(direct), ..self })
    }

    /// Whether a pooler in between gives every transaction another server connection.
    #[must_use]
    pub fn pooled(self, pooled: bool) -> Self {
        Self { pooled, ..self }
    }

    /// How the server's activity view names this program.
    #[must_use]
    pub fn application_name(self, name: &str) -> Self {
        Self { application_name: Some(name.to_owned()), ..self }
    }

    /// The database in words: host, port, name and user.
    pub fn describe(&self) -> String {
        self.main.describe()
    }

    /// What is weak about the way to the server, in words; nothing on the default settings.
    pub fn weaknesses(&self) -> Vec<String> {
        [Some(&self.main), self.direct.as_ref()].into_iter().flatten().filter_map(Place::weakness).collect()
    }

    /// How connections for transactions are made.
    pub(crate) fn options(&self) -> PgConnectOptions {
        self.complete(&self.main)
    }

    /// How connections that keep a session are made; `None` if every way leads through a pooler.
    pub(crate) fn session_options(&self) -> Option<PgConnectOptions> {
        match (&self.direct, self.pooled) {
            (Some(direct), _) => Some(self.complete(direct)),
            (None, false) => Some(self.options()),
            (None, true) => None,
        }
    }

    /// Whether a pooler is in between.
    pub(crate) fn is_pooled(&self) -> bool {
        self.pooled
    }

    fn complete(&self, place: &Place) -> PgConnectOptions {
        let options = place.options.clone();
        let options = match &self.password {
            Some(password) => options.password(password),
            None => options,
        };
        match &self.application_name {
            Some(name) => options.application_name(name),
            None => options,
        }
    }
}

impl Place {
    fn parse(url: &str) -> Result<Self, InvalidDatabase> {
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(InvalidDatabase::Url("it begins with neither `postgres://` nor `postgresql://`".to_owned()));
        }
        let given = parameters(url)?;
        let parsed = PgConnectOptions::from_str(url).map_err(|_| InvalidDatabase::Url(unreadable(&given)))?;
        let is_local = is_local(&parsed);
        let options = match (given.iter().any(|name| name.starts_with("ssl") && name.ends_with("mode")), is_local) {
            (true, _) => parsed,
            (false, true) => parsed.ssl_mode(PgSslMode::Prefer),
            (false, false) => parsed.ssl_mode(PgSslMode::VerifyFull),
        };
        // Poolers do not know the setting, and no number here is a float.
        Ok(Self { options: options.extra_float_digits(None), is_local })
    }

    fn name(&self) -> &str {
        self.options.get_database().unwrap_or(self.options.get_username())
    }

    fn describe(&self) -> String {
        let options = &self.options;
        let at = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        let user = options.get_username();
        format!("the database `{}` at `{at}` as `{user}`", options.get_database().unwrap_or(user))
    }

    fn weakness(&self) -> Option<String> {
        let what = match self.options.get_ssl_mode() {
            _ if self.is_local => return None,
            PgSslMode::VerifyFull => return None,
            PgSslMode::VerifyCa => "any server with a certificate of a trusted authority passes for this one",
            PgSslMode::Require => "any server passes for this one: its certificate is not looked at",
            PgSslMode::Prefer => "whoever is in between can read and change everything, as TLS is optional",
            PgSslMode::Allow | PgSslMode::Disable => "everything is sent unencrypted",
        };
        Some(format!("the way to {} is not safe: {what}; set `sslmode=verify-full`", self.describe()))
    }
}

/// The names of a URL's parameters, all of them known.
fn parameters(url: &str) -> Result<Vec<&str>, InvalidDatabase> {
    let Some((_, query)) = url.split_once('?') else {
        return Ok(Vec::new());
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let names: Vec<&str> = pairs.map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name)).collect();
    match names.iter().find(|name| !PARAMETERS.contains(name)) {
        Some(unknown) => {
            Err(InvalidDatabase::Parameter(unknown.chars().take(40).flat_map(char::escape_debug).collect()))
        }
        None => Ok(names),
    }
}

/// The driver's words may repeat the URL, and with it the password.
fn unreadable(given: &[&str]) -> String {
    match given {
        [] => "it cannot be read".to_owned(),
        given => format!("it, or one of `{}`, cannot be read", given.join("`, `")),
    }
}

fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    options.get_socket().is_some()
        || host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || address.is_some_and(|address| address.is_loopback())
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direct = self.direct.as_ref().map(Place::describe);
        f.debug_struct("Database")
            .field("main", &self.describe())
            .field("direct", &direct)
            .field("pooled", &self.pooled)
            .finish_non_exhaustive()
    }
}
