//! How a client checks the server that it dials: by pin, by an authority, or not at all.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, OtherError,
    SignatureScheme,
};
use tokio_rustls::{TlsConnector, rustls};

use super::shaken::{Secrets, Shaken};
use super::whole::Whole;
use super::{ALPN, Pin, VERSIONS, broken, provider, read_authorities, read_chain, read_key, unusable};
use crate::error::{Error, ErrorKind, Result};
use crate::remote::tls::client_config;
use crate::tunnel::policy::Host;
use crate::words::trust::TrustWords;

/// The name that is sent where the host is none that TLS can carry.
const ANY_NAME: &str = "portwright";

/// How a client knows its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trust {
    /// By the fingerprint of its key; names and dates do not matter then.
    Pin(Pin),
    /// By a certificate of this authority for the name that is dialled.
    Authority(PathBuf),
    /// Not yet: every server is refused, with the fingerprint that it shows.
    Nobody,
    /// Without TLS. Away from this machine only where a person insisted.
    Plaintext {
        /// Whether a person insisted.
        insecure: bool,
    },
}

/// What is needed to make a [`ClientLink`].
#[derive(Debug, Clone)]
pub(crate) struct ClientLinkBuilder {
    /// How the server is known.
    pub(crate) trust: Trust,
    /// Certificate and key of the client, where the server asks for them.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

/// How connections to the server are made; one for the life of a client, so that data connections resume TLS sessions.
#[derive(Clone)]
pub(crate) enum ClientLink {
    /// In TLS.
    Tls(Arc<ClientConfig>),
    /// In plaintext.
    Plain {
        /// Whether to dial other machines, too.
        insecure: bool,
    },
}

impl ClientLink {
    /// A link to look whether a server is there, and to say nothing to it: nobody is judged. Never for a session.
    pub(crate) fn to_look() -> Result<Self> {
        Ok(Self::Tls(Arc::new(client_config(None, ALPN)?)))
    }
}

impl fmt::Debug for ClientLink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if matches!(self, Self::Tls(_)) { "Tls" } else { "Plain" })
    }
}

impl ClientLinkBuilder {
    /// Reads the files and puts the link together.
    pub(crate) fn build(&self) -> Result<ClientLink> {
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms;
        let check = match &self.trust {
            Trust::Plaintext { insecure } => return Ok(ClientLink::Plain { insecure: *insecure }),
            Trust::Pin(pin) => Check::Pin(*pin),
            Trust::Nobody => Check::Nobody,
            Trust::Authority(path) => Check::authority(path, &provider)?,
        };
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(VERSIONS);
        let builder = builder.map_err(|error| unusable(&error))?.dangerous();
        let builder = builder.with_custom_certificate_verifier(Arc::new(ServerCheck { check, algorithms }));
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => with_identity(builder, certificate, key)?,
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.enable_secret_extraction = true;
        Ok(ClientLink::Tls(Arc::new(config)))
    }
}

fn with_identity(
    builder: rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>,
    certificate: &Path,
    key: &Path,
) -> Result<ClientConfig> {
    builder.with_client_auth_cert(read_chain(certificate)?, read_key(key)?).map_err(|error| {
        let (certificate, key) = (certificate.to_path_buf(), key.to_path_buf());
        Error::new(ErrorKind::Missing, TrustWords::KeyMismatch { certificate, key, reason: error.to_string() })
    })
}

/// Makes connections to a web server, which speaks HTTP within TLS 1.3 and is no server of a tunnel.
#[derive(Clone)]
pub(crate) struct WebTls(TlsConnector);

impl fmt::Debug for WebTls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("WebTls")
    }
}

