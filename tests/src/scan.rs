//! Looks for values in everything that the suite leaves behind: SQLite files as they lie there, dumps of PostgreSQL, what Redis
//! holds, and further bytes such as logs; in each form in which a value may have been written.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use regard_testkit::{Engine, TestStore};
use regex::bytes::Regex;

use crate::world::World;

/// A value that is looked for.
#[derive(Debug, Clone)]
pub struct Needle {
    /// What it is, for the report.
    pub what: String,
    bytes: Vec<u8>,
    text: bool,
}

impl Needle {
    /// A text: 12 or more characters, so that its parts in base64 are long enough to be no chance.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self {
            what: text.to_owned(),
            bytes: text.as_bytes().to_vec(),
            text: true,
        }
    }

    /// Bytes, such as a sealed value.
    #[must_use]
    pub fn bytes(what: impl Into<String>, bytes: &[u8]) -> Self {
        Self {
            what: what.into(),
            bytes: bytes.to_vec(),
            text: false,
        }
    }

    /// How it may have been written: (form, bytes).
    fn forms(&self) -> Vec<(&'static str, Vec<u8>)> {
        let plain = &self.bytes;
        let hex = |upper: bool| {
            let digit = |byte: &u8| match upper {
                true => format!("{byte:02X}"),
                false => format!("{byte:02x}"),
            };
            plain.iter().map(digit).collect::<String>().into_bytes()
        };
        let mut all = vec![
            ("plain", plain.clone()),
            ("hex", hex(false)),
            ("hex", hex(true)),
        ];
        // A value inside of encoded bytes begins at any of three places within a group; what its neighbours share is cut off.
        for skip in 0..3 {
            let mut padded = vec![0; skip];
            padded.extend_from_slice(plain);
            let text = STANDARD_NO_PAD.encode(&padded);
            let from = [0, 2, 3][skip];
            let to = padded.len() / 3 * 4;
            let Some(part) = text.get(from..to).filter(|part| part.len() >= 8) else {
                continue;
            };
            all.push(("base64", part.as_bytes().to_vec()));
            let url = part.replace('+', "-").replace('/', "_");
            all.push(("base64url", url.into_bytes()));
        }
        let Ok(text) = std::str::from_utf8(plain) else {
            return all;
        };
        if !self.text {
            return all;
        }
        all.push(("lower case", text.to_lowercase().into_bytes()));
        all.push(("upper case", text.to_uppercase().into_bytes()));
        let units = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect();
        all.push(("UTF-16", units(u16::to_le_bytes)));
        all.push(("UTF-16", units(u16::to_be_bytes)));
        let escaped = |keep: fn(u8) -> bool| -> String {
            let one = |byte: &u8| match keep(*byte) {
                true => char::from(*byte).to_string(),
                false => format!("%{byte:02X}"),
            };
            plain.iter().map(one).collect()
        };
        all.push(("URL", escaped(|b| b.is_ascii_alphanumeric()).into_bytes()));
        all.push(("URL", escaped(|_| false).into_bytes()));
        all.push((
            "reversed",
            text.chars().rev().collect::<String>().into_bytes(),
        ));
        let json = serde_json::to_string(text).unwrap();
        all.push(("JSON", json.trim_matches('"').as_bytes().to_vec()));
        all
    }
}

/// A value that was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// Where.
    pub place: String,
    /// What.
    pub what: String,
    /// In which form.
    pub form: &'static str,
}

/// Bytes, and where they lie.
pub type Content = (String, Vec<u8>);

/// Everything in these stores and this Redis.
///
/// # Panics
/// When something cannot be read.
pub async fn contents(stores: &[TestStore], redis: Option<&str>) -> Vec<Content> {
    let mut all = Vec::new();
    for (i, store) in stores.iter().enumerate() {
        all.extend(stored(i, store));
    }
    if let Some(url) = redis {
        all.extend(cached(url).await);
    }
    all
}

/// Searches contents.
///
/// # Panics
/// When there are more needles than can be searched for at once.
#[must_use]
pub fn search(contents: &[Content], needles: &[Needle]) -> Vec<Hit> {
    let mut found = BTreeSet::new();
    // Each needle by itself: the matches of one must not hide those of another.
    for needle in needles {
        let forms = needle.forms();
        let parts: Vec<String> = forms
            .iter()
            .map(|(_, bytes)| bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect())
            .collect();
        let any = Regex::new(&format!("(?s-u){}", parts.join("|"))).unwrap();
        for (place, bytes) in contents {
            for hit in any.find_iter(bytes) {
                let form = forms.iter().find(|(_, form)| form == hit.as_bytes());
                found.insert(Hit {
                    place: place.clone(),
                    what: needle.what.clone(),
                    form: form.map_or("", |(name, _)| name),
                });
            }
        }
    }
    found.into_iter().collect()
}

/// Searches all that a world holds.
///
/// # Panics
/// When something cannot be read.
pub async fn scan(world: &World, needles: &[Needle]) -> Vec<Hit> {
    let redis = world.cache.redis_url.as_deref();
    search(&contents(&world.stores, redis).await, needles)
}

