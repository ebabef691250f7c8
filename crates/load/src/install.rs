//! Installing the peers that registries of packages offer. What cannot be had is told, never passed over.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::output::tell;
use crate::target::{CEDAR_AGENT, CERBOS};

/// The versions that are compared with.
const CERBOS_PACKAGE: &str = "@cerbos/cerbos-linux-x64@0.55.0";
const CEDAR_AGENT_VERSION: &str = "0.2.2-x86.64-unknown-linux-gnu";
/// Why OPA is not among them.
const NO_OPA: &str = "its server is in none of crates.io, npm, PyPI and Debian 12 (what npm and PyPI offer are clients \
    and WebAssembly run-times, which are not the server)";

/// Installs what is missing below a directory, and returns the names of the peers that are there.
pub(crate) fn install(directory: &Path) -> Vec<&'static str> {
    let mut there = Vec::new();
    for (name, program, fetch) in
        [("cerbos", CERBOS, cerbos as fn(&Path) -> anyhow::Result<()>), ("cedar-agent", CEDAR_AGENT, cedar_agent)]
    {
        if !directory.join(program).is_file() {
            tell(&format!("installing {name} in `{}`", directory.display()));
            if let Err(why) = fetch(directory) {
                tell(&format!("SKIPPED: {name}: {why:#}"));
                continue;
            }
        }
        there.push(name);
    }
    tell(&format!("SKIPPED: opa: {NO_OPA}"));
    there
}

fn cerbos(directory: &Path) -> anyhow::Result<()> {
    let home = directory.join("cerbos");
    std::fs::create_dir_all(&home)?;
    run(Command::new("npm").current_dir(&home).args(["pack", "--silent", CERBOS_PACKAGE]))?;
    let packed = std::fs::read_dir(&home)?.filter_map(|entry| Some(entry.ok()?.path()));
    let packed = packed.into_iter().find(|path| path.extension().is_some_and(|it| it == "tgz"));
    // By its name alone: the directory may be told from where this runs.
    let packed = packed.as_deref().and_then(Path::file_name).context("npm packed nothing")?;
    run(Command::new("tar").current_dir(&home).arg("-xzf").arg(packed))
}

fn cedar_agent(directory: &Path) -> anyhow::Result<()> {
    let home = directory.join("cedar-agent");
    let mut command = Command::new("cargo");
    command.args(["install", "cedar-agent", "--locked", "--quiet", "--version", CEDAR_AGENT_VERSION, "--root"]);
    // Not into the build of the workspace.
    run(command.arg(home).env_remove("CARGO_TARGET_DIR"))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let told = format!("`{}`", command.get_program().to_string_lossy());
    let output = command.output().with_context(|| format!("{told} does not start"))?;
    if !output.status.success() {
        bail!("{told} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
