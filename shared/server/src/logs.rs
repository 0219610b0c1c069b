//! Logs: to standard error, one JSON object a line, or pretty on a terminal.

use std::io::IsTerminal as _;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt};

use crate::settings::{LogFormat, LogSettings, SettingsError};

/// Libraries that would tell too much at the level of our own code.
const QUIET: [&str; 6] = ["h2", "hyper", "hyper_util", "sqlx", "tonic", "tower"];

/// Sets the process's logs up; a second call changes nothing. `at` is the section's name.
///
/// # Errors
/// A level that is none, named by its key.
pub fn init_logs(settings: &LogSettings, at: &str) -> Result<(), SettingsError> {
    let mut levels = settings.level.parse::<Targets>().map_err(|_| {
        let expected =
            "error, warn, info, debug, trace, or levels by target such as info,regard_server=debug";
        SettingsError::new(format!("{at}.level"), &settings.level, expected)
    })?;
    for library in QUIET {
        if !settings.level.contains(library) {
            levels = levels.with_target(library, tracing::Level::WARN);
        }
    }
    let pretty = match settings.format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Json => false,
        LogFormat::Pretty => true,
    };
    let line = fmt::layer().with_writer(std::io::stderr);
    let line = if pretty {
        line.compact()
            .with_ansi(std::io::stderr().is_terminal())
            .boxed()
    } else {
        line.json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed()
    };
    // An error means that some logs are set up already, which is what was asked for.
    let _ = Registry::default()
        .with(line.with_filter(levels))
        .try_init();
    Ok(())
}
