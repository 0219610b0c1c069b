#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::super::jwks::Source;
use super::*;

const RSA: &[u8] = include_bytes!("../../../../tests/data/security/rsa-test-key.pem");
const ALL: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

/// Who signs tokens in a test, and the file of its keys.
struct Issuer {
    keys: Vec<(Algorithm, EncodingKey, Value)>,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

fn key(algorithm: Algorithm) -> (EncodingKey, Value) {
    let pair = |kind| rcgen::KeyPair::generate_for(kind).unwrap();
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    match algorithm {
        Algorithm::ES256 => {
            let pair = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
            let (x, y) = pair.public_key_raw()[1..].split_at(32);
            let jwk = json!({ "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y) });
            (
                EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap(),
                jwk,
            )
        }
        Algorithm::EdDSA => {
            let pair = pair(&rcgen::PKCS_ED25519);
            let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key_raw()) });
            (
                EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes()).unwrap(),
                jwk,
            )
        }
        _ => {
            let key = EncodingKey::from_rsa_pem(RSA).unwrap();
            let jwk = Jwk::from_encoding_key(&key, Algorithm::RS256).unwrap();
            (key, serde_json::to_value(jwk).unwrap())
        }
    }
}

impl Issuer {
    fn new() -> Self {
        let keys = ALL.map(|algorithm| {
            let (key, mut jwk) = key(algorithm);
            jwk["kid"] = json!(format!("{algorithm:?}"));
            (algorithm, key, jwk)
        });
        let folder = tempfile::tempdir().unwrap();
        let issuer = Self {
            keys: keys.into(),
            file: folder.path().join("jwks.json"),
            _folder: folder,
        };
        issuer.publish(&issuer.set());
        issuer
    }

    fn set(&self) -> Vec<Value> {
        self.keys.iter().map(|(_, _, jwk)| jwk.clone()).collect()
    }

    fn publish(&self, keys: &[Value]) {
        std::fs::write(&self.file, json!({ "keys": keys }).to_string()).unwrap();
    }

    fn tokens(&self) -> Tokens {
        let keys = KeySet::new(Source::File(self.file.clone()));
        Tokens::new("https://idp", &["regard".to_owned()], ("t", "r"), 5, keys)
    }

    fn sign(&self, algorithm: Algorithm, claims: &Value) -> String {
        let (_, key, _) = self
            .keys
            .iter()
            .find(|(one, ..)| *one == algorithm)
            .unwrap();
        let header = Header {
            kid: Some(format!("{algorithm:?}")),
            ..Header::new(algorithm)
        };
        encode(&header, claims, key).unwrap()
    }
}

fn claims() -> Value {
    json!({ "iss": "https://idp", "aud": "regard", "sub": "ann", "t": "shop", "r": ["reader"], "exp": now() + 60 })
}

