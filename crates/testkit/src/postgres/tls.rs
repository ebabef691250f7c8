//! Certificates for a server, made with the `openssl` command.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::programs;

/// Where a server's directory keeps the certificate of its authority.
pub(super) fn authority(home: &Path) -> PathBuf {
    home.join("authority.crt")
}

/// Makes an authority in `home`, and a key and certificate for `localhost` and 127.0.0.1 where the server looks.
pub(super) fn certify(home: &Path, data: &Path) {
    let new_key = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "30"];
    let key = home.join("authority.key");
    openssl(Command::new("openssl").args(new_key).args(["-subj", "/CN=Magistrate test authority"]).args([
        "-addext".as_ref(),
        "basicConstraints=critical,CA:TRUE".as_ref(),
        "-keyout".as_ref(),
        key.as_os_str(),
        "-out".as_ref(),
        authority(home).as_os_str(),
    ]));
    let request = home.join("server.csr");
    let own_key = data.join("server.key");
    let new_request = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"];
    openssl(Command::new("openssl").args(new_request).args(["-subj", "/CN=localhost"]).args([
        "-keyout".as_ref(),
        own_key.as_os_str(),
        "-out".as_ref(),
        request.as_os_str(),
    ]));
    sign(home, &request, &data.join("server.crt"));
    std::fs::set_permissions(&own_key, Permissions::from_mode(0o600)).unwrap();
    programs::hand_over(&own_key);
}

fn sign(home: &Path, request: &Path, certificate: &Path) {
    let names = home.join("server.names");
    std::fs::write(&names, "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n").unwrap();
    let mut signing = Command::new("openssl");
    signing.args(["x509", "-req", "-days", "30", "-set_serial", "1"]);
    signing.arg("-in").arg(request).arg("-CA").arg(authority(home)).arg("-CAkey").arg(home.join("authority.key"));
    openssl(signing.arg("-extfile").arg(names).arg("-out").arg(certificate));
}

fn openssl(command: &mut Command) {
    let ran = command.output().unwrap_or_else(|e| panic!("install Debian's package `openssl`: {e}"));
    assert!(ran.status.success(), "openssl failed: {}", String::from_utf8_lossy(&ran.stderr));
}
