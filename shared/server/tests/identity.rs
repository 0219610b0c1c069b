//! Who calls, over real connections: certificates, keys with roles, and a directory that is away.
#![allow(clippy::unwrap_used, clippy::panic)]

mod stage;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use regard_client::{Client, Options, Tls};
use regard_proto::customer::v1::Tenant;
use regard_proto::customer::v1::UpdateTenantRequest;
use regard_server::{
    ClientAuth, Directory, Identity, ServerSettings, TenantAccess, TlsSettings, Verdict,
};
use regard_types::Fault;
use stage::{Play, named, settings};
use tonic::{Code, Status};

/// Knows one key and one role of the tenant `shop`; may be away.
#[derive(Default)]
struct Book {
    away: AtomicBool,
}

impl Book {
    fn shop() -> TenantAccess {
        TenantAccess {
            name: "shop".to_owned(),
            roles: BTreeMap::from([("clerk".to_owned(), vec!["tenant.read".to_owned()])]),
            ..TenantAccess::default()
        }
    }

    fn here(&self) -> Result<(), Fault> {
        if self.away.load(Ordering::SeqCst) {
            return Err(Fault::down("the database"));
        }
        Ok(())
    }
}

const KEY: &str = "rgd_abcdefghijkl_0123456789012345678901234567890123456789012";

#[tonic::async_trait]
impl Directory for Book {
    async fn api_key(&self, prefix: &str, _: [u8; 32]) -> Result<Option<Verdict>, Fault> {
        self.here()?;
        Ok((prefix == &KEY[..16]).then(|| Verdict {
            name: "till".to_owned(),
            roles: vec!["clerk".to_owned()],
            tenant: Self::shop(),
            expires: None,
        }))
    }

    async fn tenant(&self, name: &str) -> Result<Option<TenantAccess>, Fault> {
        self.here()?;
        Ok((name == "shop").then(Self::shop))
    }
}

/// Who the server takes the caller for.
async fn who(client: &Client) -> Result<String, Status> {
    let answer = client.tenants().get_tenant(named("who")).await?;
    let zone = answer.into_inner().tenant.unwrap().zone;
    Ok(zone.rsplit_once(' ').unwrap().0.to_owned())
}

async fn writes(client: &Client) -> Status {
    let request = UpdateTenantRequest {
        tenant: Some(Tenant::default()),
        ..UpdateTenantRequest::default()
    };
    client.tenants().update_tenant(request).await.unwrap_err()
}

fn keyed(key: &str) -> Options {
    Options {
        api_key: Some(key.to_owned()),
        attempts: 1,
        ..Options::default()
    }
}

const KEYS: &str = r#"
    embedded = true
    [[keys]]
    key = "key-of-a-reader-0001"
    name = "reader"
    tenant = "shop"
    roles = ["reader"]
    [[keys]]
    key = "key-of-a-clerk-00001"
    name = "clerk"
    tenant = "shop"
    roles = ["clerk"]
    permissions = ["tenant.write"]
    [[keys]]
    key = "key-of-somebody-else"
    name = "other"
    tenant = "other"
    roles = ["clerk"]
    [[certificates]]
    san = "gateway.shop.example"
    tenant = "shop"
    name = "gateway"
    roles = ["reader"]
"#;