fn with(changes: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

async fn verify(tokens: &Tokens, token: &str) -> Result<Named, Fault> {
    let verified = tokens.verify(token, Sha256::digest(token).into()).await?;
    Ok(verified.named.clone())
}

#[tokio::test]
async fn a_token_makes_nobody_a_server_of_the_suite_or_an_operator() {
    let issuer = Issuer::new();
    let token = issuer.sign(
        Algorithm::ES256,
        &with(&json!({ "r": ["service", "manager", "operator", "clerk"] })),
    );
    let named = verify(&issuer.tokens(), &token).await.unwrap();
    assert_eq!(named.roles, ["manager", "clerk"]);
    let operators = issuer.tokens().naming(&["operator".to_owned()]);
    let named = verify(&operators, &token).await.unwrap();
    assert_eq!(named.roles, ["operator", "clerk"]);
}

#[tokio::test]
async fn a_good_token_names_its_caller() {
    let (issuer, expected) = (
        Issuer::new(),
        Named {
            tenant: "shop".to_owned(),
            name: "ann".to_owned(),
            roles: vec!["reader".to_owned()],
        },
    );
    let tokens = issuer.tokens();
    for algorithm in ALL {
        let token = issuer.sign(algorithm, &claims());
        assert!(is_token(&token));
        for _ in 0..2 {
            assert_eq!(verify(&tokens, &token).await.unwrap(), expected);
        }
    }
    for (changes, roles) in [
        (json!({ "r": "reader  writer" }), vec!["reader", "writer"]),
        (json!({ "r": null }), vec![]),
        (
            json!({ "aud": ["x", "regard"], "nbf": now() - 1 }),
            vec!["reader"],
        ),
        // Within the skew.
        (json!({ "exp": now() - 2 }), vec!["reader"]),
        (json!({ "nbf": now() + 2 }), vec!["reader"]),
    ] {
        let named = verify(&tokens, &issuer.sign(Algorithm::ES256, &with(&changes)))
            .await
            .unwrap();
        assert_eq!(named.roles, roles, "{changes}");
    }
}

#[tokio::test]
async fn a_token_with_wrong_claims_is_refused() {
    let issuer = Issuer::new();
    let tokens = issuer.tokens();
    for (changes, word) in [
        (json!({ "exp": now() - 30 }), "expired"),
        (json!({ "nbf": now() + 30 }), "not valid yet"),
        (json!({ "iss": "https://other" }), "issuer"),
        (json!({ "aud": "other" }), "audience"),
        (json!({ "exp": null }), "lacks a claim"),
        (json!({ "iss": null }), "lacks a claim"),
        (json!({ "aud": null }), "lacks a claim"),
        (json!({ "sub": null }), "lacks a claim"),
        (json!({ "sub": "" }), "sub"),
        (json!({ "sub": "x".repeat(200) }), "sub"),
        (json!({ "t": null }), "tenant"),
        (json!({ "t": "Shop!" }), "tenant"),
        (json!({ "t": ["shop"] }), "tenant"),
        (json!({ "r": [1] }), "roles"),
        (json!({ "r": { "a": 1 } }), "roles"),
        (json!({ "r": vec!["x"; 100] }), "roles"),
        (json!({ "exp": "soon" }), ""),
    ] {
        let token = issuer.sign(Algorithm::EdDSA, &with(&changes));
        let fault = verify(&tokens, &token).await.unwrap_err();
        assert_eq!(fault.reason, "UNAUTHENTICATED", "{changes}");
        assert!(fault.message.contains(word), "{changes}: {fault}");
        assert!(!fault.message.contains(&token), "{fault}");
    }
}

#[tokio::test]
async fn algorithms_cannot_be_confused() {
    let issuer = Issuer::new();
    let tokens = issuer.tokens();
    let payload = URL_SAFE_NO_PAD.encode(claims().to_string());
    let mut bad = Vec::new();
    // No signature at all.
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None","kid":"RS256"}"#,
        r#"{"typ":"JWT"}"#,
        "{}",
    ] {
        let header = URL_SAFE_NO_PAD.encode(header);
        bad.push(format!("{header}.{payload}."));
        bad.push(format!("{header}.{payload}.AAAA"));
    }
    // The public key as the secret of an HMAC, in every form that it is published in.
    let (_, rsa, jwk) = &issuer.keys[0];
    let public =
        jsonwebtoken::DecodingKey::from_jwk(&serde_json::from_value(jwk.clone()).unwrap()).unwrap();
    let n = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    let mut secrets = vec![
        n,
        jwk["n"].as_str().unwrap().as_bytes().to_vec(),
        jwk.to_string().into_bytes(),
    ];
    secrets.extend(public.try_get_as_bytes().map(<[u8]>::to_vec));
    for secret in secrets {
        for kid in ["RS256", "ES256", "EdDSA"] {
            let header = Header {
                kid: Some(kid.to_owned()),
                ..Header::new(Algorithm::HS256)
            };
            bad.push(encode(&header, &claims(), &EncodingKey::from_secret(&secret)).unwrap());
        }
    }
    // Another algorithm of the same key, and another key's name.
    for (algorithm, kid) in [
        (Algorithm::RS384, "RS256"),
        (Algorithm::PS256, "RS256"),
        (Algorithm::RS256, "ES256"),
    ] {
        let header = Header {
            kid: Some(kid.to_owned()),
            ..Header::new(algorithm)
        };
        bad.push(encode(&header, &claims(), rsa).unwrap());
    }
    // A key that the token brings along, an unknown one, and a demand that nobody understands.
    let (own, own_jwk) = key(Algorithm::ES256);
    let mut brings = Header::new(Algorithm::ES256);
    brings.jwk = Some(serde_json::from_value(own_jwk).unwrap());
    bad.push(encode(&brings, &claims(), &own).unwrap());
    brings.kid = Some("unknown".to_owned());
    bad.push(encode(&brings, &claims(), &own).unwrap());
    let mut demands = Header::new(Algorithm::RS256);
    demands.kid = Some("RS256".to_owned());
    demands.crit = Some(vec!["exp".to_owned()]);
    bad.push(encode(&demands, &claims(), rsa).unwrap());
    for token in bad {
        let fault = verify(&tokens, &token).await.unwrap_err();
        assert_eq!(fault.reason, "UNAUTHENTICATED", "{token}");
    }
    // The same key without its name is taken: it is the only one of its kind.
    let token = encode(&Header::new(Algorithm::RS256), &claims(), rsa).unwrap();
    verify(&tokens, &token).await.unwrap();
}

