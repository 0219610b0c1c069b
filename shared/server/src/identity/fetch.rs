//! A small document over https, in bounded time and size.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Longest time of a fetch.
const LONGEST: Duration = Duration::from_secs(5);
/// Largest document in bytes.
pub(super) const LARGEST: usize = 256 * 1024;

/// Where a document is fetched.
pub(super) struct Fetch {
    uri: Uri,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

impl Fetch {
    /// Of an https address; http is for this machine alone. `authority` is a PEM file of certificates that are believed
    /// instead of the public ones; empty for those.
    pub fn new(address: &str, authority: &str) -> Result<Self, String> {
        let expected = || "expected an https:// address, or http:// on this machine".to_owned();
        let uri = address.parse::<Uri>().map_err(|_| expected())?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let here = host == "localhost"
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        match uri.scheme_str() {
            Some("https") if !host.is_empty() => {}
            Some("http") if here => {}
            _ => return Err(expected()),
        }
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(authority)?)
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { uri, client })
    }

    /// The document. A redirect is not followed: the address is what the operator trusts.
    pub async fn get(&self) -> Result<Bytes, String> {
        let work = async {
            let answer = self.client.get(self.uri.clone()).await;
            let answer = answer.map_err(|error| format!("cannot be reached: {error}"))?;
            if answer.status() != http::StatusCode::OK {
                return Err(format!("answers {}", answer.status()));
            }
            let body = Limited::new(answer.into_body(), LARGEST).collect().await;
            let body = body.map_err(|error| {
                format!("breaks off, or is larger than {LARGEST} bytes: {error}")
            })?;
            Ok(body.to_bytes())
        };
        let done = tokio::time::timeout(LONGEST, work).await;
        done.unwrap_or_else(|_| Err(format!("takes longer than {} s", LONGEST.as_secs())))
    }
}

fn tls(authority: &str) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    if authority.is_empty() {
        let public = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        return Ok(builder.with_root_certificates(public).with_no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    let wrong = |problem: String| {
        format!(
            "the authority {}: {problem}",
            Path::new(authority).display()
        )
    };
    let certificates =
        CertificateDer::pem_file_iter(authority).map_err(|error| wrong(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("holds no certificate; expected PEM".to_owned()));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_https_leaves_the_machine() {
        for address in [
            "https://idp.example/keys",
            "http://127.0.0.1:1/keys",
            "http://localhost/k",
            "http://[::1]:9/k",
        ] {
            assert!(Fetch::new(address, "").is_ok(), "{address}");
        }
        for address in [
            "http://idp.example/keys",
            "ftp://x/y",
            "idp.example",
            "",
            "http://127.0.0.1.evil.example/k",
            "https://",
        ] {
            assert!(Fetch::new(address, "").is_err(), "{address}");
        }
        assert!(Fetch::new("https://idp.example", "/no/such/file").is_err());
    }
}
