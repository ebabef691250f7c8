//! What is loaded: a server that runs, or one that is started for it on a fresh store.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use crate::figures::Usage;

/// A server to ask.
#[derive(Debug)]
pub(crate) struct Target {
    url: String,
    pid: Option<u32>,
    answers: bool,
    started: Option<Started>,
}

#[derive(Debug)]
struct Started {
    child: Child,
    _home: TempDir,
}

impl Target {
    pub(crate) fn running(url: String, pid: Option<u32>) -> Self {
        Self { url, pid, answers: true, started: None }
    }

    /// Starts `echo`, or a program with variables for its environment: `program,NAME=value,…`.
    pub(crate) async fn start(described: &str, policies: &Path) -> anyhow::Result<Self> {
        let home = tempfile::Builder::new().prefix("magistrate-load-").tempdir()?;
        let mut parts = described.split(',');
        let program = parts.next().unwrap_or_default();
        let variables: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
        let mut command = match program {
            "echo" => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("echo");
                command
            }
            program => prepared(program, &home, policies)?,
        };
        command.envs(variables).stderr(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().with_context(|| format!("cannot start `{program}`"))?;
        let Some(output) = child.stderr.take() else { bail!("`{program}` has no output") };
        let address = tokio::task::spawn_blocking(move || address(output)).await??;
        let pid = Some(child.id());
        let started = Some(Started { child, _home: home });
        Ok(Self { url: format!("http://{address}"), pid, answers: program != "echo", started })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Whether its answers mean anything.
    pub(crate) fn answers(&self) -> bool {
        self.answers
    }

    /// What its process used so far.
    pub(crate) fn usage(&self) -> Option<Usage> {
        Usage::of(self.pid?)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(Started { child, .. }) = &mut self.started {
            let _ended = child.kill();
            let _reaped = child.wait();
        }
    }
}

/// A server on a fresh store with the policies applied.
fn prepared(program: &str, home: &TempDir, policies: &Path) -> anyhow::Result<Command> {
    let program = std::fs::canonicalize(program).with_context(|| format!("there is no program `{program}`"))?;
    let policies = std::fs::canonicalize(policies).with_context(|| format!("there is no `{}`", policies.display()))?;
    let run = |arguments: &[&str]| {
        let output = Command::new(&program).current_dir(home.path()).args(arguments).output()?;
        if !output.status.success() {
            bail!("`{}` failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    };
    run(&["migrate"])?;
    run(&["policy", "apply", &policies.to_string_lossy(), "--with-data", "--reason", "load"])?;
    let mut command = Command::new(&program);
    command.current_dir(home.path()).args(["serve", "--listen", "127.0.0.1:0", "--ops-listen", "off"]);
    Ok(command)
}

/// The address a server tells once it is ready; what it says later is read and dropped.
fn address(output: impl std::io::Read + Send + 'static) -> anyhow::Result<String> {
    use std::io::BufRead as _;
    let mut lines = std::io::BufReader::new(output).lines().map_while(Result::ok);
    let mut said = Vec::new();
    for line in lines.by_ref() {
        if let Some((_, rest)) = line.split_once("\"address\":\"") {
            let address = rest.split('"').next().unwrap_or_default().to_owned();
            std::thread::spawn(move || lines.for_each(drop));
            return Ok(address);
        }
        said.push(line);
    }
    bail!("the server never listened: {}", said.join("\n"))
}
