//! SQL through the `psql` command.

use std::io::Write as _;
use std::process::Stdio;

use super::{process, programs};

/// Runs SQL at a URL: rows one a line, columns parted by `|`. Errors carry their SQLSTATE.
pub(super) fn run(url: &str, sql: &str) -> Result<String, String> {
    let mut psql = programs::program("psql");
    psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--file=-"]);
    psql.args(["--set=ON_ERROR_STOP=1", "--set=VERBOSITY=verbose", "--dbname", url]);
    psql.env("PGCONNECT_TIMEOUT", "30");
    psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = psql.spawn().unwrap_or_else(|e| {
        panic!("cannot run psql, install Debian's package `postgresql` (or `postgresql-client`): {e}")
    });
    let mut input = running.stdin.take().unwrap();
    let text = sql.to_owned();
    let writing = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let ran = running.wait_with_output().unwrap();
    let _ended_early = writing.join().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim_end().to_owned();
    match ran.status.success() {
        true => Ok(text(ran.stdout)),
        false => Err(text(ran.stderr)),
    }
}

/// Runs one statement and waits for nothing.
pub(super) fn leave_to_run(url: &str, statement: &str) {
    let mut psql = programs::program("psql");
    psql.args(["--no-psqlrc", "--quiet", "--command", statement, "--dbname", url]);
    process::let_run(&mut psql);
}

/// A name as SQL writes it.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL writes it.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
