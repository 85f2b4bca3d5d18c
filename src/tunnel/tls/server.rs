//! The server's certificate: made at the first start or read from files, and read again when the files change.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::Ticketer;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::server::{NoClientAuth, WebPkiClientVerifier};

use super::shaken::{Secrets, Shaken};
use super::whole::Whole;
use super::{ALPN, Pin, VERSIONS, broken, provider, read_authorities, read_chain, read_key, unusable};
use crate::disk::create_once;
use crate::error::{Error, ErrorKind, Result};
use crate::tunnel::config::Tls;
use crate::words::trust::TrustWords;

/// The name in a certificate of our own; clients go by the pin and do not read it.
const OWN_NAME: &str = "portwright";

/// The files of our own certificate, beside the database.
const OWN_FILES: (&str, &str) = ("tunnel-cert.pem", "tunnel-key.pem");

/// A certificate of our own is valid from a day ago, for clocks that differ, and for ten years: clients compare its key.
const OWN_LIFE: (Duration, Duration) = (Duration::from_hours(24), Duration::from_hours(3650 * 24));

/// How often the files are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where the certificate is.
#[derive(Debug, Clone)]
pub(crate) struct TlsFiles {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    /// Whether the two are ours to make.
    own: bool,
}

impl TlsFiles {
    /// Returns the files that a configuration means; `None` when it turns TLS off. Our own lie beside the database.
    pub(crate) fn of(tls: &Tls, database: &Path) -> Option<Self> {
        match tls {
            Tls::Off => None,
            Tls::On { files: Some((certificate, key)), client_ca } => Some(Self {
                certificate: certificate.clone(),
                key: key.clone(),
                client_ca: client_ca.clone(),
                own: false,
            }),
            Tls::On { files: None, client_ca } => Some(Self {
                certificate: database.with_file_name(OWN_FILES.0),
                key: database.with_file_name(OWN_FILES.1),
                client_ca: client_ca.clone(),
                own: true,
            }),
        }
    }

    /// Returns the fingerprint of the certificate, which is made where it is ours and missing.
    pub(crate) fn pin(&self) -> Result<Pin> {
        self.make_missing()?;
        self.pin_of(&read_chain(&self.certificate)?)
    }

    fn pin_of(&self, chain: &[CertificateDer<'_>]) -> Result<Pin> {
        let none = || Error::new(ErrorKind::Missing, TrustWords::NoCertificate { path: self.certificate.clone() });
        chain.first().and_then(Pin::of).ok_or_else(none)
    }

    /// Makes our own key and certificate where they are missing. What is there is never overwritten: a key without a
    /// certificate gets one, a certificate without its key is refused.
    fn make_missing(&self) -> Result<()> {
        let missing = |path: &Path| matches!(path.try_exists(), Ok(false));
        if !self.own || !missing(&self.certificate) {
            return Ok(());
        }
        if let Some(folder) = self.key.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|error| cannot_make(&error))?;
        }
        if missing(&self.key) {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| cannot_make(&error))?;
            create_once(&self.key, key.serialize_pem().as_bytes(), true)?;
        }
        let key = read_key(&self.key)?;
        let key = KeyPair::try_from(&key).map_err(|error| broken(&self.key, &error))?;
        let certificate = own_certificate(&key).map_err(|error| cannot_make(&error))?;
        create_once(&self.certificate, certificate.as_bytes(), false).map(|_| ())
    }

    /// Tells by times and lengths whether a file was changed.
    fn stamp(&self) -> Stamp {
        let of = |path: &Path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()].map(|path| path.and_then(|path| of(path)))
    }

    fn load(&self) -> Result<Loaded> {
        let chain = read_chain(&self.certificate)?;
        let key = read_key(&self.key)?;
        let pin = self.pin_of(&chain)?;
        let provider = provider();
        let verifier = match &self.client_ca {
            None => Arc::new(NoClientAuth),
            Some(path) => {
                let roots = Arc::new(read_authorities(path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
                verifier.map_err(|error| broken(path, &error))?
            }
        };
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(VERSIONS);
        let builder = builder.map_err(|error| unusable(&error))?.with_client_cert_verifier(verifier);
        let mut config = builder.with_single_cert(chain, key).map_err(|error| {
            let (certificate, key) = (self.certificate.clone(), self.key.clone());
            Error::new(ErrorKind::Missing, TrustWords::KeyMismatch { certificate, key, reason: error.to_string() })
        })?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.ignore_client_order = true;
        config.enable_secret_extraction = true;
        // Tickets that carry their state: strangers cannot push out those of clients. A new key with every load, so
        // that no ticket outlives the certificate that it was given under.
        config.ticketer = Ticketer::new().map_err(|error| unusable(&error))?;
        Ok(Loaded { config: Arc::new(config), pin })
    }
}

/// Makes a TLS connection of one that a client opened.
pub(crate) async fn accept(config: &ServerConfig, stream: TcpStream) -> io::Result<Shaken> {
    let secrets = Arc::new(Secrets::default());
    let mut config = config.clone();
    config.key_log = Arc::<Secrets>::clone(&secrets);
    let stream = TlsAcceptor::from(Arc::new(config)).accept(Whole::new(stream)).await?;
    Ok(Shaken::new(stream.into(), secrets))
}

fn own_certificate(key: &KeyPair) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::new(vec![OWN_NAME.to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, OWN_NAME);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = rcgen::date_time_ymd(1970, 1, 1) + SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    params.not_before = now - OWN_LIFE.0;
    params.not_after = now + OWN_LIFE.1;
    Ok(params.self_signed(key)?.pem())
}

fn cannot_make(error: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Missing, TrustWords::CannotMakeCertificate { reason: error.to_string() })
}

