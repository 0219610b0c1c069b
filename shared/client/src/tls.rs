//! TLS of a connection: whom we believe, and who we are. The files are read again for each new connection, so that
//! renewed certificates come into use by themselves.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

/// How an `https` address is trusted, and what it is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM file of the authorities that sign servers' certificates; none: those that browsers trust.
    pub ca_file: Option<PathBuf>,
    /// PEM files of the caller's own certificate, its chain behind it, and of its key; none shows none.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name that the server's certificate must have, where it is not the address's host.
    pub server_name: Option<String>,
}

/// What the files hold, in the order of [`Tls`].
type Contents = Vec<Vec<u8>>;

/// Makes the configuration of connections.
pub(crate) struct Connector {
    tls: Tls,
    /// What the files held, and what was made of it.
    last: Mutex<Option<(Contents, Arc<ClientConfig>)>>,
}

impl Connector {
    /// Reads the files once, so that a wrong one is told at once.
    pub(crate) fn new(tls: Tls) -> Result<Self, String> {
        let this = Self {
            tls,
            last: Mutex::new(None),
        };
        this.config()?;
        this.server_name("localhost")?;
        Ok(this)
    }

    /// The configuration in effect; what cannot be used any more leaves the last good one.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = self.contents().and_then(|contents| match &*last {
            Some((before, config)) if *before == contents => Ok((contents, Arc::clone(config))),
            _ => {
                let config = self.build(&contents)?;
                Ok((contents, Arc::new(config)))
            }
        });
        match (fresh, &*last) {
            (Ok((contents, config)), _) => {
                *last = Some((contents, Arc::clone(&config)));
                Ok(config)
            }
            (Err(problem), Some((_, config))) => {
                tracing::warn!(
                    problem,
                    "changed certificates cannot be used; the old ones stay"
                );
                Ok(Arc::clone(config))
            }
            (Err(problem), None) => Err(problem),
        }
    }

    /// The name that the certificate of a host must have.
    pub(crate) fn server_name(&self, host: &str) -> Result<ServerName<'static>, String> {
        let name = self.tls.server_name.as_deref().unwrap_or(host);
        ServerName::try_from(name.to_owned())
            .map_err(|_| format!("{name:?} is no name that a certificate can have"))
    }

    fn files(&self) -> impl Iterator<Item = &Path> {
        let identity = self
            .tls
            .identity
            .iter()
            .flat_map(|(chain, key)| [chain, key]);
        self.tls
            .ca_file
            .iter()
            .chain(identity)
            .map(PathBuf::as_path)
    }

    fn contents(&self) -> Result<Contents, String> {
        self.files()
            .map(|file| {
                std::fs::read(file)
                    .map_err(|error| format!("cannot read {}: {error}", file.display()))
            })
            .collect()
    }

    fn build(&self, contents: &[Vec<u8>]) -> Result<ClientConfig, String> {
        let mut contents = contents.iter();
        let mut roots = RootCertStore::empty();
        match &self.tls.ca_file {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(file) => {
                for certificate in certificates(file, contents.next())? {
                    roots
                        .add(certificate)
                        .map_err(|error| format!("{}: {error}", file.display()))?;
                }
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots);
        let mut config = match &self.tls.identity {
            None => builder.with_no_client_auth(),
            Some((chain_file, key_file)) => {
                let chain = certificates(chain_file, contents.next())?;
                let pem = contents.next().map(Vec::as_slice).unwrap_or_default();
                let key = PrivateKeyDer::from_pem_slice(pem)
                    .map_err(|_| format!("{}: holds no private key", key_file.display()))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| format!("{}: {error}", key_file.display()))?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

fn certificates(
    file: &Path,
    pem: Option<&Vec<u8>>,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(pem.map(Vec::as_slice).unwrap_or_default())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("{}: is no PEM file: {error}", file.display()))?;
    if found.is_empty() {
        return Err(format!("{}: holds no certificate", file.display()));
    }
    Ok(found)
}
