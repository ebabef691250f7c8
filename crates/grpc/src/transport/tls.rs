//! The certificate a listener shows, read from files and read again when they change.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use magistrate_model::Instant;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use x509_parser::parse_x509_certificate;

/// Where certificate and key lie, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and those between it and the authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Whether TLS 1.2 is spoken too; 1.3 always is.
    pub allow_1_2: bool,
}

/// Certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read the {what} `{}`: {source}", path.display())]
    Unreadable {
        /// Certificate or key.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("the {what} `{}` cannot be used: {why}", path.display())]
    Unusable {
        /// Certificate or key.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why, and what to do about it.
        why: String,
    },
}

/// What a listener shows now.
#[derive(Debug)]
pub struct Certificates {
    files: TlsFiles,
    protocol: &'static [u8],
    shown: ArcSwap<Shown>,
    /// The state of the files when they were last looked at, whether they could be used or not.
    seen: Mutex<Stamp>,
    /// Whether they could not.
    refused: AtomicBool,
}

#[derive(Debug)]
struct Shown {
    config: Arc<ServerConfig>,
    not_after: Instant,
}

/// When and how large files were; a file that is replaced has another inode.
type Stamp = Option<[(u64, u64, i64, i64); 2]>;

impl Certificates {
    /// Reads the files for a listener of HTTP/2.
    pub fn http2(files: TlsFiles) -> Result<Self, TlsError> {
        Self::load(files, b"h2")
    }

    /// The same for a listener of HTTP/1.1.
    pub fn http1(files: TlsFiles) -> Result<Self, TlsError> {
        Self::load(files, b"http/1.1")
    }

    fn load(files: TlsFiles, protocol: &'static [u8]) -> Result<Self, TlsError> {
        let seen = Mutex::new(stamp(&files));
        let shown = ArcSwap::from_pointee(read(&files, protocol)?);
        Ok(Self { files, protocol, shown, seen, refused: AtomicBool::new(false) })
    }

    /// Reads the files again if they have changed, and says whether they had. Files that cannot be used change
    /// nothing: what was shown goes on being shown, and they are told of once.
    pub fn refresh(&self) -> Result<bool, TlsError> {
        let now = stamp(&self.files);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return Ok(false);
        }
        *seen = now;
        let read = read(&self.files, self.protocol);
        self.refused.store(read.is_err(), Ordering::Relaxed);
        self.shown.store(Arc::new(read?));
        Ok(true)
    }

    /// Whether the files, as they are now, cannot be used, so that what is shown is older than they are.
    pub fn refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// What a new connection is shown.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.shown.load().config)
    }

    /// Until when the certificate that is shown is valid.
    pub fn not_after(&self) -> Instant {
        self.shown.load().not_after
    }
}

fn stamp(files: &TlsFiles) -> Stamp {
    let of = |path: &Path| {
        let data = std::fs::metadata(path).ok()?;
        Some((data.ino(), data.size(), data.mtime(), data.mtime_nsec()))
    };
    Some([of(&files.certificate)?, of(&files.key)?])
}

fn read(files: &TlsFiles, protocol: &[u8]) -> Result<Shown, TlsError> {
    let chain = chain(&files.certificate)?;
    let not_after = not_after(chain.first()).map_err(|why| unusable("certificate", &files.certificate, why))?;
    let key = key(&files.key)?;
    let versions = if files.allow_1_2 { &[&TLS13, &TLS12][..] } else { &[&TLS13] };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .map_err(|error| unusable("certificate", &files.certificate, error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| unusable("private key", &files.key, format!("{error}; is it the certificate's?")))?;
    config.alpn_protocols = vec![protocol.to_vec()];
    // What is sent before the handshake is over could be replayed (RFC 8446, section 8).
    config.max_early_data_size = 0;
    Ok(Shown { config: Arc::new(config), not_after })
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read_file("certificate", path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match chain {
        Ok(chain) if chain.is_empty() => {
            Err(unusable("certificate", path, "it holds none; PEM is expected".to_owned()))
        }
        Ok(chain) => Ok(chain),
        Err(error) => Err(unusable("certificate", path, error.to_string())),
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let mode = std::fs::metadata(path).map(|data| data.mode()).map_err(|source| TlsError::Unreadable {
        what: "private key",
        path: path.to_owned(),
        source,
    })?;
    if mode & 0o007 != 0 {
        let why = format!("everybody on this machine may use it (mode {:o}); chmod it to 0600 or 0640", mode & 0o777);
        return Err(unusable("private key", path, why));
    }
    let text = read_file("private key", path)?;
    // The text of the error is not told: it may quote the key.
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
        unusable("private key", path, "it holds none; PEM of PKCS #8, PKCS #1 or SEC 1 is expected".to_owned())
    })
}

fn read_file(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Unreadable { what, path: path.to_owned(), source })
}

fn unusable(what: &'static str, path: &Path, why: String) -> TlsError {
    TlsError::Unusable { what, path: path.to_owned(), why }
}

fn not_after(leaf: Option<&CertificateDer<'_>>) -> Result<Instant, String> {
    let leaf = leaf.ok_or("it holds none")?;
    let (_, parsed) = parse_x509_certificate(leaf).map_err(|error| error.to_string())?;
    let seconds = parsed.validity().not_after.timestamp();
    Instant::from_micros(seconds.saturating_mul(1_000_000)).map_err(|error| error.to_string())
}
