//! API keys and roles as the house knows them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use regard_types::record::Head;
use regard_types::{Caller, Fault, IdKey, Micros, RecordId, Uuid};
use sha2::{Digest as _, Sha256};

/// An API key as stored: never its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: RecordId,
    /// Who uses it.
    pub name: String,
    /// What it may do.
    pub roles: Vec<String>,
    /// `rgd_` and twelve characters.
    pub prefix: String,
    /// SHA-256 of the whole key.
    pub digest: [u8; 32],
    /// When it ends by itself.
    pub expires: Option<Micros>,
    /// When it was revoked.
    pub revoked: Option<Micros>,
    /// Who made it.
    pub creator: String,
    /// Version and times.
    pub head: Head,
}

impl ApiKey {
    /// Whether it opens anything.
    pub fn holds(&self, now: Micros) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|end| now < end)
    }

    /// As it was at a version: revoking is all that ever changes.
    pub fn at(mut self, version: i64) -> Self {
        if version == 1 && self.head.version > 1 {
            self.revoked = None;
            self.head = Head::first(self.head.created);
        }
        self
    }

    /// What the audit compares.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for text in [&self.name, &self.prefix, &self.roles.join(" ")] {
            part(&mut bytes, text.as_bytes());
        }
        for time in [self.expires, self.revoked] {
            bytes.extend(time.map_or(i64::MIN, |at| at.0).to_be_bytes());
        }
        bytes.extend(self.head.version.to_be_bytes());
        bytes
    }
}

/// A role of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Follows from the name.
    pub id: RecordId,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub title: String,
    /// Permissions, such as `order.read` or `order.*`.
    pub permissions: Vec<String>,
    /// Whether it was deleted.
    pub ended: bool,
    /// Version and times.
    pub head: Head,
}

impl Role {
    /// What the audit compares.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for text in [&self.name, &self.title, &self.permissions.join(" ")] {
            part(&mut bytes, text.as_bytes());
        }
        bytes.push(u8::from(self.ended));
        bytes.extend(self.head.version.to_be_bytes());
        bytes
    }
}

fn part(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.extend((text.len() as u64).to_be_bytes());
    bytes.extend(text);
}

/// What a secret is made from: 366 random bits. It is kept with the request id for as long as a repeat is answered, and
/// nowhere else; without the tenant's key nothing follows from it.
#[derive(Clone, Copy)]
pub struct Seed([Uuid; 3]);

/// How a seed lies among the records of an answer.
pub const SEED: &str = "seed";

impl Seed {
    /// Of the system's randomness.
    pub fn new() -> Self {
        Self([Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()])
    }

    /// As records of an answer.
    pub fn records(self) -> impl Iterator<Item = (&'static str, RecordId, i64)> {
        self.0.into_iter().map(|part| (SEED, RecordId(part), 0))
    }

    /// From the records of an answer.
    pub fn of(records: &[(String, RecordId, i64)]) -> Option<Self> {
        let parts = records.iter().filter(|(kind, ..)| kind == SEED);
        let parts: Vec<Uuid> = parts.map(|(_, id, _)| id.0).collect();
        parts.try_into().ok().map(Self)
    }

    /// The key of a caller: a prefix to look it up, and 256 bits.
    pub fn key(self, ids: &IdKey, id: RecordId) -> String {
        const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let mut bytes = id.0.as_bytes().to_vec();
        bytes.extend(self.0.iter().flat_map(|part| *part.as_bytes()));
        let look_up = ids.digest("api key look-up", &bytes);
        let letters = look_up
            .iter()
            .take(12)
            .filter_map(|byte| LETTERS.get(usize::from(byte & 31)));
        let prefix: String = letters.map(|letter| char::from(*letter)).collect();
        let secret = URL_SAFE_NO_PAD.encode(ids.digest("api key secret", &bytes));
        format!("rgd_{prefix}_{secret}")
    }
}

/// SHA-256 of a key.
pub fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// Nobody gives away more than they hold.
pub fn may_grant<'a>(
    caller: &Caller,
    permissions: impl IntoIterator<Item = &'a String>,
    all_tenants: bool,
) -> Result<(), Fault> {
    if all_tenants && !caller.all_tenants {
        let message = "only an operator may give away what reaches other tenants";
        let fault = Fault::new(regard_types::Kind::Denied, "PERMISSION_DENIED", message);
        return Err(fault.meta("permission", "access.write"));
    }
    match permissions
        .into_iter()
        .find(|permission| !caller.may(permission))
    {
        None => Ok(()),
        Some(lacking) => {
            let message = format!(
                "the caller may not give away the permission {lacking}, which it lacks itself"
            );
            let fault = Fault::new(regard_types::Kind::Denied, "PERMISSION_DENIED", message);
            Err(fault.meta("permission", lacking))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use regard_types::{IdSecret, TenantId};

    use super::*;

    #[test]
    fn a_key_follows_from_its_seed_and_nothing_less() {
        let ids = |secret| IdSecret([secret; 32]).tenant(TenantId(Uuid::from_u128(1)));
        let (seed, id) = (Seed::new(), RecordId(Uuid::from_u128(2)));
        let key = seed.key(&ids(7), id);
        assert_eq!(
            (key.len(), key.get(..4), key.as_bytes()[16]),
            (60, Some("rgd_"), b'_')
        );
        assert!(
            key[4..16]
                .bytes()
                .all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b))
        );
        assert_eq!(seed.key(&ids(7), id), key);
        let records: Vec<_> = seed
            .records()
            .map(|(k, id, v)| (k.to_owned(), id, v))
            .collect();
        assert_eq!(Seed::of(&records).unwrap().key(&ids(7), id), key);
        assert!(Seed::of(&records[..2]).is_none());
        for other in [
            seed.key(&ids(8), id),
            seed.key(&ids(7), RecordId(Uuid::from_u128(3))),
            Seed::new().key(&ids(7), id),
        ] {
            assert!(other[17..] != key[17..] && other[..16] != key[..16]);
        }
    }

    #[test]
    fn a_key_ends() {
        let key = ApiKey {
            id: RecordId(Uuid::from_u128(2)),
            name: String::new(),
            roles: Vec::new(),
            prefix: String::new(),
            digest: [0; 32],
            expires: Some(Micros(10)),
            revoked: None,
            creator: String::new(),
            head: Head::first(Micros(1)),
        };
        assert!(key.holds(Micros(9)) && !key.holds(Micros(10)));
        let revoked = ApiKey {
            revoked: Some(Micros(5)),
            head: key.head.next(Micros(5)),
            ..key.clone()
        };
        assert!(!revoked.holds(Micros(1)));
        assert_ne!(revoked.bytes(), key.bytes());
        assert_eq!(revoked.at(1), key);
    }
}