#[tokio::test]
async fn roles_and_the_directory_decide() {
    let book = Arc::new(Book::default());
    let identity = stage::identity(KEYS).with_directory(Some(book.clone()));
    let play = Play::with(settings(), identity).await;
    let reader = play.tcp(&keyed("key-of-a-reader-0001")).await;
    let clerk = play.tcp(&keyed("key-of-a-clerk-00001")).await;
    let other = play.tcp(&keyed("key-of-somebody-else")).await;
    let till = play.tcp(&keyed(KEY)).await;
    assert_eq!(who(&reader).await.unwrap(), "shop reader");
    assert_eq!(writes(&reader).await.code(), Code::PermissionDenied);
    // A role of the tenant, and a permission beside it.
    assert_eq!(who(&clerk).await.unwrap(), "shop clerk");
    assert_eq!(writes(&clerk).await.code(), Code::Unavailable);
    assert_eq!(who(&till).await.unwrap(), "shop till");
    assert_eq!(writes(&till).await.code(), Code::PermissionDenied);
    // The same name in another tenant is no role.
    assert_eq!(
        who(&other).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    // A wrong key is never the default caller, however it is sent.
    let wrong = KEY.replace("abc", "xyz");
    for key in [
        "key-that-nobody-knows",
        wrong.as_str(),
        "eyJhbGciOiJub25lIn0.e30.",
    ] {
        let client = play.tcp(&keyed(key)).await;
        let status = who(&client).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{key}: {status:?}");
        assert!(!status.message().contains(key));
    }
    assert_eq!(
        who(&play.tcp(&Options::default()).await).await.unwrap(),
        "default default"
    );
    // What was learnt holds for two seconds; then roles that Regard brings go on without the directory, others wait for it.
    book.away.store(true, Ordering::SeqCst);
    tokio::time::sleep(std::time::Duration::from_millis(2_100)).await;
    assert_eq!(who(&reader).await.unwrap(), "shop reader");
    for client in [&clerk, &till] {
        assert_eq!(who(client).await.unwrap_err().code(), Code::Unavailable);
    }
    book.away.store(false, Ordering::SeqCst);
    assert_eq!(who(&till).await.unwrap(), "shop till");
}

/// An authority with its folder, and a server that asks callers for its certificates.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
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

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, dns: &[&str], uri: Option<&str>) {
        let dns: Vec<String> = dns.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(dns).unwrap();
        if let Some(uri) = uri {
            params
                .subject_alt_names
                .push(SanType::URI(uri.try_into().unwrap()));
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.file(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.file(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    fn settings(&self) -> ServerSettings {
        self.write("server", &["localhost"], None);
        let text = |name: &str| self.file(name).display().to_string();
        ServerSettings {
            tls: TlsSettings {
                cert_file: text("server.pem"),
                key_file: text("server.key"),
                client_ca_file: text("ca.pem"),
                client_auth: ClientAuth::Optional,
            },
            ..settings()
        }
    }

    async fn client(&self, play: &Play, name: Option<&str>, key: Option<&str>) -> Client {
        let identity = name.map(|name| {
            (
                self.file(&format!("{name}.pem")),
                self.file(&format!("{name}.key")),
            )
        });
        let options = Options {
            api_key: key.map(str::to_owned),
            tls: Some(Tls {
                ca_file: Some(self.file("ca.pem")),
                identity,
                server_name: None,
            }),
            attempts: 1,
            ..Options::default()
        };
        let address = format!(
            "https://localhost:{}",
            play.running.address().unwrap().port()
        );
        Client::connect(&address, &options).await.unwrap()
    }
}

#[tokio::test]
async fn certificates_name_callers() {
    let authority = Authority::new();
    let identity: Identity = stage::identity(KEYS).with_directory(Some(Arc::new(Book::default())));
    let play = Play::with(authority.settings(), identity).await;
    authority.write(
        "uri",
        &[],
        Some("regard://shop/back-end?role=reader&role=clerk"),
    );
    authority.write("dns", &["x.example", "gateway.shop.example"], None);
    authority.write("nobody", &["nobody.example"], None);
    authority.write("wrong", &[], Some("regard://shop/back-end?admin=true"));
    for (name, expected) in [("uri", "shop back-end"), ("dns", "shop gateway")] {
        let client = authority.client(&play, Some(name), None).await;
        for _ in 0..2 {
            assert_eq!(who(&client).await.unwrap(), expected);
        }
        assert_eq!(
            writes(&client).await.code(),
            Code::PermissionDenied,
            "{name}"
        );
        // Two identities are one too many, even if both are good.
        let client = authority
            .client(&play, Some(name), Some("key-of-a-reader-0001"))
            .await;
        assert_eq!(
            who(&client).await.unwrap_err().code(),
            Code::Unauthenticated
        );
    }
    // One that names nobody is not the default caller, which those without any are.
    for name in ["nobody", "wrong"] {
        let client = authority.client(&play, Some(name), None).await;
        let status = who(&client).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{name}: {status:?}");
        assert!(status.message().contains("certificate"), "{status:?}");
    }
    let client = authority.client(&play, None, None).await;
    assert_eq!(who(&client).await.unwrap(), "default default");
    let client = authority
        .client(&play, None, Some("key-of-a-reader-0001"))
        .await;
    assert_eq!(who(&client).await.unwrap(), "shop reader");
}
