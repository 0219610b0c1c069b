//! A service's store as it is, for commands that look into it without serving.

use anyhow::{Context as _, bail};
use regard_database::{Database, DatabaseSettings};
use regard_types::{Clock, Service};

use super::services::database;
use super::{Which, secret};
use crate::settings::Settings;

impl Which {
    const fn service(self) -> Service {
        match self {
            Self::Customer => Service::Customer,
            Self::Feedback => Service::Feedback,
            Self::Scoring => Service::Scoring,
        }
    }
}

/// Opens the stores of services without bringing them up to date.
///
/// # Errors
/// A store that is not there, cannot be reached, or lacks what every service's store has.
pub async fn stores(
    settings: &Settings,
    which: &[Which],
) -> anyhow::Result<Vec<(Which, Database)>> {
    let mut missing = which
        .iter()
        .filter(|which| !which.database(settings).url.is_set());
    let folder = &settings.data.folder;
    let file = |which: &Which| folder.join(format!("{}.db", which.name()));
    if let Some(which) = missing.find(|which| !file(which).exists()) {
        bail!(
            "there is no store of the {} service in {} (data.folder)",
            which.name(),
            folder.display()
        );
    }
    let all = if which
        .iter()
        .all(|which| !which.database(settings).url.is_set())
    {
        &Which::ALL
    } else {
        which
    };
    let ids = secret::id_secret(settings, all)?;
    let mut opened = Vec::with_capacity(which.len());
    for which in which {
        let settings = DatabaseSettings {
            migrate: false,
            max_connections: 4,
            open_wait_ms: 2_000,
            ..database(which.database(settings), folder, *which)
        };
        let db = Database::open(
            &settings,
            which.service(),
            Vec::new(),
            Clock::System,
            ids.clone(),
        )
        .await
        .with_context(|| format!("the store of the {} service", which.name()))?;
        opened.push((*which, db));
    }
    Ok(opened)
}
