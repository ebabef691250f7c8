//! What `.dockerignore` lets through is what the image is built of: enough, and nothing of this machine.

use std::path::{Component, Path, PathBuf};
use std::process::Command;

use magistrate_tests::{program, workspace};

use super::content;

/// The folders and files that are let through; everything else is kept out by the first line.
fn allowed() -> Vec<String> {
    let text = std::fs::read_to_string(workspace().join(".dockerignore")).unwrap();
    let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    assert_eq!(lines.next(), Some("*"), "everything is kept out at first");
    lines.map(|line| line.strip_prefix('!').unwrap().to_owned()).collect()
}

fn lets_through(allowed: &[String], path: &Path) -> bool {
    allowed.iter().any(|it| path.starts_with(it))
}

/// A path without `..`.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut plain, part| {
        match part {
            Component::ParentDir => _ = plain.pop(),
            Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::Normal(_) => plain.push(part),
        }
        plain
    })
}

#[test]
fn image_context_holds_every_file_the_program_is_built_of() {
    let allowed = allowed();
    let told = std::fs::read_to_string(program().with_extension("d")).unwrap();
    let (_, files) = told.split_once(": ").unwrap();
    let ours = files.split_whitespace().filter_map(|path| {
        let path = plain(Path::new(path)).strip_prefix(workspace()).ok()?.to_owned();
        (!path.starts_with("target")).then_some(path)
    });
    let ours: Vec<PathBuf> = ours.collect();
    assert!(ours.len() > 200, "{}", ours.len());
    let kept_out: Vec<_> = ours.iter().filter(|path| !lets_through(&allowed, path)).collect();
    assert!(kept_out.is_empty(), "{kept_out:?}");
    for secret in ["deploy/compose/secrets/tls_key", ".git/config", "target/debug/magistrate", ".magistrate/policy.db"]
    {
        assert!(!lets_through(&allowed, Path::new(secret)), "{secret}");
    }
}

/// Cargo finds every member of the workspace in it, and the lock as it is.
#[test]
fn image_context_is_a_workspace() {
    let allowed = allowed();
    let context = tempfile::tempdir().unwrap();
    let listed = content(Command::new("git").arg("-C").arg(workspace()).args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
    ]));
    for path in listed.lines().map(Path::new).filter(|path| lets_through(&allowed, path)) {
        let copy = context.path().join(path);
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(workspace().join(path), copy).unwrap();
    }
    let tree = |directory: &Path| {
        let mut tree = Command::new(env!("CARGO"));
        tree.current_dir(directory).args(["tree", "--locked", "--package", "magistrate-server", "--prefix", "none"]);
        tree.args(["--format", "{lib}"]);
        content(&mut tree)
    };
    assert_eq!(tree(context.path()), tree(&workspace()));
    assert!(context.path().join("deploy/image/assemble.sh").is_file(), "the script that makes the image's root");
}