fn stored(number: usize, store: &TestStore) -> Vec<Content> {
    match store.engine {
        Engine::Sqlite => {
            let path = store.url.trim_start_matches("sqlite://");
            let path = path.split('?').next().unwrap_or(path);
            ["", "-wal", "-shm", "-journal"]
                .iter()
                .filter_map(|end| {
                    let bytes = std::fs::read(format!("{path}{end}")).ok()?;
                    Some((format!("store {number}: file{end}"), bytes))
                })
                .collect()
        }
        Engine::Postgres => {
            let dump = Command::new(pg_dump())
                .args(["--no-sync", "--dbname", &store.admin_url()])
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let error = String::from_utf8_lossy(&dump.stderr);
            assert!(dump.status.success(), "pg_dump: {error}");
            let bytes = decoded(&dump.stdout);
            vec![
                (format!("store {number}: dump"), dump.stdout),
                (format!("store {number}: bytes in the dump"), bytes),
            ]
        }
    }
}

/// The values of bytea, which a dump writes as `\\x` and hexadecimal digits.
fn decoded(dump: &[u8]) -> Vec<u8> {
    let values = Regex::new(r"(?-u)\\\\x([0-9a-f]+)").unwrap();
    let mut out = Vec::new();
    for value in values.captures_iter(dump) {
        for pair in value[1].chunks_exact(2) {
            let pair = std::str::from_utf8(pair).unwrap();
            out.push(u8::from_str_radix(pair, 16).unwrap());
        }
        out.push(b'\n');
    }
    out
}

fn pg_dump() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    // Debian's wrapper on the path may take the client of another version: the newest program itself comes first.
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        let mut found: Vec<(u32, PathBuf)> = versions
            .flatten()
            .filter_map(|v| Some((v.file_name().to_str()?.parse().ok()?, v.path().join("bin"))))
            .collect();
        found.sort();
        for (_, folder) in found {
            folders.insert(0, folder);
        }
    }
    let mut found = folders.into_iter().map(|f| f.join("pg_dump"));
    let found = found.find(|program| program.is_file());
    found.expect("pg_dump is needed: install PostgreSQL's client programs (Debian: `apt-get install postgresql-client`)")
}

/// Keys and values of a Redis.
async fn cached(url: &str) -> Vec<Content> {
    let client = redis::Client::open(url).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut redis)
        .await
        .unwrap();
    let mut all = Vec::new();
    for key in keys {
        let kind: String = redis::cmd("TYPE")
            .arg(&key)
            .query_async(&mut redis)
            .await
            .unwrap();
        let command = match kind.as_str() {
            "string" => redis::cmd("GET").arg(&key).clone(),
            "hash" => redis::cmd("HGETALL").arg(&key).clone(),
            "set" => redis::cmd("SMEMBERS").arg(&key).clone(),
            "list" => redis::cmd("LRANGE").arg(&key).arg(0).arg(-1).clone(),
            "zset" => redis::cmd("ZRANGE").arg(&key).arg(0).arg(-1).clone(),
            // It ran out meanwhile.
            "none" => continue,
            other => panic!("a key of the kind {other}, which the scan does not read"),
        };
        let value: redis::Value = command.query_async(&mut redis).await.unwrap();
        let mut bytes = key.clone();
        bytes.push(b'\n');
        flatten(&value, &mut bytes);
        all.push(("redis".to_owned(), bytes));
    }
    all
}

fn flatten(value: &redis::Value, out: &mut Vec<u8>) {
    match value {
        redis::Value::BulkString(bytes) => out.extend_from_slice(bytes),
        redis::Value::SimpleString(text) => out.extend_from_slice(text.as_bytes()),
        redis::Value::Array(values) | redis::Value::Set(values) => {
            for value in values {
                flatten(value, out);
            }
        }
        redis::Value::Map(pairs) => {
            for (key, value) in pairs {
                flatten(key, out);
                flatten(value, out);
            }
        }
        other => out.extend_from_slice(format!("{other:?}").as_bytes()),
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_in_every_form_and_alignment() {
        let needle = Needle::text("Zoë Unmistakable");
        let text = "Zoë Unmistakable";
        let mut contents: Vec<Content> = vec![
            ("plain".into(), format!("x{text}y").into_bytes()),
            ("lower".into(), text.to_lowercase().into_bytes()),
            ("json".into(), serde_json::to_vec(text).unwrap()),
            ("url".into(), b"a=Zo%C3%AB%20Unmistakable&b".to_vec()),
        ];
        let utf16 = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        contents.push(("utf16".into(), utf16));
        let hex: String = text.bytes().map(|b| format!("{b:02x}")).collect();
        contents.push(("hex".into(), format!("\\\\x00{hex}ff").into_bytes()));
        for before in 0..4 {
            for after in 0..4 {
                let within = format!("{}{text}{}", "a".repeat(before), "b".repeat(after));
                let encoded = STANDARD_NO_PAD.encode(&within);
                contents.push((format!("base64 {before} {after}"), encoded.into_bytes()));
            }
        }
        let found = search(&contents, &[needle]);
        let places: BTreeSet<&str> = found.iter().map(|hit| hit.place.as_str()).collect();
        assert_eq!(places.len(), contents.len(), "{found:?}");
        let other = [(
            "other".to_owned(),
            b"Zoe Unmistakeable, Zo\xc3\xab".to_vec(),
        )];
        assert_eq!(search(&other, &[Needle::text(text)]), []);
        assert_eq!(decoded(br"1	\\x4142	t \\x43"), b"AB\nC\n");
    }
}
