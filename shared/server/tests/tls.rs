//! TLS at the listener: whom the client believes, whom the server believes, and certificates that are renewed.
#![allow(clippy::unwrap_used, clippy::panic)]

mod stage;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
    SanType, date_time_ymd,
};
use regard_client::{Client, ConnectError, Options, Tls};
use regard_server::{ClientAuth, Identity, Pipe, Running, ServeError, ServerSettings, TlsSettings};
use stage::{Play, SECRET, Stage, named, services, settings};
use tonic::Code;

/// An authority of a test, and a folder for its files.
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

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn sign(&self, params: &CertificateParams) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// Writes a certificate and its key as `NAME.pem` and `NAME.key`.
    fn write(&self, name: &str, params: &CertificateParams) -> (PathBuf, PathBuf) {
        let (certificate, key) = self.sign(params);
        let files = (
            self.path(&format!("{name}.pem")),
            self.path(&format!("{name}.key")),
        );
        std::fs::write(&files.0, certificate.pem()).unwrap();
        std::fs::write(&files.1, key.serialize_pem()).unwrap();
        files
    }
}

fn of(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).unwrap()
}

/// As the identity of the server reads it.
fn caller() -> CertificateParams {
    let mut params = of("caller.example");
    let name = "regard://default/caller?role=reader";
    params
        .subject_alt_names
        .push(SanType::URI(name.try_into().unwrap()));
    params
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A server with a certificate for `localhost`; with `callers`, it wants certificates of that authority.
async fn serve(authority: &Authority, callers: Option<(&Authority, ClientAuth)>) -> Play {
    let (cert, key) = authority.write("server", &of("localhost"));
    let tls = TlsSettings {
        cert_file: text(&cert),
        key_file: text(&key),
        client_ca_file: callers.map_or(String::new(), |(ca, _)| text(&ca.path("ca.pem"))),
        client_auth: callers.map_or(ClientAuth::Required, |(_, auth)| auth),
    };
    let settings = ServerSettings { tls, ..settings() };
    Play::with(settings, Identity::embedded(&SECRET)).await
}

fn address(play: &Play) -> String {
    format!(
        "https://127.0.0.1:{}",
        play.running.address().unwrap().port()
    )
}

fn options(ca: &Authority, identity: Option<(PathBuf, PathBuf)>) -> Options {
    Options {
        tls: Some(Tls {
            ca_file: Some(ca.path("ca.pem")),
            identity,
            server_name: Some("localhost".to_owned()),
        }),
        attempts: 1,
        ..Options::default()
    }
}

/// Whether a call is answered, else what was wrong.
async fn call(play: &Play, options: &Options) -> Result<(), String> {
    let client = Client::connect(&address(play), options)
        .await
        .map_err(|error| error.to_string())?;
    let answer = client.tenants().get_tenant(named("a")).await;
    answer
        .map(|_| ())
        .map_err(|status| format!("{:?} {}", status.code(), status.message()))
}

#[tokio::test]
async fn a_client_believes_its_authority_alone() {
    let (authority, other) = (Authority::new(), Authority::new());
    let play = serve(&authority, None).await;
    assert_eq!(call(&play, &options(&authority, None)).await, Ok(()));
    let unknown = call(&play, &options(&other, None)).await.unwrap_err();
    assert!(
        unknown.contains("UnknownIssuer") || unknown.contains("BadSignature"),
        "{unknown}"
    );
    let web = Options::default();
    let unknown = call(&play, &web).await.unwrap_err();
    assert!(unknown.contains("certificate"), "{unknown}");
    let mut named = options(&authority, None);
    named.tls.as_mut().unwrap().server_name = None;
    let wrong = call(&play, &named).await.unwrap_err();
    assert!(wrong.contains("not valid for name"), "{wrong}");
    // Neither end takes the other without TLS for one with it.
    let plain = Client::connect(
        &play.address(),
        &Options {
            attempts: 1,
            ..Options::default()
        },
    )
    .await;
    if let Ok(plain) = plain {
        let status = plain
            .tenants()
            .get_tenant(named_request())
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    }
    let bare = Play::start().await;
    let refused = call(&bare, &options(&authority, None)).await.unwrap_err();
    assert!(refused.contains("TLS"), "{refused}");
}

fn named_request() -> regard_proto::customer::v1::GetTenantRequest {
    named("a")
}

#[tokio::test]
async fn a_server_believes_its_authority_alone() {
    let (authority, other) = (Authority::new(), Authority::new());
    let play = serve(&authority, Some((&authority, ClientAuth::Required))).await;
    let known = authority.write("caller", &caller());
    assert_eq!(
        call(&play, &options(&authority, Some(known.clone()))).await,
        Ok(())
    );
    let mut old = caller();
    old.not_before = date_time_ymd(2019, 1, 1);
    old.not_after = date_time_ymd(2020, 1, 1);
    let wrong = [
        (
            "of another authority",
            Some(other.write("caller", &caller())),
        ),
        ("expired", Some(authority.write("old", &old))),
        ("none", None),
    ];
    for (which, identity) in &wrong {
        let refused = call(&play, &options(&authority, identity.clone())).await;
        assert!(refused.is_err(), "{which}");
    }
    // A wrong certificate is refused even where none is needed.
    let play = serve(&authority, Some((&authority, ClientAuth::Optional))).await;
    assert_eq!(call(&play, &options(&authority, None)).await, Ok(()));
    assert_eq!(call(&play, &options(&authority, Some(known))).await, Ok(()));
    for (which, identity) in &wrong[..2] {
        let refused = call(&play, &options(&authority, identity.clone())).await;
        assert!(refused.is_err(), "{which}");
    }
}

#[tokio::test]
async fn renewed_certificates_come_into_use_and_bad_ones_do_not() {
    let (authority, next) = (Authority::new(), Authority::new());
    let play = serve(&authority, None).await;
    let settled = Client::connect(&address(&play), &options(&authority, None))
        .await
        .unwrap();
    // A file that is no certificate changes nothing.
    let (cert, key) = (authority.path("server.pem"), authority.path("server.key"));
    std::fs::write(&cert, "half a file").unwrap();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(call(&play, &options(&authority, None)).await, Ok(()));
    // Then one of another authority.
    let (certificate, new_key) = next.sign(&of("localhost"));
    std::fs::write(&cert, certificate.pem()).unwrap();
    std::fs::write(&key, new_key.serialize_pem()).unwrap();
    let began = Instant::now();
    while call(&play, &options(&next, None)).await.is_err() {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "the new certificate is not in use"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(call(&play, &options(&authority, None)).await.is_err());
    // Connections go on as they began.
    settled.tenants().get_tenant(named("a")).await.unwrap();
}

#[tokio::test]
async fn a_client_renews_its_own_certificate_too() {
    let (authority, other) = (Authority::new(), Authority::new());
    let play = serve(&authority, Some((&authority, ClientAuth::Required))).await;
    let files = other.write("caller", &caller());
    let mut options = options(&authority, Some(files.clone()));
    options.attempts = 4;
    let client = Client::lazy(&address(&play), &options).unwrap();
    assert!(client.tenants().get_tenant(named("a")).await.is_err());
    let (certificate, key) = authority.sign(&caller());
    std::fs::write(&files.0, certificate.pem()).unwrap();
    std::fs::write(&files.1, key.serialize_pem()).unwrap();
    let began = Instant::now();
    while client.tenants().get_tenant(named("a")).await.is_err() {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "the new certificate is not in use"
        );
    }
}

#[tokio::test]
async fn a_caller_that_never_agrees_keeps_nobody_waiting() {
    let authority = Authority::new();
    let play = serve(&authority, None).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(
            tokio::net::TcpStream::connect(play.running.address().unwrap())
                .await
                .unwrap(),
        );
    }
    let began = Instant::now();
    assert_eq!(call(&play, &options(&authority, None)).await, Ok(()));
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    // Nor the end of the server.
    let began = Instant::now();
    play.running.stop().await;
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn gravely_wrong_files_keep_a_server_from_starting() {
    let authority = Authority::new();
    let (cert, key) = authority.write("server", &of("localhost"));
    let (_, foreign) = authority.write("other", &of("localhost"));
    let start = |tls: TlsSettings| async move {
        let settings = ServerSettings { tls, ..settings() };
        let services = services(&Stage::default());
        let started = Running::start(
            services,
            &settings,
            Identity::embedded(&SECRET),
            &Pipe::new(),
        )
        .await;
        match started {
            Err(error @ (ServeError::Tls(_) | ServeError::Settings(_))) => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let tls = |cert: &Path, key: &Path| TlsSettings {
        cert_file: text(cert),
        key_file: text(key),
        ..TlsSettings::default()
    };
    let missing = start(tls(&authority.path("nowhere"), &key)).await;
    assert!(
        missing.contains("server.tls.cert_file") && missing.contains("nowhere"),
        "{missing}"
    );
    let no_key = start(tls(&cert, &cert)).await;
    assert!(
        no_key.contains("server.tls.key_file") && no_key.contains("private key"),
        "{no_key}"
    );
    let misfit = start(tls(&cert, &foreign)).await;
    assert!(misfit.contains("does not fit"), "{misfit}");
    let alone = start(tls(&cert, Path::new(""))).await;
    assert!(alone.contains("server.tls.key_file"), "{alone}");
    // And a client from being made.
    let tls = Tls {
        ca_file: Some(key),
        ..Tls::default()
    };
    let options = Options {
        tls: Some(tls),
        ..Options::default()
    };
    let made = Client::lazy("https://localhost:1", &options).unwrap_err();
    assert!(matches!(made, ConnectError::Tls(_)), "{made}");
    assert!(matches!(
        Client::lazy("http://localhost:1", &options).unwrap_err(),
        ConnectError::Tls(_)
    ));
}
