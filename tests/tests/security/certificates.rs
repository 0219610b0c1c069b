//! Callers with client certificates: an authority, and whom it names.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType,
    date_time_ymd,
};
use regard_client::{Client, ConnectError, Options, Tls};
use regard_server::{ClientAuth, TlsSettings};

/// Who signs certificates, and where they lie.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

/// The files of a certificate and its key.
pub type Pair = (PathBuf, PathBuf);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "authority of a test");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn write(&self, file: &str, params: &CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let path = |end: &str| self.folder.path().join(format!("{file}.{end}"));
        let pair = (path("pem"), path("key"));
        std::fs::write(&pair.0, certificate.pem()).unwrap();
        std::fs::write(&pair.1, key.serialize_pem()).unwrap();
        pair
    }

    /// A listener for `localhost` that takes callers without a certificate as well.
    pub fn listener(&self) -> TlsSettings {
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let (cert, key) = self.write("server", &params);
        let text = |path: &Path| path.display().to_string();
        TlsSettings {
            cert_file: text(&cert),
            key_file: text(&key),
            client_ca_file: text(&self.folder.path().join("ca.pem")),
            client_auth: ClientAuth::Optional,
        }
    }

    /// A certificate for whom a URI names; for `nobody.example` if none does.
    pub fn caller(&self, file: &str, uri: Option<&str>, expired: bool) -> Pair {
        let dns = uri.is_none().then(|| "nobody.example".to_owned());
        let mut params = CertificateParams::new(dns.into_iter().collect::<Vec<_>>()).unwrap();
        if let Some(uri) = uri {
            let uri = SanType::URI(uri.try_into().unwrap());
            params.subject_alt_names.push(uri);
        }
        if expired {
            params.not_before = date_time_ymd(2019, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        self.write(file, &params)
    }

    /// A client that shows this certificate.
    pub async fn client(&self, port: u16, identity: &Pair) -> Result<Client, ConnectError> {
        let options = Options {
            tls: Some(Tls {
                ca_file: Some(self.folder.path().join("ca.pem")),
                identity: Some(identity.clone()),
                server_name: None,
            }),
            attempts: 1,
            ..Options::default()
        };
        Client::connect(&format!("https://localhost:{port}"), &options).await
    }
}
