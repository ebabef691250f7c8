//! A server process.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use magistrate_client::v1::{CheckRequest, CheckResponse};
use magistrate_client::{Client, check_request, entity_ref};

use crate::program::program;
use crate::store::Store;

/// Sets how durable a record must be before its answer leaves.
pub const CLASS: &str = "MAGISTRATE_LEDGER_CLASS";

/// Says where the administration listener is.
pub const ADMIN: &str = "MAGISTRATE_ADMIN_LISTEN";

/// Longer than any step of a test takes on a loaded machine; only failures wait so long.
const PATIENCE: Duration = Duration::from_mins(1);

/// `magistrate serve` on a free port. Killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
    logged: String,
    address: String,
    ops: String,
    admin: Option<String>,
}

impl Running {
    /// Starts a server on a store and waits until it listens.
    pub fn start(store: &Store) -> Self {
        Self::with(store, &[])
    }

    /// The same with variables in its environment.
    pub fn with(store: &Store, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program());
        command.current_dir(store.home()).args(["--default-namespace", "Company"]);
        command.envs(environment.iter().copied());
        Self::launch(command)
    }

    /// Starts a server with a command of the binary that lacks only the verb, and waits until it listens.
    pub fn launch(command: Command) -> Self {
        Self::launch_at(command, "127.0.0.1:0")
    }

    /// The same at an address. Unless the command says otherwise, an answer waits until its record is in the store, so
    /// that tests can look there.
    pub fn launch_at(mut command: Command, address: &str) -> Self {
        if command.get_envs().all(|(name, _)| name != CLASS) {
            command.env(CLASS, "database");
        }
        command.args(["serve", "--listen", address, "--ops-listen", "127.0.0.1:0"]);
        if command.get_envs().all(|(name, _)| name != ADMIN) {
            command.env(ADMIN, "off");
        }
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = follow(&mut child);
        let mut running =
            Self { child, lines, logged: String::new(), address: String::new(), ops: String::new(), admin: None };
        let line = running.wait_for("\"address\"");
        running.address = field(&line, "address");
        running.ops = field(&line, "ops");
        running.admin = line.contains("\"admin\"").then(|| field(&line, "admin"));
        running
    }

    /// The URL of the gRPC door.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address of the gRPC door.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The address of the administration listener, if it is on.
    pub fn admin(&self) -> Option<&str> {
        self.admin.as_deref()
    }

    /// The address of the operations listener.
    pub fn ops(&self) -> &str {
        &self.ops
    }

    /// The status and the body that the operations listener answers a path with.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut stream = std::net::TcpStream::connect(&self.ops).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: magistrate\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split_whitespace().nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Sends the process a signal, such as `HUP`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits until the process has ended and returns its exit code.
    pub fn wait(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap_or(-1)
    }

    /// Waits until the process has ended by itself and returns its exit code; what it said is in [`Running::logged`].
    pub fn ended(&mut self) -> i32 {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.logged.extend([&line, "\n"]),
                Err(mpsc::RecvTimeoutError::Disconnected) => return self.wait(),
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("the server goes on: {}", self.logged),
            }
        }
    }

    /// Waits for a log line that holds `text`.
    pub fn wait_for(&mut self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.logged.extend([&line, "\n"]);
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(why) => {
                    panic!("the server never logged `{text}` ({why}); it ended with {:?}", self.child.try_wait())
                }
            }
        }
    }

    /// What was logged so far.
    pub fn logged(&mut self) -> &str {
        self.lines.try_iter().for_each(|line| self.logged.extend([&line, "\n"]));
        &self.logged
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A client of this server.
    pub async fn client(&self) -> Client {
        Client::connect(&self.url()).await.unwrap()
    }

    /// Kills the process the hard way.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks the process to stop and returns its exit code.
    pub fn terminate(&mut self) -> i32 {
        self.signal("TERM");
        self.wait()
    }

    /// A Check by shorthand ids within the example's namespace.
    pub async fn check(&self, principal: (&str, &str), action: &str, resource: (&str, &str)) -> CheckResponse {
        self.client().await.check(request(principal, action, resource), PATIENCE).await.unwrap()
    }
}

/// A request by types and ids within the example's namespace.
pub fn request(principal: (&str, &str), action: &str, resource: (&str, &str)) -> CheckRequest {
    let entity = |(type_name, id): (&str, &str)| entity_ref(format!("Company::{type_name}"), id);
    CheckRequest { explain: true, ..check_request(entity(principal), action, entity(resource)) }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn follow(child: &mut Child) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    let reader = BufReader::new(child.stderr.take().unwrap());
    std::thread::spawn(move || {
        for line in reader.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// A field of a JSON log line.
fn field(line: &str, name: &str) -> String {
    let json: serde_json::Value = serde_json::from_str(line).unwrap();
    json["fields"][name].as_str().unwrap().to_owned()
}