impl WebTls {
    /// For servers with a certificate of this authority.
    pub(crate) fn trusting(authority: &Path) -> Result<Self> {
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms;
        let check = Check::authority(authority, &provider)?;
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(VERSIONS);
        let builder = builder.map_err(|error| unusable(&error))?.dangerous();
        let builder = builder.with_custom_certificate_verifier(Arc::new(ServerCheck { check, algorithms }));
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Makes a TLS connection to `host` over a TCP connection.
    pub(crate) async fn connect(&self, host: &Host, stream: TcpStream) -> Result<TlsStream<TcpStream>, LinkFault> {
        shake(&self.0, host, stream).await
    }
}

/// Makes a TLS connection to the server of a tunnel at `host` over a TCP connection.
pub(crate) async fn connect(config: &ClientConfig, host: &Host, stream: TcpStream) -> Result<Shaken, LinkFault> {
    let secrets = Arc::new(Secrets::default());
    let mut config = config.clone();
    config.key_log = Arc::<Secrets>::clone(&secrets);
    let stream = shake(&TlsConnector::from(Arc::new(config)), host, Whole::new(stream)).await?;
    let shaken = Shaken::new(stream.into(), secrets);
    if shaken.is_ours() { Ok(shaken) } else { Err(LinkFault::Foreign) }
}

async fn shake<S>(connector: &TlsConnector, host: &Host, stream: S) -> Result<TlsStream<S>, LinkFault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = match host {
        Host::Address(address) => ServerName::IpAddress((*address).into()),
        Host::Name(name) => ServerName::try_from(name.clone())
            .or_else(|_| ServerName::try_from(ANY_NAME))
            .map_err(|error| LinkFault::Tls(error.to_string()))?,
    };
    connector.connect(name, stream).await.map_err(|error| LinkFault::of(&error))
}

/// Why no TLS connection to the server came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LinkFault {
    /// The certificate is not the one that is wanted.
    Certificate(Unacceptable),
    /// What answers does not speak TLS 1.3, or not our protocol within it.
    Foreign,
    /// The server hung up in the middle; one without TLS does that.
    Closed,
    /// The server wants a certificate of the client.
    WantsCertificate,
    /// The connection failed.
    Broken(String),
    /// Anything else that TLS found.
    Tls(String),
}

impl LinkFault {
    /// Reads what TLS says in an error of the connection.
    pub(crate) fn of(error: &io::Error) -> Self {
        let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) else {
            return match error.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                    Self::Closed
                }
                _ => Self::Broken(error.to_string()),
            };
        };
        match tls {
            TlsError::InvalidCertificate(CertificateError::Other(OtherError(inner))) => {
                match inner.downcast_ref::<Unacceptable>() {
                    Some(unacceptable) => Self::Certificate(unacceptable.clone()),
                    None => Self::Tls(tls.to_string()),
                }
            }
            TlsError::AlertReceived(AlertDescription::CertificateRequired) => Self::WantsCertificate,
            TlsError::InvalidMessage(_)
            | TlsError::PeerIncompatible(_)
            | TlsError::AlertReceived(AlertDescription::ProtocolVersion | AlertDescription::NoApplicationProtocol) => {
                Self::Foreign
            }
            other => Self::Tls(other.to_string()),
        }
    }
}

impl LinkFault {
    /// Returns the error for people.
    pub(crate) fn error(&self, server: String) -> Error {
        match self {
            Self::Certificate(unacceptable) => unacceptable.error(server),
            Self::Foreign => {
                Error::new(ErrorKind::Missing, TrustWords::ServerNoTls { server }).hint(TrustWords::CheckServer)
            }
            Self::Closed => {
                Error::new(ErrorKind::Missing, TrustWords::ServerHungUpInTls { server }).hint(TrustWords::CheckServer)
            }
            Self::WantsCertificate => Error::new(ErrorKind::Refused, TrustWords::ServerWantsCertificate { server })
                .hint(TrustWords::GiveCertificate),
            Self::Broken(reason) | Self::Tls(reason) => {
                Error::new(ErrorKind::Missing, TrustWords::ServerTlsFailed { server, reason: reason.clone() })
            }
        }
    }
}

