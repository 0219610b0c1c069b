//! TLS at the listener: certificate and key from files that are read again when they change, and, where an authority for
//! callers is given, the caller's own certificate.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::settings::{ClientAuth, TlsSettings};

/// Longest time that a caller may take to agree on keys.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Pause between two looks at the files.
const LOOK: Duration = Duration::from_secs(2);
/// Largest file in bytes that is read; a chain of certificates has some thousands.
const LARGEST: u64 = 1024 * 1024;

/// The certificate chain that the caller of a connection has shown, its own first. The authority of the settings has
/// signed it and it was valid when the connection began. It stands in the extensions of every request of the connection.
#[derive(Debug, Clone)]
pub struct PeerCertificate(pub Arc<[CertificateDer<'static>]>);

/// Why there is no TLS: the setting, the file and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {file}: {problem}")]
pub struct TlsError {
    /// The setting.
    pub key: &'static str,
    /// The file that it names.
    pub file: String,
    /// What is wrong.
    pub problem: String,
}

/// What the files hold, in the order of the settings; an authority only where one is set.
#[derive(PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    authority: Vec<u8>,
}

/// TLS of a listener.
pub(super) struct Tls {
    settings: TlsSettings,
    config: ArcSwap<ServerConfig>,
}

impl Tls {
    /// TLS as the settings say, and what keeps it current: see [`follow`].
    pub(super) fn open(settings: &TlsSettings) -> Result<(Arc<Self>, Follow), TlsError> {
        let files = read(settings)?;
        let config = config(settings, &files)?;
        let tls = Arc::new(Self {
            settings: settings.clone(),
            config: ArcSwap::from_pointee(config),
        });
        let follow = Follow {
            tls: Arc::clone(&tls),
            files,
        };
        Ok((tls, follow))
    }

    /// Agrees on keys with a caller, in bounded time.
    pub(super) async fn accept<I>(
        &self,
        stream: I,
    ) -> io::Result<(TlsStream<I>, Option<PeerCertificate>)>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = TlsAcceptor::from(self.config.load_full());
        let stream = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream))
            .await
            .map_err(|_| {
                io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long")
            })??;
        let (_, session) = stream.get_ref();
        let peer = session
            .peer_certificates()
            .filter(|chain| !chain.is_empty())
            .map(|chain| {
                PeerCertificate(chain.iter().map(|one| one.clone().into_owned()).collect())
            });
        Ok((stream, peer))
    }
}

/// Looks at the files over and over.
pub(super) struct Follow {
    tls: Arc<Tls>,
    files: Files,
}

impl Follow {
    /// Takes changed files in use for connections that begin afterwards; what cannot be used is told once and the old stays.
    pub(super) async fn run(mut self) {
        let mut told = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let settings = self.tls.settings.clone();
            let read = tokio::task::spawn_blocking(move || read(&settings)).await;
            let Ok(read) = read else { continue };
            let fresh = match read {
                Ok(files) if files == self.files => {
                    told = None;
                    continue;
                }
                Ok(files) => config(&self.tls.settings, &files).map(|config| (files, config)),
                Err(wrong) => Err(wrong),
            };
            match fresh {
                Ok((files, config)) => {
                    self.files = files;
                    self.tls.config.store(Arc::new(config));
                    told = None;
                    tracing::info!(
                        file = self.tls.settings.cert_file,
                        "the changed certificate is in use"
                    );
                }
                // Certificate and key are seldom replaced at one moment: only what stays wrong is told.
                Err(wrong) if told.as_ref() == Some(&wrong) => {}
                Err(wrong) => {
                    tracing::warn!(%wrong, "the changed certificate cannot be used; the old one stays");
                    told = Some(wrong);
                }
            }
        }
    }
}

fn read(settings: &TlsSettings) -> Result<Files, TlsError> {
    Ok(Files {
        certificate: content("server.tls.cert_file", &settings.cert_file)?,
        key: content("server.tls.key_file", &settings.key_file)?,
        authority: if settings.client_ca_file.is_empty() {
            Vec::new()
        } else {
            content("server.tls.client_ca_file", &settings.client_ca_file)?
        },
    })
}

fn content(key: &'static str, file: &str) -> Result<Vec<u8>, TlsError> {
    let path = Path::new(file);
    let wrong = |problem: String| TlsError {
        key,
        file: file.to_owned(),
        problem,
    };
    let length = std::fs::metadata(path)
        .map_err(|error| wrong(format!("cannot be read: {error}")))?
        .len();
    if length > LARGEST {
        return Err(wrong(format!(
            "has {length} bytes; expected a PEM file of at most {LARGEST}"
        )));
    }
    std::fs::read(path).map_err(|error| wrong(format!("cannot be read: {error}")))
}

fn config(settings: &TlsSettings, files: &Files) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = certificates(
        "server.tls.cert_file",
        &settings.cert_file,
        &files.certificate,
    )?;
    let key_wrong = |problem: String| TlsError {
        key: "server.tls.key_file",
        file: settings.key_file.clone(),
        problem,
    };
    // The library's word could carry the key's text.
    let key = PrivateKeyDer::from_pem_slice(&files.key).map_err(|_| {
        key_wrong("holds no private key; expected PEM (PKCS#8, SEC1 or PKCS#1)".to_owned())
    })?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| key_wrong(error.to_string()))?;
    let builder = if settings.client_ca_file.is_empty() {
        builder.with_no_client_auth()
    } else {
        let at = (
            "server.tls.client_ca_file",
            settings.client_ca_file.as_str(),
        );
        let wrong = |problem: String| TlsError {
            key: at.0,
            file: at.1.to_owned(),
            problem,
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(at.0, at.1, &files.authority)? {
            roots
                .add(certificate)
                .map_err(|error| wrong(error.to_string()))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = match settings.client_auth {
            ClientAuth::Required => verifier,
            ClientAuth::Optional => verifier.allow_unauthenticated(),
        };
        builder
            .with_client_cert_verifier(verifier.build().map_err(|error| wrong(error.to_string()))?)
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| key_wrong(format!("does not fit the certificate: {error}")))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if !settings.client_ca_file.is_empty() {
        // A resumed session would not look at the caller's certificate again, however old it has become.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
    }
    Ok(config)
}

fn certificates(
    key: &'static str,
    file: &str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |problem: String| TlsError {
        key,
        file: file.to_owned(),
        problem,
    };
    let found = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| wrong(format!("is no PEM file: {error}")))?;
    if found.is_empty() {
        return Err(wrong(
            "holds no certificate; expected PEM, the server's own first, then those between it and the authority".to_owned(),
        ));
    }
    Ok(found)
}
