//! Which services, and what each is told.

use std::path::Path;
use std::time::Duration;

use regard_client::Client;
use regard_database::{DatabaseSettings, MasterKeys};
use regard_scoring::follow::Source;
use regard_server::{Pipe, Service, Shared};
use regard_types::Service as Feed;

use super::{peer, secret};
use crate::settings::{Database, RowSecurity, Settings};

/// A service of the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Which {
    /// Who the customers are and what they did.
    Customer,
    /// What they said.
    Feedback,
    /// What it means.
    Scoring,
}

impl Which {
    /// Every service.
    pub const ALL: [Self; 3] = [Self::Customer, Self::Feedback, Self::Scoring];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Feedback => "feedback",
            Self::Scoring => "scoring",
        }
    }

    /// Whether its store holds sealed personal data.
    pub(super) const fn holds_personal_data(self) -> bool {
        !matches!(self, Self::Scoring)
    }

    pub(super) const fn database(self, settings: &Settings) -> &Database {
        match self {
            Self::Customer => &settings.customer.database,
            Self::Feedback => &settings.feedback.database,
            Self::Scoring => &settings.scoring.database,
        }
    }
}

/// Brings a service's schema up to date, or with `check` only looks; the names of the steps that it lacked.
///
/// # Errors
/// The database cannot be reached or brought up to date.
pub async fn migrate(
    settings: &Settings,
    which: Which,
    check: bool,
) -> anyhow::Result<Vec<String>> {
    use regard_database::Database;
    let folder = &settings.data.folder;
    secret::data_folder(folder)?;
    let database = database(which.database(settings), folder, which);
    let steps = match which {
        Which::Customer => regard_customer::schema_steps(),
        Which::Feedback => regard_feedback::schema_steps(),
        Which::Scoring => regard_scoring::schema_steps(),
    };
    Ok(if check {
        Database::pending(&database, steps).await?
    } else {
        Database::migrate(&database, steps).await?
    })
}

/// Opens the services, all at once: most of the time each waits for its store.
pub(super) async fn open(
    settings: &Settings,
    which: &[Which],
    shared: &Shared,
    pipe: &Pipe,
    master: Option<MasterKeys>,
) -> anyhow::Result<Vec<Service>> {
    secret::data_folder(&settings.data.folder)?;
    let sources = if which.contains(&Which::Scoring) {
        vec![
            source(settings, which, Which::Customer, shared, pipe)?,
            source(settings, which, Which::Feedback, shared, pipe)?,
        ]
    } else {
        Vec::new()
    };
    // It says who is erased.
    let customer = if which.contains(&Which::Feedback) {
        let way = (Which::Feedback, Which::Customer);
        Some(peer::client(settings, which, way, shared, pipe)?)
    } else {
        None
    };
    let opened = which.iter().map(|which| {
        let (shared, master) = (shared.clone(), master.clone());
        let peers = (sources.clone(), customer.clone());
        one(settings, *which, shared, peers, master)
    });
    futures::future::try_join_all(opened).await
}

async fn one(
    settings: &Settings,
    which: Which,
    shared: Shared,
    (sources, customer): (Vec<Source>, Option<Client>),
    master: Option<MasterKeys>,
) -> anyhow::Result<Service> {
    let database = DatabaseSettings {
        master: master.filter(|_| which.holds_personal_data()),
        ..database(which.database(settings), &settings.data.folder, which)
    };
    let opened = match which {
        Which::Customer => {
            Box::pin(regard_customer::open(
                customer_settings(settings, database),
                shared,
            ))
            .await?
        }
        Which::Feedback => {
            let settings = feedback_settings(settings, database, customer);
            Box::pin(regard_feedback::open(settings, shared)).await?
        }
        Which::Scoring => {
            let settings = scoring_settings(settings, database)?;
            Box::pin(regard_scoring::open(settings, shared, sources)).await?
        }
    };
    Ok(opened)
}

// What follows names every field, so that one that is added is not forgotten.

pub(super) fn customer_settings(
    settings: &Settings,
    database: DatabaseSettings,
) -> regard_customer::Settings {
    regard_customer::Settings {
        database,
        keep_changes: days(settings.customer.keep_changes_days),
    }
}

pub(super) fn feedback_settings(
    settings: &Settings,
    database: DatabaseSettings,
    customer: Option<Client>,
) -> regard_feedback::Settings {
    let usual = regard_feedback::Settings::new(database);
    regard_feedback::Settings {
        database: usual.database,
        keep_changes: days(settings.feedback.keep_changes_days),
        expire_texts: usual.expire_texts,
        customer,
    }
}

pub(super) fn scoring_settings(
    settings: &Settings,
    database: DatabaseSettings,
) -> anyhow::Result<regard_scoring::Settings> {
    Ok(regard_scoring::Settings {
        database,
        cache: regard_cache::Settings {
            ttl: Duration::from_millis(settings.cache.ttl_ms),
            stale: Duration::from_millis(settings.scoring.stale_ms),
            capacity: settings.cache.capacity_bytes,
            answer: Duration::from_millis(settings.cache.answer_ms),
        },
        redis_url: secret::redis_url(settings)?,
        ready_lag: Duration::from_secs(settings.scoring.ready_lag_s),
    })
}

const fn days(days: u32) -> Duration {
    Duration::from_secs(days as u64 * 24 * 3_600)
}

pub(super) fn database(given: &Database, folder: &Path, which: Which) -> DatabaseSettings {
    let url = if given.url.is_set() {
        given.url.reveal().to_owned()
    } else {
        format!(
            "sqlite://{}",
            folder.join(format!("{}.db", which.name())).display()
        )
    };
    let usual = DatabaseSettings::new(url);
    DatabaseSettings {
        url: usual.url,
        close_ms: usual.close_ms,
        master: None,
        migrate_url: given.migrate_url.reveal().to_owned(),
        row_security: given.row_security == RowSecurity::On,
        keep_audit_days: given.keep_audit_days,
        max_connections: given.max_connections,
        acquire_ms: given.acquire_ms,
        statement_timeout_ms: given.statement_timeout_ms,
        migrate: given.migrate,
        pooler: given.pooler,
        open_wait_ms: given.open_wait_ms,
        sqlite_full_sync: given.sqlite_full_sync,
        heartbeat_ms: given.heartbeat_ms,
    }
}

/// Where scoring reads the feed of a service.
fn source(
    settings: &Settings,
    which: &[Which],
    of: Which,
    shared: &Shared,
    pipe: &Pipe,
) -> anyhow::Result<Source> {
    let feed = match of {
        Which::Feedback => Feed::Feedback,
        Which::Customer | Which::Scoring => Feed::Customer,
    };
    Ok(Source {
        feed,
        client: peer::client(settings, which, (Which::Scoring, of), shared, pipe)?,
    })
}
