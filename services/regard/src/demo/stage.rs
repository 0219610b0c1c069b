//! The demo's suite: embedded, two tenants (buyers and respondents are different people), each with its own key.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use regard_client::Client;
use regard_proto::common::v1::ErrorReason;
use regard_proto::customer::v1::{CreateTenantRequest, Tenant, UpdateTenantRequest};
use regard_types::Day;

use crate::reach::{date, refused};
use crate::settings::{Key, Secret, Settings, Sources, load};
use crate::suite::{Start, Suite, Which};

/// The buyers' tenant, which is the source of its keys too.
pub const CDNOW: &str = "cdnow";
/// The respondents' tenant.
pub const ECSI: &str = "ecsi";
/// The key of the buyers' back end. No secret: the demo's data are public.
pub const CDNOW_KEY: &str = "regard-demo-cdnow-back-end-not-secret";
/// The key of the respondents' back end.
pub const ECSI_KEY: &str = "regard-demo-ecsi-back-end-not-secret";

/// The suite with its callers.
pub struct Stage {
    pub suite: Suite,
    pub cdnow: Client,
    pub ecsi: Client,
    operator: Client,
}

/// Settings for a suite in a folder, reached through memory alone.
pub fn settings(folder: &Path) -> anyhow::Result<Settings> {
    let mut settings = load(&Sources::default())?.settings;
    settings.data.folder = folder.to_owned();
    settings.identity.allow_default = false;
    settings.server.listen = String::new();
    Ok(settings)
}

impl Stage {
    /// Starts the suite with the demo's keys; `insecure`: whether callers whom everybody can be may come from other
    /// machines, and whether they may come without TLS.
    pub async fn open(mut settings: Settings, insecure: (bool, bool)) -> anyhow::Result<Self> {
        let key = |key: &str, tenant: &str, all_tenants| Key {
            key: Secret::new(key),
            key_file: None,
            tenant: tenant.to_owned(),
            name: format!("{tenant} demo"),
            roles: Vec::new(),
            permissions: Vec::new(),
            all_tenants,
        };
        let known_keys = settings
            .server
            .listen
            .parse::<std::net::SocketAddr>()
            .is_ok_and(|address| !address.ip().is_loopback());
        anyhow::ensure!(
            insecure.0 || !known_keys,
            "server.listen is {}, which other machines reach, and everybody knows the demo's keys: listen on 127.0.0.1, or add \
             --insecure-allow-default",
            settings.server.listen
        );
        // Who creates tenants: known to this process alone.
        let operator = uuid::Uuid::new_v4().simple().to_string();
        settings.identity.keys.extend([
            key(&operator, "default", true),
            key(CDNOW_KEY, CDNOW, false),
            key(ECSI_KEY, ECSI, false),
        ]);
        let start = Start {
            settings: &settings,
            services: &Which::ALL,
            insecure_default: insecure.0,
            insecure_plaintext: insecure.1,
        };
        let suite = Suite::start(start).await?;
        Ok(Self {
            cdnow: suite.client(CDNOW_KEY)?,
            ecsi: suite.client(ECSI_KEY)?,
            operator: suite.client(&operator)?,
            suite,
        })
    }

    /// Makes a tenant with a pinned day; one that is there is pinned anew. Names the write.
    pub async fn tenant(&self, name: &str, currency: &str, day: Day) -> anyhow::Result<String> {
        let tenant = Tenant {
            name: name.to_owned(),
            zone: "UTC".to_owned(),
            currency: currency.to_owned(),
            pinned_day: Some(date(day)),
            ..Tenant::default()
        };
        let mut tenants = self.operator.tenants();
        let created = tenants.create_tenant(CreateTenantRequest {
            tenant: Some(tenant),
            ..Default::default()
        });
        match created.await {
            Ok(created) => Ok(created.into_inner().change_token),
            Err(status) if ErrorReason::of(&status) == Some(ErrorReason::RecordExists) => {
                pin(&self.operator, name, day).await
            }
            Err(status) => Err(refused(status)),
        }
    }
}

/// Pins a tenant's day; an empty name is the caller's own. Names the write.
pub async fn pin(client: &Client, name: &str, day: Day) -> anyhow::Result<String> {
    let request = UpdateTenantRequest {
        tenant: Some(Tenant {
            name: name.to_owned(),
            pinned_day: Some(date(day)),
            ..Tenant::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["pinned_day".to_owned()],
        }),
        ..Default::default()
    };
    let answer = client.tenants().update_tenant(request).await;
    Ok(answer.map_err(refused)?.into_inner().change_token)
}

/// The folder of the data files: as given, in the working folder or above it, or where the program was built.
pub fn data_folder(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    const ONE_OF_THEM: &str = "CDNOW_sample.txt";
    const FOLDER: &str = "tests/data";
    if let Some(folder) = given {
        if !folder.join(ONE_OF_THEM).is_file() {
            bail!(
                "--data-dir {}: {ONE_OF_THEM} is not there",
                folder.display()
            );
        }
        return Ok(folder.to_owned());
    }
    let here = std::env::current_dir().context("the working folder is gone")?;
    // Cargo names the crate's folder to what it runs.
    let built = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let places = here
        .ancestors()
        .map(Path::to_owned)
        .chain(built.iter().flat_map(|p| p.ancestors().map(Path::to_owned)));
    let program = std::env::current_exe().unwrap_or_default();
    let places = places.chain(program.ancestors().skip(1).map(Path::to_owned));
    let mut folders = places.map(|place| place.join(FOLDER));
    let found = folders.find(|folder| folder.join(ONE_OF_THEM).is_file());
    found.with_context(|| format!("the demo's data files ({FOLDER}/{ONE_OF_THEM} and others) are not found from {}; name their folder by --data-dir", here.display()))
}