/// A certificate that was refused, with the fingerprint that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unacceptable {
    /// The fingerprint, where the certificate could be read at all.
    pub(crate) found: Option<Pin>,
    /// What is wrong with it.
    pub(crate) why: Why,
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Why {
    /// Another fingerprint was expected.
    Pin(Pin),
    /// Nobody said which fingerprint to expect.
    Unpinned,
    /// It is no longer valid.
    Expired,
    /// It is not valid yet.
    Early,
    /// It is for other names.
    Name {
        /// The name that was dialled.
        wanted: String,
        /// Those that the certificate has.
        names: String,
    },
    /// It was not issued by the authority.
    Issuer,
    /// Anything else.
    Other(String),
}

impl Unacceptable {
    fn error(&self, server: String) -> Error {
        let found = self.found.map_or_else(|| "?".to_owned(), |pin| pin.to_string());
        let refused = |words| Error::new(ErrorKind::Refused, words);
        let compare = TrustWords::ComparePin { found: found.clone() };
        match &self.why {
            Why::Pin(wanted) => refused(TrustWords::WrongPin { server, wanted: wanted.to_string(), found })
                .hint(TrustWords::WrongPinReasons),
            Why::Unpinned => refused(TrustWords::NoPin { server, found }).hint(TrustWords::PinFromServer),
            Why::Expired => refused(TrustWords::CertificateExpired { server }).hint(compare),
            Why::Early => refused(TrustWords::CertificateEarly { server }).hint(compare),
            Why::Name { wanted, names } => {
                let (wanted, names) = (wanted.clone(), names.clone());
                refused(TrustWords::CertificateName { server, wanted, names }).hint(compare)
            }
            Why::Issuer => refused(TrustWords::CertificateIssuer { server }).hint(compare),
            Why::Other(reason) => {
                refused(TrustWords::CertificateRefused { server, reason: reason.clone() }).hint(compare)
            }
        }
    }
}

impl fmt::Display for Unacceptable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.why)
    }
}

impl StdError for Unacceptable {}

#[derive(Debug)]
enum Check {
    Pin(Pin),
    Authority(Arc<WebPkiServerVerifier>),
    Nobody,
}

impl Check {
    fn authority(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Self> {
        let roots = Arc::new(read_authorities(path)?);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider)).build();
        Ok(Self::Authority(verifier.map_err(|error| broken(path, &error))?))
    }
}

/// Judges the certificate of a server.
#[derive(Debug)]
pub(super) struct ServerCheck {
    check: Check,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for ServerCheck {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let found = Pin::of(end_entity);
        let why = match &self.check {
            Check::Pin(wanted) if found == Some(*wanted) => return Ok(ServerCertVerified::assertion()),
            Check::Pin(wanted) => Why::Pin(*wanted),
            Check::Nobody => Why::Unpinned,
            Check::Authority(webpki) => {
                match webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
                    Ok(verified) => return Ok(verified),
                    Err(error) => why(&error, server_name),
                }
            }
        };
        let other = OtherError(Arc::new(Unacceptable { found, why }));
        Err(TlsError::InvalidCertificate(CertificateError::Other(other)))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        // Never asked: version 1.2 is not offered.
        Err(TlsError::General("TLS 1.2".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn why(error: &TlsError, dialled: &ServerName<'_>) -> Why {
    use CertificateError as E;
    let TlsError::InvalidCertificate(error) = error else { return Why::Other(error.to_string()) };
    match error {
        E::Expired | E::ExpiredContext { .. } => Why::Expired,
        E::NotValidYet | E::NotValidYetContext { .. } => Why::Early,
        E::NotValidForNameContext { presented, .. } => {
            Why::Name { wanted: dialled.to_str().into_owned(), names: presented.join(", ") }
        }
        E::NotValidForName => Why::Name { wanted: dialled.to_str().into_owned(), names: String::new() },
        E::UnknownIssuer | E::BadSignature => Why::Issuer,
        other => Why::Other(other.to_string()),
    }
}
