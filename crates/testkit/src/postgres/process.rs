//! Other processes: who is there, and signals to them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here takes on a loaded machine; only failures wait so long.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until something is there, or panics saying what never came.
pub(super) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// Whether a process runs; one that has ended and waits to be reaped does not.
pub(super) fn alive(process: u32) -> bool {
    stat(process).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

/// Whether a process is stopped by a signal.
pub(super) fn stopped(process: u32) -> bool {
    stat(process).is_some_and(|(state, _)| state == 'T')
}

/// The processes that a process started itself.
pub(super) fn children(parent: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let processes = all.filter_map(|it| it.file_name().to_str()?.parse::<u32>().ok());
    processes.filter(|it| stat(*it).is_some_and(|(_, of)| of == parent)).collect()
}

/// Sends a signal to processes; those that have ended meanwhile do not mind.
pub(super) fn signal(name: &str, processes: &[u32]) {
    if !processes.is_empty() {
        let ids = processes.iter().map(ToString::to_string);
        // The shell's own `kill`: the program is not everywhere.
        let kill = format!("kill -{name} \"$@\"");
        let _some_are_gone = Command::new("sh").args(["-c", &kill, "sh"]).args(ids).output().unwrap();
    }
}

/// Whether a process works in a directory.
pub(super) fn works_in(process: u32, directory: &Path) -> bool {
    let canonical = directory.canonicalize().ok();
    canonical.is_some() && std::fs::read_link(format!("/proc/{process}/cwd")).ok() == canonical
}

/// Starts a process that nobody waits for.
pub(super) fn let_run(command: &mut Command) {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Reaped when it ends before this process does.
    std::thread::spawn(move || child.wait());
}

/// State and parent of a process.
fn stat(process: u32) -> Option<(char, u32)> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
