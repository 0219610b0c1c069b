//! Every RPC with every kind of identity, over the wire. What is expected follows from the permission that the contract
//! declares and from the documents of the roles; an RPC that is added later is in the matrix without a word here.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use prost::Message as _;
use prost_reflect::{DynamicMessage, Kind, ReflectMessage as _, Value};
use regard_client::Client;
use regard_proto::customer::v1 as pb;
use regard_proto::{METHODS, Method};
use regard_server::identity::role::{Role, shipped};
use regard_server::{IdentitySettings, JwtSettings, KeySettings};
use regard_testkit::{CacheKind, Engine, run};
use regard_tests::plan::Plan;
use regard_tests::prey::{Ids, MARK, records};
use regard_tests::raw::{Way, call_with, frame};
use regard_tests::values::reason;
use regard_tests::wild::Contract;
use regard_tests::world::World;
use serde_json::{Value as Json, json};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::certificates::{Authority, Pair};
use crate::tenants::inventory;

const RSA: &[u8] = include_bytes!("../../data/security/rsa-test-key.pem");
const ISSUER: &str = "https://idp.example";
const AUDIENCE: &str = "regard";
/// The tenant that is attacked, and the one that attacks.
const SHOP: &str = "shop";
const OTHER: &str = "other";
/// The shop's customer that requests name; what its records hold besides, [`MARK`], no request here ever says.
const CUSTOMER: &str = "c0";

/// What a cell must be answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// Nobody knows the caller.
    Unknown,
    /// The caller is known and may not.
    Denied,
    /// It may: whatever else is wrong with the request.
    Let,
}