#[tokio::test]
async fn every_changed_byte_is_noticed() {
    let issuer = Issuer::new();
    let tokens = issuer.tokens();
    let good = issuer.sign(Algorithm::EdDSA, &claims());
    for at in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = match bytes[at] {
            b'A' => b'B',
            _ => b'A',
        };
        let token = String::from_utf8(bytes).unwrap();
        let refused = verify(&tokens, &token).await;
        // The last letter of a part may carry bits that nothing reads; strict base64 refuses those, too.
        assert!(refused.is_err(), "{at}: {token}");
    }
    for cut in [0, 1, good.len() / 2, good.len() - 1] {
        assert!(verify(&tokens, &good[..cut]).await.is_err());
    }
}

#[tokio::test]
async fn changed_keys_count_at_once() {
    let issuer = Issuer::new();
    let tokens = issuer.tokens();
    let token = issuer.sign(Algorithm::ES256, &claims());
    verify(&tokens, &token).await.unwrap();
    // Rotation: a key goes, and takes what it has signed with it, verified or not.
    issuer.publish(&issuer.set()[..1]);
    let fault = verify(&tokens, &token).await.unwrap_err();
    assert!(fault.message.contains("key set"), "{fault}");
    verify(&tokens, &issuer.sign(Algorithm::RS256, &claims()))
        .await
        .unwrap();
    issuer.publish(&issuer.set());
    verify(&tokens, &token).await.unwrap();
    // A broken file, or none, changes nothing.
    std::fs::write(&issuer.file, "{").unwrap();
    verify(&tokens, &token).await.unwrap();
    std::fs::remove_file(&issuer.file).unwrap();
    verify(&tokens, &token).await.unwrap();
}

#[tokio::test]
async fn keys_that_do_not_sign_are_passed_over() {
    let issuer = Issuer::new();
    let mut keys = issuer.set();
    keys[0]["use"] = json!("enc");
    keys[1]["alg"] = json!("ES384");
    keys.push(json!({ "kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U", "kid": "HS256", "alg": "HS256" }));
    keys.push(json!({ "kty": "new", "kid": "x" }));
    keys.push(json!("no key"));
    issuer.publish(&keys);
    let tokens = issuer.tokens();
    for algorithm in [Algorithm::RS256, Algorithm::ES256] {
        assert!(
            verify(&tokens, &issuer.sign(algorithm, &claims()))
                .await
                .is_err()
        );
    }
    verify(&tokens, &issuer.sign(Algorithm::EdDSA, &claims()))
        .await
        .unwrap();
    let secret =
        EncodingKey::from_base64_secret("c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U=").unwrap();
    let token = encode(&Header::new(Algorithm::HS256), &claims(), &secret).unwrap();
    assert!(verify(&tokens, &token).await.is_err());
}

/// A server that counts questions and answers with what it is told.
async fn serve(
    body: std::sync::Arc<std::sync::Mutex<String>>,
) -> (String, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/keys", listener.local_addr().unwrap());
    let asked = std::sync::Arc::new(AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            count.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(30)).await;
            let body = body.lock().unwrap().clone();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, asked)
}

