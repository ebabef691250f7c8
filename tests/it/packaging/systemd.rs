//! The units: parsed and rated by systemd's own tools, and what they start run without systemd.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use magistrate_tests::{Ran, Store, magistrate, program, ran, skip, workspace};

use super::content;

/// Longer than any step takes on a loaded machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// What other settings would imply, or the rating hardly notices, and must stand there all the same.
const WALLS: [&str; 10] = [
    "DynamicUser=yes",
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "MemoryDenyWriteExecute=yes",
    "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @resources",
];

fn directory() -> PathBuf {
    workspace().join("deploy/systemd")
}

/// What a unit says of a key, in order.
fn said(unit: &str, key: &str) -> Vec<String> {
    let text = std::fs::read_to_string(directory().join(unit)).unwrap();
    let key = format!("{key}=");
    text.lines().filter_map(|line| line.strip_prefix(&key)).map(str::to_owned).collect()
}

/// The units parse, and systemd finds them little exposed.
#[test]
fn units_are_hardened() {
    let Ok(version) = Command::new("systemd-analyze").arg("--version").output() else {
        return skip("units_are_hardened", "no systemd-analyze; run tests/run");
    };
    assert!(version.status.success());
    for unit in ["magistrate.service", "magistrate-migrate.service"] {
        let path = directory().join(unit);
        let text = std::fs::read_to_string(&path).unwrap();
        let missing: Vec<&str> = WALLS.into_iter().filter(|wall| !text.lines().any(|line| line == *wall)).collect();
        assert_eq!(missing, Vec::<&str>::new(), "{unit}");
        // The units name the program where packages install it.
        let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output().unwrap();
        let told = String::from_utf8_lossy(&verified.stderr).into_owned();
        let strange = told.lines().filter(|line| line.contains("magistrate") && !line.contains("is not executable"));
        assert_eq!(strange.collect::<Vec<_>>(), Vec::<&str>::new());
        let security = ["security", "--offline=true", "--threshold=15", "--no-pager"];
        content(Command::new("systemd-analyze").args(security).arg(&path));
    }
}

/// Both units run as one user in one directory, with the same configuration.
#[test]
fn units_agree() {
    for key in ["User", "DynamicUser", "StateDirectory", "WorkingDirectory", "LoadCredential", "UMask"] {
        let [one, two] = ["magistrate.service", "magistrate-migrate.service"].map(|unit| said(unit, key));
        assert!(!one.is_empty() && one == two, "{key}: {one:?}, {two:?}");
    }
    let seconds = |unit: &str, key: &str| said(unit, key)[0].trim_end_matches('s').parse::<u64>().unwrap();
    let sample = std::fs::read_to_string(directory().join("magistrate.toml")).unwrap();
    let delay = sample.lines().find_map(|line| line.strip_prefix("drain_delay_seconds = ")).unwrap();
    assert!(seconds("magistrate.service", "TimeoutStopSec") > delay.parse::<u64>().unwrap() + 10);
}

/// A line that starts something, as systemd would: `${CREDENTIALS_DIRECTORY}` holds the sample configuration.
fn started(unit: &str, key: &str, home: &Path) -> Command {
    let lines = said(unit, key);
    let credentials = home.join("credentials");
    std::fs::create_dir_all(&credentials).unwrap();
    std::fs::copy(directory().join("magistrate.toml"), credentials.join("magistrate.toml")).unwrap();
    let line = lines.first().unwrap().replace("${CREDENTIALS_DIRECTORY}", credentials.to_str().unwrap());
    let mut words = line.split(' ');
    assert_eq!(words.next(), Some("/usr/bin/magistrate"));
    let mut command = Command::new(program());
    command.env_clear().current_dir(home).args(words);
    command.envs(said(unit, "Environment").iter().filter_map(|it| it.split_once('=')));
    command
}

/// The migration makes the store, the check before the start is content with it, and the server says when it is ready
/// and when it stops.
#[test]
fn unit_steps_work_without_systemd() {
    let store = Store::nowhere();
    let home = store.home();
    let before = ran(&mut started("magistrate.service", "ExecStartPre", home));
    assert!(before.code == 1 && before.out.contains("magistrate migrate"), "{}{}", before.out, before.err);
    let steps = [("magistrate-migrate.service", "ExecStart"), ("magistrate.service", "ExecStartPre")];
    let _done: Vec<Ran> = steps.map(|(unit, key)| ran(&mut started(unit, key, home)).code(0)).into();
    let socket = home.join("notify");
    let heard = UnixDatagram::bind(&socket).unwrap();
    heard.set_read_timeout(Some(PATIENCE)).unwrap();
    let until = |wanted: &str| {
        let mut buffer = [0; 4096];
        loop {
            let length = heard.recv(&mut buffer).unwrap();
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.lines().any(|line| line == wanted) {
                return;
            }
        }
    };
    let mut serve = started("magistrate.service", "ExecStart", home);
    // Ports of this machine may be taken.
    serve.args([
        "--listen",
        "127.0.0.1:0",
        "--ops-listen",
        "127.0.0.1:0",
        "--admin-listen",
        "off",
        "--drain-delay",
        "0",
    ]);
    let mut server = serve.env("NOTIFY_SOCKET", &socket).stderr(Stdio::null()).spawn().unwrap();
    until("READY=1");
    let kill = said("magistrate.service", "ExecReload")[0].replace("$MAINPID", &server.id().to_string());
    content(Command::new("sh").args(["-c", &kill]));
    until("RELOADING=1");
    until("READY=1");
    content(Command::new("kill").args(["-TERM", &server.id().to_string()]));
    until("STOPPING=1");
    assert!(server.wait().unwrap().success());
    let _here = magistrate(home, ["policy", "status"]).code(0);
}