/// One kind of identity.
struct Credential {
    name: String,
    headers: Vec<(&'static str, String)>,
    /// The role, where it is a good one; a bad one opens nothing.
    role: Option<&'static Role>,
}

impl Credential {
    fn bad(name: impl Into<String>, headers: &[(&'static str, &str)]) -> Self {
        let headers = headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        Self {
            name: name.into(),
            headers: headers.collect(),
            role: None,
        }
    }

    fn bearer(name: impl Into<String>, key: &str, role: Option<&'static Role>) -> Self {
        Self {
            name: name.into(),
            headers: vec![("authorization", format!("Bearer {key}"))],
            role,
        }
    }

    fn expected(&self, method: &Method) -> Expected {
        match self.role {
            None => Expected::Unknown,
            Some(role)
                if role
                    .permissions
                    .iter()
                    .any(|p| stands_for(p, method.permission)) =>
            {
                Expected::Let
            }
            Some(_) => Expected::Denied,
        }
    }
}

/// The documents' own rule, once more: the server's is not asked.
fn stands_for(pattern: &str, permission: &str) -> bool {
    pattern
        .strip_suffix('*')
        .map_or(pattern == permission, |start| permission.starts_with(start))
}

/// Who signs tokens.
struct Issuer {
    keys: BTreeMap<&'static str, (Algorithm, EncodingKey)>,
    set: Json,
}

impl Issuer {
    fn new() -> Self {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let ec = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let ed = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let (x, y) = ec.public_key_raw()[1..].split_at(32);
        let rsa = EncodingKey::from_rsa_pem(RSA).unwrap();
        let mut jwk =
            serde_json::to_value(Jwk::from_encoding_key(&rsa, Algorithm::RS256).unwrap()).unwrap();
        jwk["kid"] = json!("rsa");
        let set = json!({ "keys": [
            jwk,
            { "kty": "EC", "crv": "P-256", "kid": "ec", "x": text(x), "y": text(y) },
            { "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": text(ed.public_key_raw()) },
        ] });
        let ec = EncodingKey::from_ec_pem(ec.serialize_pem().as_bytes()).unwrap();
        let ed = EncodingKey::from_ed_pem(ed.serialize_pem().as_bytes()).unwrap();
        let keys = BTreeMap::from([
            ("rsa", (Algorithm::RS256, rsa)),
            ("ec", (Algorithm::ES256, ec)),
            ("ed", (Algorithm::EdDSA, ed)),
        ]);
        Self { keys, set }
    }

    fn sign(&self, kid: &str, claims: &Json) -> String {
        let (algorithm, key) = &self.keys[kid];
        let header = Header {
            kid: Some(kid.to_owned()),
            ..Header::new(*algorithm)
        };
        encode(&header, claims, key).unwrap()
    }

    /// Good tokens of every role by every algorithm.
    fn good(&self, out: &mut Vec<Credential>) {
        // No token makes a server of the suite.
        for role in shipped().iter().filter(|role| role.name != "service") {
            for kid in self.keys.keys() {
                let token = self.sign(kid, &claims(&json!({ "regard_roles": [role.name] })));
                out.push(Credential::bearer(
                    format!("token of {} by {kid}", role.name),
                    &token,
                    Some(role),
                ));
            }
        }
    }

    fn bad(&self, out: &mut Vec<Credential>) {
        let mut add = |name: &str, token: &str| out.push(Credential::bearer(name, token, None));
        for (name, change) in [
            ("expired token", json!({ "exp": now() - 300 })),
            ("token that is not valid yet", json!({ "nbf": now() + 300 })),
            ("token for another audience", json!({ "aud": "other" })),
            (
                "token of another issuer",
                json!({ "iss": "https://other.example" }),
            ),
            ("token without an end", json!({ "exp": null })),
            ("token without a tenant", json!({ "regard_tenant": null })),
            ("token without a caller", json!({ "sub": null })),
        ] {
            add(name, &self.sign("ec", &claims(&change)));
        }
        let good = self.sign("ed", &claims(&json!({})));
        let parts: Vec<&str> = good.split('.').collect();
        let flipped = |text: &str| {
            let last = if text.ends_with('A') { "B" } else { "A" };
            format!("{last}{}", &text[1..])
        };
        let signature = if parts[2].starts_with('A') {
            flipped(parts[2]).replacen('A', "B", 1)
        } else {
            flipped(parts[2])
        };
        add(
            "tampered signature",
            &format!("{}.{}.{signature}", parts[0], parts[1]),
        );
        let more =
            URL_SAFE_NO_PAD.encode(claims(&json!({ "regard_roles": ["service"] })).to_string());
        add(
            "tampered claims",
            &format!("{}.{more}.{}", parts[0], parts[2]),
        );
        for none in [r#"{"alg":"none"}"#, r#"{"alg":"NONE","kid":"ed"}"#] {
            let header = URL_SAFE_NO_PAD.encode(none);
            add("algorithm none", &format!("{header}.{}.", parts[1]));
        }
        // The public key as the secret of an HMAC.
        let public = self.set["keys"][0]["n"].as_str().unwrap();
        for secret in [
            URL_SAFE_NO_PAD.decode(public).unwrap(),
            self.set["keys"][0].to_string().into_bytes(),
        ] {
            let header = Header {
                kid: Some("rsa".to_owned()),
                ..Header::new(Algorithm::HS256)
            };
            let key = EncodingKey::from_secret(&secret);
            add(
                "HMAC by the public key",
                &encode(&header, &claims(&json!({})), &key).unwrap(),
            );
        }
        let (_, rsa) = &self.keys["rsa"];
        for (name, algorithm, kid) in [
            ("another algorithm", Algorithm::RS384, "rsa"),
            ("another key's algorithm", Algorithm::RS256, "ec"),
            ("unknown key id", Algorithm::RS256, "unknown"),
        ] {
            let header = Header {
                kid: Some(kid.to_owned()),
                ..Header::new(algorithm)
            };
            add(name, &encode(&header, &claims(&json!({})), rsa).unwrap());
        }
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn claims(change: &Json) -> Json {
    let mut claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": now() + 3_600,
        "regard_tenant": SHOP, "regard_roles": ["reader", "writer", "manager"],
    });
    for (name, value) in change.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn static_key(role: &str) -> String {
    format!("static-key-of-the-role-{role}")
}

/// A key of a tenant with every permission that an RPC asks for.
fn key_to_all(tenant: &str) -> KeySettings {
    let mut permissions: Vec<_> = METHODS.iter().map(|method| method.permission).collect();
    permissions.sort_unstable();
    permissions.dedup();
    permissions.retain(|permission| !permission.is_empty());
    KeySettings {
        key: static_key(&format!("all-of-{tenant}")),
        name: "all".to_owned(),
        tenant: tenant.to_owned(),
        roles: Vec::new(),
        permissions: permissions.into_iter().map(str::to_owned).collect(),
        all_tenants: false,
    }
}

fn identity(folder: &Path) -> IdentitySettings {
    let keys = shipped().iter().map(|role| KeySettings {
        key: static_key(role.name),
        name: format!("static {}", role.name),
        tenant: SHOP.to_owned(),
        roles: vec![role.name.to_owned()],
        permissions: Vec::new(),
        all_tenants: false,
    });
    IdentitySettings {
        keys: keys.chain([SHOP, OTHER].map(key_to_all)).collect(),
        jwt: Some(JwtSettings {
            issuer: ISSUER.to_owned(),
            audience: vec![AUDIENCE.to_owned()],
            jwks_file: folder.join("jwks.json").display().to_string(),
            roles: shipped()
                .iter()
                .map(|role| role.name.to_owned())
                .filter(|name| name != "service")
                .collect(),
            ..JwtSettings::default()
        }),
        ..IdentitySettings::default()
    }
}

async fn tenant(operator: &Client, name: &str) {
    let request = pb::CreateTenantRequest {
        tenant: Some(pb::Tenant {
            name: name.to_owned(),
            ..pb::Tenant::default()
        }),
        ..pb::CreateTenantRequest::default()
    };
    operator.tenants().create_tenant(request).await.unwrap();
}

async fn api_key(
    operator: &Client,
    tenant: &str,
    role: &str,
    expires: Option<u64>,
) -> (String, String) {
    let expire_time = expires.map(|seconds| prost_types::Timestamp {
        seconds: i64::try_from(seconds).unwrap(),
        nanos: 0,
    });
    let request = pb::CreateApiKeyRequest {
        api_key: Some(pb::ApiKey {
            name: format!("key of {role}"),
            roles: vec![role.to_owned()],
            expire_time,
            ..pb::ApiKey::default()
        }),
        tenant: tenant.to_owned(),
        ..pb::CreateApiKeyRequest::default()
    };
    let answer = operator
        .access()
        .create_api_key(request)
        .await
        .unwrap()
        .into_inner();
    (answer.api_key.unwrap().id, answer.secret)
}

/// Keys of the customer service: a good one a role, and bad ones.
async fn api_keys(operator: &Client, out: &mut Vec<Credential>) {
    for role in shipped() {
        let (_, key) = api_key(operator, SHOP, role.name, None).await;
        out.push(Credential::bearer(
            format!("API key of {}", role.name),
            &key,
            Some(role),
        ));
        out.push(Credential {
            name: format!("x-api-key of {}", role.name),
            headers: vec![("x-api-key", key)],
            role: Some(role),
        });
    }
    let (_, expired) = api_key(operator, SHOP, "manager", Some(now() + 1)).await;
    out.push(Credential::bearer("expired API key", &expired, None));
    let (id, revoked) = api_key(operator, SHOP, "manager", None).await;
    let request = pb::RevokeApiKeyRequest {
        id,
        tenant: SHOP.to_owned(),
        ..pb::RevokeApiKeyRequest::default()
    };
    operator.access().revoke_api_key(request).await.unwrap();
    out.push(Credential::bearer("revoked API key", &revoked, None));
    let (_, good) = api_key(operator, SHOP, "manager", None).await;
    let last = if good.ends_with('A') { "B" } else { "A" };
    out.push(Credential::bearer(
        "API key with another secret",
        &format!("{}{last}", &good[..59]),
        None,
    ));
    out.push(Credential::bearer(
        "API key that nobody has",
        &format!("rgd_aaaaaaaaaaaa{}", &good[16..]),
        None,
    ));
    out.push(Credential::bearer("half an API key", &good[..40], None));
    let bearer = format!("Bearer {good}");
    out.push(Credential::bad(
        "two keys",
        &[("authorization", &bearer), ("x-api-key", &good)],
    ));
    out.push(Credential::bad(
        "the same header twice",
        &[("authorization", &bearer), ("authorization", &bearer)],
    ));
    out.push(Credential::bad(
        "another scheme",
        &[("authorization", &format!("Basic {good}"))],
    ));
}

/// A request that breaks no rule, which names a record of the shop wherever it can.
fn request(contract: &Contract, method: &Method, record: &str) -> Bytes {
    let mut message = contract.sound(&contract.message(method.request));
    aim(&mut message, (record, CUSTOMER));
    frame(&message.encode_to_vec())
}

/// Requests of an RPC that name the shop's records of each kind, and one without any filter where it only reads.
fn requests(contract: &Contract, method: &Method, ids: &Ids) -> Vec<Bytes> {
    let descriptor = contract.message(method.request);
    let records = [
        (&ids.customer, CUSTOMER),
        (&ids.order, "o"),
        (&ids.survey, "s"),
        (&ids.response, "r"),
        (&ids.item, "i"),
        (&ids.complaint, "x"),
    ];
    let mut out: Vec<Bytes> = Vec::new();
    for (id, key) in records {
        let mut message = contract.sound(&descriptor);
        aim(&mut message, (id, key));
        let body = frame(&message.encode_to_vec());
        if !out.contains(&body) {
            out.push(body);
        }
    }
    if !method.request_id {
        out.push(frame(&[]));
    }
    out
}

/// Names a record, by its id and its key, wherever a request names one.
fn aim(message: &mut DynamicMessage, record: (&str, &str)) {
    let fields: Vec<_> = message.descriptor().fields().collect();
    for field in fields {
        if !message.has_field(&field) || field.is_map() {
            continue;
        }
        match message.get_field_mut(&field) {
            Value::String(text) if text.len() == 36 && text.matches('-').count() == 4 => {
                record.0.clone_into(text);
            }
            Value::String(text) if field.name() == "external_id" => record.1.clone_into(text),
            Value::String(text) if field.name() == "source" => {
                *text = regard_tests::values::key(CUSTOMER).source;
            }
            Value::Message(inner) => aim(inner, record),
            Value::List(items) => {
                for item in items {
                    if let Value::Message(inner) = item {
                        aim(inner, record);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Whether the answer is the one that was expected; what it was else.
fn fits(expected: Expected, status: &Status) -> bool {
    let denied = status.code() == Code::PermissionDenied && reason(status) == "PERMISSION_DENIED";
    match expected {
        Expected::Unknown => {
            status.code() == Code::Unauthenticated && reason(status) == "UNAUTHENTICATED"
        }
        Expected::Denied => denied,
        Expected::Let => {
            // A stream that stays open until the caller's time is up has let the caller in.
            let broken = matches!(
                status.code(),
                Code::Unknown | Code::Internal | Code::Unavailable
            );
            status.code() != Code::Unauthenticated && !broken && !denied_by_the_edge(status)
        }
    }
}

/// A handler may deny another tenant or a gift of what the caller lacks: that is no matter of the declared permission.
fn denied_by_the_edge(status: &Status) -> bool {
    status.code() == Code::PermissionDenied
        && status
            .message()
            .starts_with("the caller lacks the permission")
}

#[derive(Default)]
struct Counts {
    cells: usize,
    violations: Vec<String>,
}

async fn cell(
    channel: &impl Way,
    method: &Method,
    credential: &Credential,
    body: &Bytes,
    counts: &mut Counts,
) {
    let expected = credential.expected(method);
    let mut headers: Vec<(&str, &str)> = vec![(
        "grpc-timeout",
        if method.server_streaming {
            "200m"
        } else {
            "20S"
        },
    )];
    headers.extend(
        credential
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str())),
    );
    let began = Instant::now();
    let status = loop {
        let (_, status) = call_with(channel, method.path, &headers, body.clone()).await;
        // An address that was wrong often is told to wait, whatever its next key is.
        let waits = expected == Expected::Unknown && reason(&status) == "TOO_MANY_REQUESTS";
        if !waits || began.elapsed() > Duration::from_secs(20) {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    counts.cells += 1;
    if !fits(expected, &status) {
        counts.violations.push(format!(
            "{} with {}: expected {expected:?}, found {:?} {}: {}",
            method.path,
            credential.name,
            status.code(),
            reason(&status),
            status.message()
        ));
    }
}

/// Waits until what was revoked or has expired is refused: seconds, as promised.
async fn settled(channel: &Channel, credentials: &[Credential]) {
    let began = Instant::now();
    for credential in credentials
        .iter()
        .filter(|one| one.name.contains("expired API") || one.name.contains("revoked"))
    {
        loop {
            let headers: Vec<(&str, &str)> = credential
                .headers
                .iter()
                .map(|(n, v)| (*n, v.as_str()))
                .collect();
            let path = "/regard.customer.v1.TenantService/GetTenant";
            let (_, status) = call_with(channel, path, &headers, frame(&[])).await;
            if status.code() == Code::Unauthenticated {
                break;
            }
            assert!(
                began.elapsed() < Duration::from_secs(10),
                "{} still works: {status:?}",
                credential.name
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A call by the tenant's key to all; whether the answer, or what it says of its failure, holds the mark.
async fn tells(
    channel: &Channel,
    method: &Method,
    tenant: &str,
    body: Bytes,
    counts: &mut Counts,
) -> (bool, Status) {
    assert!(!holds(&body), "what a request says may come back");
    let bearer = format!("Bearer {}", static_key(&format!("all-of-{tenant}")));
    let patience = if method.server_streaming {
        "200m"
    } else {
        "20S"
    };
    let headers = [
        ("authorization", bearer.as_str()),
        ("grpc-timeout", patience),
    ];
    let (answer, status) = call_with(channel, method.path, &headers, body).await;
    counts.cells += 1;
    let told = answer.is_some_and(|answer| holds(&answer));
    (told || holds(format!("{status:?}").as_bytes()), status)
}

fn holds(bytes: &[u8]) -> bool {
    bytes
        .windows(MARK.len())
        .any(|part| part == MARK.as_bytes())
}

/// A caller of another tenant, with every permission, names the shop's records in every RPC: nothing of the shop's is
/// answered or changed, and the shop by its name is denied. The shop's own caller is told by the same requests.
async fn wrong_tenant(
    world: &World,
    channel: &Channel,
    (contract, ids): (&Contract, &Ids),
    counts: &mut Counts,
) {
    let before = inventory(world, SHOP).await;
    for method in METHODS {
        for body in requests(contract, method, ids) {
            let (told, status) = tells(channel, method, OTHER, body, counts).await;
            if told || !fits(Expected::Let, &status) {
                counts.violations.push(format!(
                    "{} to another tenant: told {told}, {status:?}",
                    method.path
                ));
            }
        }
        let descriptor = contract.message(method.request);
        let named = descriptor
            .get_field_by_name("tenant")
            .filter(|field| matches!(field.kind(), Kind::String));
        if let Some(field) = named {
            let mut message = contract.sound(&descriptor);
            message.set_field(&field, Value::String(SHOP.to_owned()));
            let body = frame(&message.encode_to_vec());
            let (told, status) = tells(channel, method, OTHER, body, counts).await;
            if told || !fits(Expected::Denied, &status) {
                counts.violations.push(format!(
                    "{} let another tenant name the shop: {status:?}",
                    method.path
                ));
            }
        }
    }
    let after = inventory(world, SHOP).await;
    let moved = after.iter().filter(|row| !before.contains(row));
    let lost = before.iter().filter(|row| !after.contains(row));
    for row in moved.chain(lost) {
        let what = format!("another tenant changed the shop's records: {row}");
        counts.violations.push(what);
    }
    let mut own = Vec::new();
    for method in METHODS.iter().filter(|method| !method.request_id) {
        let mut told = false;
        for body in requests(contract, method, ids) {
            told |= tells(channel, method, SHOP, body, counts).await.0;
        }
        if told {
            own.push(method.path.rsplit('/').next().unwrap_or_default());
        }
    }
    println!("the same requests tell the shop its own: {own:?}");
    assert!(
        own.contains(&"GetCustomer") && own.contains(&"ListCustomers") && own.len() >= 6,
        "requests that tell the shop no more than {own:?}; {:#?}",
        counts.violations
    );
}

/// Certificates that are taken, each with what its calls are answered: a good one a role, and some that name nobody.
fn certificates(authority: &Authority) -> Vec<(Pair, Credential)> {
    let mut out = Vec::new();
    for role in shipped() {
        let uri = format!("regard://{SHOP}/back-end?role={}", role.name);
        let pair = authority.caller(role.name, Some(&uri), false);
        let name = format!("certificate of {}", role.name);
        out.push((
            pair,
            Credential {
                name,
                headers: Vec::new(),
                role: Some(role),
            },
        ));
    }
    let more = format!("regard://{SHOP}/back-end?role=manager&all_tenants=true");
    for (name, uri) in [
        ("certificate without a caller", None),
        ("certificate that asks for more", Some(more.as_str())),
    ] {
        let pair = authority.caller(name, uri, false);
        out.push((pair, Credential::bad(name, &[])));
    }
    let both = authority.caller("both", Some("regard://shop/x?role=manager"), false);
    let key = format!("Bearer {}", static_key("manager"));
    let two = Credential::bad("certificate and key", &[("authorization", &key)]);
    out.push((both, two));
    out
}

/// A certificate that no connection is made with: of another authority, or too old.
async fn refused(
    (authority, port): (&Authority, u16),
    (name, pair): (&str, &Pair),
    (method, body): (&Method, &Bytes),
    counts: &mut Counts,
) {
    counts.cells += 1;
    let Ok(client) = authority.client(port, pair).await else {
        return;
    };
    let headers = [("grpc-timeout", "20S")];
    let (_, status) = call_with(&client.transport(), method.path, &headers, body.clone()).await;
    if status.code() != Code::Unavailable {
        counts
            .violations
            .push(format!("{} with {name}: found {status:?}", method.path));
    }
}

/// The same over TLS, by certificates.
async fn by_certificates(
    world: &mut World,
    (contract, record): (&Contract, &str),
    counts: &mut Counts,
) -> usize {
    let (authority, other) = (Authority::new(), Authority::new());
    world.plan.tls = authority.listener();
    world.open_again().await;
    let port = world.open().running.address().unwrap().port();
    let mut taken = Vec::new();
    for (pair, credential) in certificates(&authority) {
        let client = authority.client(port, &pair).await.unwrap();
        taken.push((client.transport(), credential));
    }
    let manager = Some("regard://shop/back-end?role=manager");
    let bad = [
        (
            "certificate of another authority",
            other.caller("manager", manager, false),
        ),
        (
            "expired certificate",
            authority.caller("expired", manager, true),
        ),
    ];
    for method in METHODS {
        let body = request(contract, method, record);
        for (transport, credential) in &taken {
            cell(transport, method, credential, &body, counts).await;
        }
        for (name, pair) in &bad {
            refused((&authority, port), (name, pair), (method, &body), counts).await;
        }
    }
    taken.len() + bad.len()
}

async fn matrix(engine: Engine) {
    let (issuer, folder) = (Issuer::new(), tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("jwks.json"), issuer.set.to_string()).unwrap();
    let plan = Plan {
        listen: "127.0.0.1:0".to_owned(),
        identity: Some(identity(folder.path())),
        ..Plan::default()
    };
    let mut world = World::with(engine, CacheKind::Memory, plan).await;
    let operator = world.operator();
    tenant(&operator, SHOP).await;
    tenant(&operator, OTHER).await;
    let ids = records(&world.client_of(SHOP)).await;
    let record = ids.customer.clone();
    let mut credentials = vec![
        Credential::bad("no identity", &[]),
        Credential::bad("an empty key", &[("authorization", "Bearer ")]),
        Credential::bearer("unknown key", "a-key-that-nobody-has-ever-had", None),
    ];
    for role in shipped() {
        let name = format!("static key of {}", role.name);
        credentials.push(Credential::bearer(name, &static_key(role.name), Some(role)));
    }
    api_keys(&operator, &mut credentials).await;
    issuer.good(&mut credentials);
    issuer.bad(&mut credentials);
    let address = format!("http://{}", world.open().running.address().unwrap());
    let channel = Channel::from_shared(address)
        .unwrap()
        .connect()
        .await
        .unwrap();
    settled(&channel, &credentials).await;
    let contract = Contract::read();
    let mut counts = Counts::default();
    // First: the shop's good callers change what is to be found.
    wrong_tenant(&world, &channel, (&contract, &ids), &mut counts).await;
    for method in METHODS {
        let body = request(&contract, method, &record);
        for credential in &credentials {
            cell(&channel, method, credential, &body, &mut counts).await;
        }
    }
    let cells = counts.cells;
    let more = by_certificates(&mut world, (&contract, &record), &mut counts).await;
    println!(
        "matrix on {engine:?}: {} cells of {more} certificates",
        counts.cells - cells
    );
    let Counts { cells, violations } = counts;
    println!(
        "matrix on {engine:?}: {} RPCs, {} identities, {cells} cells, {} violations",
        METHODS.len(),
        credentials.len() + more,
        violations.len()
    );
    let figures = json!({ "rpcs": METHODS.len(), "cells": cells, "violations": violations.len() });
    if let Some(file) =
        std::env::var_os("REGARD_SECURITY_OUT_MATRIX").filter(|_| engine == Engine::Sqlite)
    {
        std::fs::write(file, figures.to_string()).unwrap();
    }
    assert!(
        violations.is_empty(),
        "{} violations:\n{}",
        violations.len(),
        violations.join("\n")
    );
    // The matrix itself must be able to fail: it holds cells of every expectation.
    for expected in [Expected::Unknown, Expected::Denied, Expected::Let] {
        let some = METHODS.iter().any(|method| {
            credentials
                .iter()
                .any(|one| one.expected(method) == expected)
        });
        assert!(some, "no cell expects {expected:?}");
    }
}

#[test]
fn every_rpc_with_every_identity_sqlite() {
    run(matrix(Engine::Sqlite));
}

#[test]
fn every_rpc_with_every_identity_postgres() {
    run(matrix(Engine::Postgres));
}