#[tokio::test]
async fn an_address_is_asked_seldom_and_by_one() {
    use std::sync::atomic::Ordering;
    let issuer = Issuer::new();
    let body = std::sync::Arc::new(std::sync::Mutex::new(
        json!({ "keys": issuer.set()[1..] }).to_string(),
    ));
    let (address, asked) = serve(std::sync::Arc::clone(&body)).await;
    let fetch = super::super::fetch::Fetch::new(&address, "").unwrap();
    let keys = KeySet::new(Source::Url(Box::new(fetch)));
    let tokens = Tokens::new("https://idp", &["regard".to_owned()], ("t", "r"), 5, keys);
    let token = issuer.sign(Algorithm::ES256, &claims());
    let many = (0..20).map(|_| verify(&tokens, &token));
    assert!(
        futures::future::join_all(many)
            .await
            .iter()
            .all(Result::is_ok)
    );
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // An unknown key asks again, but not so soon after the last time.
    for _ in 0..5 {
        let unknown = issuer.sign(Algorithm::RS256, &claims());
        assert!(verify(&tokens, &unknown).await.is_err());
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_address_that_is_away_or_talks_too_much_is_told_as_away() {
    let body = std::sync::Arc::new(std::sync::Mutex::new("x".repeat(300 * 1024)));
    let (address, _) = serve(body).await;
    for address in [address.as_str(), "http://127.0.0.1:1/keys"] {
        let fetch = super::super::fetch::Fetch::new(address, "").unwrap();
        let keys = KeySet::new(Source::Url(Box::new(fetch)));
        let tokens = Tokens::new("https://idp", &["regard".to_owned()], ("t", "r"), 5, keys);
        let token = Issuer::new().sign(Algorithm::ES256, &claims());
        let fault = verify(&tokens, &token).await.unwrap_err();
        assert_eq!(fault.reason, "STORE_UNAVAILABLE", "{fault}");
    }
}

/// An authority of a test, its PEM file in a folder.
fn authority(
    folder: &std::path::Path,
    name: &str,
) -> (rcgen::CertifiedIssuer<'static, rcgen::KeyPair>, String) {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    let key = rcgen::KeyPair::generate().unwrap();
    let issuer = rcgen::CertifiedIssuer::self_signed(params, key).unwrap();
    let file = folder.join(format!("{name}.pem"));
    std::fs::write(&file, issuer.pem()).unwrap();
    (issuer, file.display().to_string())
}

/// Serves a document over TLS with a certificate for `localhost`; the address.
async fn serve_https(
    body: String,
    authority: &rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
) -> String {
    use rustls::pki_types::PrivateKeyDer;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!(
        "https://localhost:{}/keys",
        listener.local_addr().unwrap().port()
    );
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A caller that does not believe the certificate leaves.
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let answer = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

#[tokio::test]
async fn keys_come_over_https_from_whom_the_authority_vouches_for() {
    let folder = tempfile::tempdir().unwrap();
    let (own, own_file) = authority(folder.path(), "own");
    let (_, other_file) = authority(folder.path(), "other");
    let issuer = Issuer::new();
    let body = json!({ "keys": issuer.set() }).to_string();
    let address = serve_https(body, &own).await;
    let token = issuer.sign(Algorithm::ES256, &claims());
    // Its authority, another one, the public ones.
    for (file, believed) in [
        (own_file.as_str(), true),
        (other_file.as_str(), false),
        ("", false),
    ] {
        let fetch = super::super::fetch::Fetch::new(&address, file).unwrap();
        let keys = KeySet::new(Source::Url(Box::new(fetch)));
        let tokens = Tokens::new("https://idp", &["regard".to_owned()], ("t", "r"), 5, keys);
        match verify(&tokens, &token).await {
            Ok(_) => assert!(believed, "believed with {file:?}"),
            Err(fault) => {
                assert!(!believed, "{file:?}: {fault}");
                assert_eq!(fault.reason, "STORE_UNAVAILABLE", "{fault}");
            }
        }
    }
}
