//! Which services, and what each is told.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use regard_database::DatabaseSettings;
use regard_scoring::follow::Source;
use regard_server::{Pipe, Service, Shared, service_caller};
use regard_types::Service as Feed;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use super::identity::read_secret;
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

    pub(super) const fn database(self, settings: &Settings) -> &Database {
        match self {
            Self::Customer => &settings.customer.database,
            Self::Feedback => &settings.feedback.database,
            Self::Scoring => &settings.scoring.database,
        }
    }
}

/// Opens the services, all at once: most of the time each waits for its store.
pub(super) async fn open(
    settings: &Settings,
    which: &[Which],
    shared: &Shared,
    pipe: &Pipe,
) -> anyhow::Result<Vec<Service>> {
    std::fs::create_dir_all(&settings.data.folder).with_context(|| {
        format!(
            "data.folder: cannot create {}",
            settings.data.folder.display()
        )
    })?;
    let sources = if which.contains(&Which::Scoring) {
        vec![
            source(settings, which, Which::Customer, shared, pipe)?,
            source(settings, which, Which::Feedback, shared, pipe)?,
        ]
    } else {
        Vec::new()
    };
    let opened = which
        .iter()
        .map(|which| one(settings, *which, shared.clone(), sources.clone()));
    futures::future::try_join_all(opened).await
}

async fn one(
    settings: &Settings,
    which: Which,
    shared: Shared,
    sources: Vec<Source>,
) -> anyhow::Result<Service> {
    let database = database(which.database(settings), &settings.data.folder, which);
    let opened = match which {
        Which::Customer => {
            let settings = regard_customer::Settings {
                database,
                keep_changes: days(settings.customer.keep_changes_days),
            };
            Box::pin(regard_customer::open(settings, shared)).await?
        }
        Which::Feedback => {
            let settings = regard_feedback::Settings {
                database,
                keep_changes: days(settings.feedback.keep_changes_days),
            };
            Box::pin(regard_feedback::open(settings, shared)).await?
        }
        Which::Scoring => {
            let settings = regard_scoring::Settings {
                database,
                cache: regard_cache::Settings {
                    ttl: Duration::from_millis(settings.cache.ttl_ms),
                    stale: Duration::from_millis(settings.scoring.stale_ms),
                    capacity: settings.cache.capacity_bytes,
                    answer: Duration::from_millis(settings.cache.answer_ms),
                },
                redis_url: settings.cache.redis_url.reveal().to_owned(),
            };
            Box::pin(regard_scoring::open(settings, shared, sources)).await?
        }
    };
    Ok(opened)
}

const fn days(days: u32) -> Duration {
    Duration::from_secs(days as u64 * 24 * 3_600)
}

fn database(given: &Database, folder: &Path, which: Which) -> DatabaseSettings {
    let url = if given.url.is_set() {
        given.url.reveal().to_owned()
    } else {
        format!(
            "sqlite://{}",
            folder.join(format!("{}.db", which.name())).display()
        )
    };
    DatabaseSettings {
        migrate_url: given.migrate_url.reveal().to_owned(),
        row_security: given.row_security == RowSecurity::On,
        max_connections: given.max_connections,
        acquire_ms: given.acquire_ms,
        statement_timeout_ms: given.statement_timeout_ms,
        migrate: given.migrate,
        pooler: given.pooler,
        open_wait_ms: given.open_wait_ms,
        sqlite_full_sync: given.sqlite_full_sync,
        heartbeat_ms: given.heartbeat_ms,
        ..DatabaseSettings::new(url)
    }
}

/// Where scoring reads the feed of a service: at its address, or through memory.
fn source(
    settings: &Settings,
    which: &[Which],
    of: Which,
    shared: &Shared,
    pipe: &Pipe,
) -> anyhow::Result<Source> {
    let scoring = &settings.scoring;
    let (feed, address) = match of {
        Which::Feedback => (Feed::Feedback, scoring.feedback_address.as_str()),
        _ => (Feed::Customer, scoring.customer_address.as_str()),
    };
    if !address.is_empty() {
        let channel = far(address)
            .with_context(|| format!("scoring.{}_address: {address} is no address", of.name()))?;
        return Ok(Source {
            feed,
            channel,
            key: Some(feed_key(settings)?),
        });
    }
    if !which.contains(&of) {
        bail!(
            "scoring needs the changes of the {0} service, which is not served by this process: set scoring.{0}_address to \
             where it answers, such as http://{0}:7400",
            of.name()
        );
    }
    Ok(Source {
        feed,
        channel: pipe.channel_of(service_caller("scoring", &shared.ids)),
        key: None,
    })
}

fn far(address: &str) -> Result<Channel, tonic::transport::Error> {
    Ok(Endpoint::from_shared(address.to_owned())?
        .connect_timeout(Duration::from_secs(5))
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
        .connect_lazy())
}

fn feed_key(settings: &Settings) -> anyhow::Result<MetadataValue<Ascii>> {
    let scoring = &settings.scoring;
    let key = if scoring.feed_key_file.is_empty() {
        scoring.feed_key.reveal().to_owned()
    } else {
        read_secret("scoring.feed_key_file", Path::new(&scoring.feed_key_file))?
    };
    if key.is_empty() {
        bail!(
            "scoring.feed_key is not set; other processes tell their changes to a key with all_tenants = true alone"
        );
    }
    let mut value = format!("Bearer {key}")
        .parse::<MetadataValue<Ascii>>()
        .map_err(|_| anyhow!("scoring.feed_key holds characters that a header cannot carry"))?;
    value.set_sensitive(true);
    Ok(value)
}
