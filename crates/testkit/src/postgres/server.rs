//! One server: its directory and its processes.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use super::options::Options;
use super::process::{alive, children, signal, stopped, wait_for, works_in};
use super::run::{Run, copy, make_directory, make_server_directory, unique};
use super::{programs, tls};

/// A server in a directory of its own, which holds `data`, `socket` and `log`.
#[derive(Debug)]
pub(super) struct Server {
    home: PathBuf,
    /// The postmaster, if this process started it.
    child: Mutex<Option<Child>>,
}

impl Server {
    /// A server that is made elsewhere.
    pub(super) fn at(home: PathBuf) -> Self {
        Self { home, child: Mutex::new(None) }
    }

    /// Makes a server's directory, and starts nothing.
    pub(super) fn create(run: &Run, home: PathBuf, port: u16, options: &Options) -> Self {
        let server = Self::at(home);
        make_directory(&server.home);
        make_server_directory(&server.socket());
        make_server_directory(&server.home.join("archive"));
        match &options.data_on {
            Some(there) => {
                let data = there.join(unique("data-"));
                run.data(&data);
                std::os::unix::fs::symlink(data, server.data()).unwrap();
            }
            None => run.data(&server.data()),
        }
        server.configure(port, options);
        server
    }

    fn configure(&self, port: u16, options: &Options) {
        let mut settings = File::options().append(true).open(self.data().join("postgresql.conf")).unwrap();
        settings.write_all(options.configuration(port, &self.socket()).as_bytes()).unwrap();
        if options.tls {
            tls::certify(&self.home, &self.data());
        }
        if !options.hba.is_empty() {
            let hba = self.data().join("pg_hba.conf");
            let standing = std::fs::read_to_string(&hba).unwrap();
            std::fs::write(hba, format!("{}\n{standing}", options.hba.join("\n"))).unwrap();
        }
    }

    /// The data directory itself.
    pub(super) fn data(&self) -> PathBuf {
        let data = self.home.join("data");
        data.canonicalize().unwrap_or(data)
    }

    /// The directory of the server's socket.
    pub(super) fn socket(&self) -> PathBuf {
        self.home.join("socket")
    }

    /// The server's directory.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// What the server has logged.
    pub(super) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.home.join("log")).unwrap_or_default()).into_owned()
    }

    /// Starts the server and waits until it takes connections.
    pub(super) fn start(&self) {
        assert!(self.postmaster().is_none(), "the server runs already");
        self.reap();
        let _of_a_killed_server = std::fs::remove_file(self.data().join("postmaster.pid"));
        let log = || File::options().create(true).append(true).open(self.home.join("log")).unwrap();
        let mut postgres = programs::unprivileged(&programs::directory().join("postgres"));
        postgres.arg("-D").arg(self.data()).current_dir(&self.home);
        let mut child = postgres.stdin(Stdio::null()).stdout(log()).stderr(log()).spawn().unwrap();
        wait_for("PostgreSQL to be ready", || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "PostgreSQL did not start ({ended:?}): {}", self.log());
            self.ready().then_some(())
        });
        *self.child.lock().unwrap() = Some(child);
    }

    /// The running postmaster.
    pub(super) fn postmaster(&self) -> Option<u32> {
        let process = self.pid_line(0)?.trim().parse().ok()?;
        (alive(process) && works_in(process, &self.data())).then_some(process)
    }

    /// Whether the server takes connections.
    pub(super) fn ready(&self) -> bool {
        self.postmaster().is_some() && self.pid_line(7).is_some_and(|line| line.trim() == "ready")
    }

    /// Disconnects everybody and shuts down, as for planned maintenance.
    pub(super) fn stop(&self) {
        self.end("INT");
    }

    /// Kills every process of the server at once, the postmaster first: a power cut, as far as clients can tell.
    pub(super) fn kill_9(&self) {
        let processes = self.freeze();
        signal("KILL", &processes);
        self.reap();
        wait_for("killed processes to be gone", || processes.iter().all(|it| !alive(*it)).then_some(()));
        if let Some(segment) = self.pid_line(6).and_then(|line| Some(line.split_whitespace().nth(1)?.to_owned())) {
            let _tidy = Command::new("ipcrm").args(["-m", &segment]).output();
        }
        let _stale = std::fs::remove_file(self.data().join("postmaster.pid"));
    }

    /// Stops every process of the server where it is; connections stay open and nothing answers.
    pub(super) fn pause(&self) {
        self.freeze();
    }

    /// Lets a paused server go on.
    pub(super) fn resume(&self) {
        let postmaster = self.postmaster().unwrap_or_else(|| panic!("the server does not run"));
        let mut processes = children(postmaster);
        processes.push(postmaster);
        signal("CONT", &processes);
    }

    /// Puts another data directory in the place of this one. The server must be down.
    pub(super) fn replace_data(&self, with: &Path) {
        assert!(self.postmaster().is_none(), "the server runs");
        std::fs::remove_dir_all(self.data()).unwrap();
        copy(with, &self.data());
    }

    /// Lets the server replay from an archive, up to a restore point, when it starts; and then go on from there.
    pub(super) fn recover(&self, point: &str) {
        let settings = format!(
            "restore_command = 'cp ../archive/%f %p'\nrecovery_target_name = '{point}'\nrecovery_target_action = 'promote'\n"
        );
        let configuration = self.data().join("postgresql.auto.conf");
        let before = std::fs::read_to_string(&configuration).unwrap();
        std::fs::write(&configuration, before + &settings).unwrap();
        let signal = self.data().join("recovery.signal");
        std::fs::write(&signal, "").unwrap();
        programs::hand_over(&signal);
    }

    /// Stops the server whatever state it is in and removes its directory.
    pub(super) fn remove(&self) {
        if let Some(postmaster) = self.postmaster() {
            signal("CONT", &children(postmaster));
            signal("CONT", &[postmaster]);
            self.end("QUIT");
        }
        let _left_to_the_watcher = std::fs::remove_dir_all(self.data());
        let _left_to_the_watcher = std::fs::remove_dir_all(&self.home);
    }

    fn end(&self, how: &str) {
        if let Some(postmaster) = self.postmaster() {
            signal(how, &[postmaster]);
            self.reap();
            wait_for("PostgreSQL to stop", || (!alive(postmaster)).then_some(()));
        }
    }

    /// Stops the postmaster, so that it starts no more processes, then those it has.
    fn freeze(&self) -> Vec<u32> {
        let Some(postmaster) = self.postmaster() else { return Vec::new() };
        let halt = |processes: &[u32]| {
            signal("STOP", processes);
            let halted = |process: &u32| stopped(*process) || !alive(*process);
            wait_for("processes to stop", || processes.iter().all(halted).then_some(()));
        };
        halt(&[postmaster]);
        let mut processes = children(postmaster);
        halt(&processes);
        processes.insert(0, postmaster);
        processes
    }

    fn reap(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            child.wait().unwrap();
        }
    }

    fn pid_line(&self, index: usize) -> Option<String> {
        let text = std::fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        text.lines().nth(index).map(str::to_owned)
    }
}