type Stamp = [Option<(SystemTime, u64)>; 3];

struct Loaded {
    config: Arc<ServerConfig>,
    pin: Pin,
}

struct State {
    loaded: Loaded,
    stamp: Stamp,
    looked: Instant,
    /// The state of the files that could not be loaded, so that it is logged once.
    refused: Option<Stamp>,
}

/// The server's certificate in use. Sessions keep what they began with; new ones get what is on disk.
pub(crate) struct ServerTls {
    files: TlsFiles,
    state: Mutex<State>,
}

impl ServerTls {
    /// Reads the certificate, and makes it first where it is ours and missing.
    pub(crate) fn open(files: TlsFiles) -> Result<Self> {
        files.make_missing()?;
        let stamp = files.stamp();
        let loaded = files.load()?;
        let state = State { loaded, stamp, looked: Instant::now(), refused: None };
        Ok(Self { files, state: Mutex::new(state) })
    }

    /// Returns the fingerprint for clients to pin.
    pub(crate) fn pin(&self) -> Pin {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).loaded.pin
    }

    /// Makes a TLS connection of one that a client opened, with the certificate that is there now.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<Shaken> {
        accept(&self.config_at(Instant::now()), stream).await
    }

    /// Returns what to accept the next connection with; looks at the files at most once a second. Files that cannot
    /// be used, as in the middle of a renewal, leave the present certificate in use.
    pub(super) fn config_at(&self, now: Instant) -> Arc<ServerConfig> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(state.looked) >= LOOK_EVERY {
            state.looked = now;
            self.look_again(&mut state);
        }
        Arc::clone(&state.loaded.config)
    }

    fn look_again(&self, state: &mut State) {
        let stamp = self.files.stamp();
        if stamp == state.stamp {
            return;
        }
        match self.files.load() {
            Ok(loaded) => {
                tracing::info!(pin = %loaded.pin, before = %state.loaded.pin, "the certificate was replaced");
                state.loaded = loaded;
                state.stamp = stamp;
                state.refused = None;
            }
            Err(error) => {
                if state.refused != Some(stamp) {
                    tracing::warn!(%error, "the changed certificate cannot be used; the present one stays");
                }
                state.refused = Some(stamp);
            }
        }
    }
}
