//! The image's root directory, made by the script that the Dockerfile uses, with the program run in it: as its user,
//! without any other program, on a root file system that cannot be written.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use magistrate_tests::{program, skip, workspace};
use tempfile::TempDir;

use super::{content, exists};

/// A root directory, mounted read-only over itself; unmounted when dropped.
struct Image {
    home: TempDir,
}

impl Image {
    /// Nothing where the tests do not run as a user who may give files away and mount.
    fn assemble() -> Option<Self> {
        if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
            return None;
        }
        let home = tempfile::Builder::new().prefix("magistrate-image-").tempdir().unwrap();
        let image = Self { home };
        content(Command::new("sh").arg(workspace().join("deploy/image/assemble.sh")).arg(program()).arg(image.root()));
        let data = std::fs::metadata(image.root().join("var/lib/magistrate")).unwrap();
        assert_eq!((data.uid(), data.gid(), data.mode() & 0o7777), (65_532, 65_532, 0o750), "the store's place");
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

    let version = content(&mut image.command(&["--version"]));
    assert!(version.starts_with("magistrate "), "{version}");
    let data = ["--data", "/var/lib/magistrate/store"];
    content(image.command(&["migrate"]).args(data));
    let (mut server, ops, _) = serve(&image, &data);
    let health = |kind, ops: &str| image.command(&["health", kind, "--ops", ops]).output().unwrap().status.code();
    let told = (health("--live", &ops), health("--ready", &ops));
    assert!(stop(&mut server) && told == (Some(0), Some(1)), "alive, and without policies not ready: {told:?}");

    // The only place that can be written is where policies can be put for it to read.
    let policies = root.join("var/lib/magistrate/policies");
    content(Command::new("cp").arg("-r").arg(workspace().join("policies")).arg(&policies));
    let apply = ["policy", "apply", "/var/lib/magistrate/policies", "--with-data", "--reason", "test"];
    content(image.command(&apply).args(data));
    let (mut server, ops, address) = serve(&image, &data);
    let url = format!("http://{address}");
    let ask = |principal| {
        let check = ["check", "--server", &url, principal, "readMessage", "Company::Message::m-1001"];
        image.command(&check).output().unwrap().status.code()
    };
    let told = (health("--ready", &ops), ask("Company::User::ana"), ask("Company::Service::payments"));
    let ended = stop(&mut server);
    assert_eq!(told, (Some(0), Some(0), Some(5)), "ready, an allow, a deny");
    assert!(ended, "it ends well");
}

/// A server in the image, with the addresses of its operations listener and its door.
fn serve(image: &Image, data: &[&str]) -> (Child, String, String) {
    let mut serve = image.command(&["--default-namespace", "Company", "serve", "--listen", "127.0.0.1:0"]);
    serve.args(["--ops-listen", "127.0.0.1:0", "--admin-listen", "off"]).args(data);
    let mut server = serve.stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(server.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut all = Vec::new();
    for line in lines {
        let value = |name: &str| Some(line.split_once(&format!("\"{name}\":\""))?.1.split('"').next()?.to_owned());
        if let (Some(ops), Some(address)) = (value("ops"), value("address")) {
            return (server, ops, address);
        }
        all.push(line);
    }
    let _reaped = server.wait();
    panic!("the server never listened: {all:#?}")
}

/// Tells a server to stop; whether it was told and ended well.
fn stop(server: &mut Child) -> bool {
    let told = Command::new("kill").args(["-TERM", &server.id().to_string()]).status().unwrap();
    told.success() && server.wait().unwrap().success()
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
