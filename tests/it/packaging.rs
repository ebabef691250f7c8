//! What the program is shipped in: linted by what the registries offer, and its steps run natively.

use std::path::{Path, PathBuf};
use std::process::Command;

use magistrate_tests::{skip, workspace};

mod compose;
mod image;

/// A program that `tests/run` installs, if it did.
fn tool(name: &str) -> Option<PathBuf> {
    Some(workspace().join("target/python/bin").join(name)).filter(|path| path.is_file())
}

/// Runs a tool to its end and expects it to be content.
#[track_caller]
fn content(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}:\n{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn dockerfile_is_clean() {
    let Some(hadolint) = tool("hadolint") else { return skip("dockerfile_is_clean", "no hadolint; run tests/run") };
    content(Command::new(hadolint).arg(workspace().join("Dockerfile")));
}

/// Both forms of the chart are valid for the API of the oldest and the newest Kubernetes the validator knows of.
#[test]
fn chart_renders_to_valid_resources() {
    let (Some(helm), Some(validate)) = (tool("helm"), tool("kubernetes-validate")) else {
        return skip("chart_renders_to_valid_resources", "no helm or kubernetes-validate; run tests/run");
    };
    let chart = workspace().join("deploy/helm/magistrate");
    let shared = [
        "tls.secret=tls",
        "database.url=postgres://magistrate_app@db/magistrate",
        "database.passwordSecret=app",
        "database.migrate.url=postgres://postgres@db/magistrate",
        "database.migrate.passwordSecret=passwords",
    ];
    for (values, kinds) in [
        (&shared[..], &["Deployment", "Job", "PodDisruptionBudget", "NetworkPolicy", "Service"][..]),
        (&["tls.secret=tls", "replicas=1"], &["StatefulSet", "PodDisruptionBudget", "NetworkPolicy", "Service"]),
    ] {
        let set: Vec<String> = values.iter().flat_map(|value| ["--set".to_owned(), (*value).to_owned()]).collect();
        content(Command::new(&helm).args(["lint", "--strict"]).arg(&chart).args(&set));
        let rendered = content(Command::new(&helm).args(["template", "m"]).arg(&chart).args(&set));
        let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
        std::fs::write(file.path(), &rendered).unwrap();
        for version in ["1.27", "1.33"] {
            content(Command::new(&validate).args(["--strict", "-k", version]).arg(file.path()));
        }
        for kind in kinds {
            assert!(rendered.contains(&format!("kind: {kind}\n")), "no {kind} in:\n{rendered}");
        }
    }
}

/// What cannot work is refused when it is rendered, in words.
#[test]
fn chart_refuses_what_cannot_work() {
    let Some(helm) = tool("helm") else { return skip("chart_refuses_what_cannot_work", "no helm; run tests/run") };
    for (values, says) in [
        (&["replicas=1"][..], "tls.secret is required"),
        (&["tls.secret=t"], "set replicas to 1, or name a database"),
        (&["tls.secret=t", "database.url=postgres://x@y/z"], "database.passwordSecret is required"),
    ] {
        let set: Vec<String> = values.iter().flat_map(|value| ["--set".to_owned(), (*value).to_owned()]).collect();
        let output = Command::new(&helm)
            .args(["template", "m"])
            .arg(workspace().join("deploy/helm/magistrate"))
            .args(set)
            .output();
        let told = String::from_utf8_lossy(&output.unwrap().stderr).into_owned();
        assert!(told.contains(says), "wanted `{says}` in: {told}");
    }
}

/// The unit parses, and systemd finds it little exposed.
#[test]
fn unit_is_hardened() {
    let unit = workspace().join("deploy/systemd/magistrate.service");
    let Ok(version) = Command::new("systemd-analyze").arg("--version").output() else {
        return skip("unit_is_hardened", "no systemd-analyze; run tests/run");
    };
    assert!(version.status.success());
    // The unit names the program where packages install it.
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output().unwrap();
    let told = String::from_utf8_lossy(&verified.stderr).into_owned();
    let strange = told.lines().filter(|line| line.contains("magistrate") && !line.contains("is not executable"));
    assert_eq!(strange.collect::<Vec<_>>(), Vec::<&str>::new());
    content(
        Command::new("systemd-analyze").args(["security", "--offline=true", "--threshold=20", "--no-pager"]).arg(&unit),
    );
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
