//! The image's root directory, made by the script that the Dockerfile uses, with the program run in it: as its user,
//! without any other program, on a root file system that cannot be written.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use magistrate_tests::{program, skip, workspace};
use tempfile::TempDir;

use super::{content, exists};

/// A root directory, mounted read-only over itself; unmounted when dropped.
struct Image {
    home: TempDir,
}

impl Image {
    fn assemble() -> Option<Self> {
        let home = tempfile::Builder::new().prefix("magistrate-image-").tempdir().unwrap();
        let image = Self { home };
        content(Command::new("sh").arg(workspace().join("deploy/image/assemble.sh")).arg(program()).arg(image.root()));
        let mount = |arguments: &[&str]| {
            let status = Command::new("mount").args(arguments).stderr(Stdio::null()).status();
            status.is_ok_and(|status| status.success())
        };
        let root = image.root().to_str().unwrap().to_owned();
        let data = format!("{root}/var/lib/magistrate");
        let mounted = mount(&["--bind", &root, &root])
            && mount(&["-t", "tmpfs", "-o", "size=64m,uid=65532,gid=65532,mode=750", "tmpfs", &data])
            && mount(&["-o", "remount,bind,ro", &root]);
        mounted.then_some(image)
    }

    fn root(&self) -> std::path::PathBuf {
        self.home.path().join("root")
    }

    /// The program as the image would start it.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("chroot");
        command.args(["--userspec=65532:65532"]).arg(self.root()).arg("/usr/bin/magistrate").args(arguments);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        for path in [self.root().join("var/lib/magistrate"), self.root()] {
            let _unmounted = Command::new("umount").arg("-l").arg(path).stderr(Stdio::null()).status();
        }
    }
}

#[test]
fn image_holds_what_the_program_needs_and_no_more() {
    let Some(image) = Image::assemble() else {
        return skip("image_holds_what_the_program_needs_and_no_more", "file systems cannot be mounted here");
    };
    let root = image.root();
    let programs: Vec<_> =
        files(&root).into_iter().filter(|path| !path.starts_with("lib") && !path.starts_with("usr/lib")).collect();
    let expected = ["etc/group", "etc/nsswitch.conf", "etc/passwd", "usr/bin/magistrate"];
    let others: Vec<_> = programs.iter().filter(|path| !path.starts_with("etc/ssl/")).map(String::as_str).collect();
    assert_eq!(others, expected, "nothing but the program and what it reads");
    assert!(!exists(&root.join("bin/sh")) && !exists(&root.join("usr/bin/sh")), "no shell");
    assert_eq!(std::fs::metadata(root.join("var/lib/magistrate")).unwrap().uid(), 65_532);

    let version = content(&mut image.command(&["--version"]));
    assert!(version.starts_with("magistrate "), "{version}");
    let data = ["--data", "/var/lib/magistrate/store"];
    content(image.command(&["migrate"]).args(data));
    let mut server = image.command(&["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
    let mut server = server.args(data).stderr(Stdio::piped()).spawn().unwrap();
    let ops = address(&mut server);
    let health = |kind| image.command(&["health", kind, "--ops", &ops]).output().unwrap();
    let alive = health("--live");
    let ready = health("--ready");
    let status = Command::new("kill").args(["-TERM", &server.id().to_string()]).status().unwrap();
    let ended = server.wait().unwrap();
    assert!(alive.status.success(), "{alive:?}");
    assert_eq!(ready.status.code(), Some(1), "no policy is applied: {ready:?}");
    assert!(status.success() && ended.success(), "{ended:?}");
}

/// The operations address that a server logs.
fn address(server: &mut std::process::Child) -> String {
    use std::io::BufRead as _;
    let lines = std::io::BufReader::new(server.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut all = Vec::new();
    for line in lines {
        if let Some((_, rest)) = line.split_once("\"ops\":\"") {
            return rest.split('"').next().unwrap().to_owned();
        }
        all.push(line);
    }
    let _reaped = server.wait();
    panic!("the server never listened: {all:#?}")
}

/// Every file below a directory, relative to it, in order.
fn files(root: &Path) -> Vec<String> {
    let (mut found, mut open) = (Vec::new(), vec![root.to_owned()]);
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned()),
            }
        }
    }
    found.sort();
    found
}
