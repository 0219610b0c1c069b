//! The secret from which ids follow: configured, or made on the first start and kept with the embedded stores.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use rand::TryRngCore as _;
use regard_types::IdSecret;

use super::Which;
use super::identity::read_secret;
use crate::settings::Settings;

/// Its file in the data folder.
const FILE: &str = "id-secret";

pub(super) fn id_secret(settings: &Settings, services: &[Which]) -> anyhow::Result<IdSecret> {
    let secrets = &settings.secrets;
    if secrets.id_secret.is_set() {
        return IdSecret::parse_hex(secrets.id_secret.reveal()).context("secrets.id_secret");
    }
    if !secrets.id_secret_file.is_empty() {
        let path = Path::new(&secrets.id_secret_file);
        let text = read_secret("secrets.id_secret_file", path)?;
        return IdSecret::parse_hex(&text)
            .with_context(|| format!("secrets.id_secret_file: {}", path.display()));
    }
    if !embedded(settings, services) {
        bail!(
            "secrets.id_secret is not set; services that run apart, or on stores outside of the data folder, must be given the \
             same secret: 64 hexadecimal digits, for example from `openssl rand -hex 32`"
        );
    }
    kept(&settings.data.folder, FILE, IdSecret::parse_hex)
}

/// Where Redis is, with its password; empty: nowhere.
pub(super) fn redis_url(settings: &Settings) -> anyhow::Result<String> {
    let cache = &settings.cache;
    if cache.redis_url_file.is_empty() {
        return Ok(cache.redis_url.reveal().to_owned());
    }
    read_secret("cache.redis_url_file", Path::new(&cache.redis_url_file))
}

/// Whether this process runs the whole suite on stores in its data folder.
pub(super) fn embedded(settings: &Settings, services: &[Which]) -> bool {
    let here = |which: &Which| !which.database(settings).url.is_set();
    services.len() == Which::ALL.len() && services.iter().all(here)
}

/// Reads a secret of a data folder, or makes it. The file appears with its content or not at all.
pub(super) fn kept<T, E>(
    folder: &Path,
    file: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> anyhow::Result<T>
where
    E: std::error::Error + Send + Sync + 'static,
{
    data_folder(folder)?;
    let path = folder.join(file);
    loop {
        match fs::read_to_string(&path) {
            Ok(text) => {
                return parse(&text).with_context(|| {
                    format!(
                        "{} is damaged; what is stored depends on it: restore it from a backup",
                        path.display()
                    )
                });
            }
            Err(error) if error.kind() == ErrorKind::NotFound => make(folder, file, &path)?,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        }
    }
}

/// Makes the data folder where there is none, for its owner alone: what lies in it are secrets and customers.
pub(super) fn data_folder(folder: &Path) -> anyhow::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(folder)
        .with_context(|| format!("data.folder: cannot create {}", folder.display()))
}

fn make(folder: &Path, file: &str, path: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let mut secret = [0_u8; 32];
    rand::rngs::OsRng
        .try_fill_bytes(&mut secret)
        .context("the system gives no random numbers")?;
    let digits: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let draft = folder.join(format!("{file}.{}", std::process::id()));
    let mut file = private(&draft).with_context(cannot)?;
    writeln!(file, "{digits}").with_context(cannot)?;
    file.sync_all().with_context(cannot)?;
    // A link does not replace: of two processes that start at once, the second takes the first one's secret.
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft).with_context(cannot)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error).with_context(cannot),
        _ => Ok(()),
    }
}

/// A new file that its owner alone reads.
fn private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_secret_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        let again = || kept(&folder, FILE, IdSecret::parse_hex);
        let first = again().unwrap().tenant_id("t");
        assert_eq!(again().unwrap().tenant_id("t"), first);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        #[cfg(unix)]
        for path in [folder.clone(), folder.join(FILE)] {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}", path.display());
        }
        fs::write(folder.join(FILE), "no secret").unwrap();
        let error = format!("{:#}", again().unwrap_err());
        assert!(
            error.contains("id-secret") && error.contains("backup"),
            "{error}"
        );
    }
}
