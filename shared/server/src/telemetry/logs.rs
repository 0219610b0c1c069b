//! Logs: to standard error, one JSON object a line, or pretty on a terminal. Each line tells of the call in whose scope it
//! was written: request id, tenant, caller, and the trace where its spans are kept. The level can be changed while it runs.

use std::fmt;
use std::io::IsTerminal as _;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use regard_types::{Scope, TRACE_TARGET};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{Compact, Format, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use crate::settings::{LogFormat, LogSettings, SettingsError};

/// Libraries that would tell too much at the level of our own code.
const QUIET: [&str; 7] = [
    "h2",
    "hyper",
    "hyper_util",
    "sqlx",
    "tonic",
    "tower",
    "opentelemetry",
];

/// What is logged now.
static LEVELS: OnceLock<ArcSwap<Targets>> = OnceLock::new();

fn levels(text: &str) -> Result<Targets, String> {
    let expected =
        "error, warn, info, debug, trace, or levels by target such as info,regard_server=debug";
    // A word alone would be a target, and everything else silent: whoever mistypes a level must be told.
    let whole = text.split(',').all(|part| {
        part.contains('=') || (!part.trim().is_empty() && part.parse::<LevelFilter>().is_ok())
    });
    let parsed = text.parse::<Targets>().ok().filter(|_| whole);
    let mut levels = parsed.ok_or_else(|| expected.to_owned())?;
    for library in QUIET {
        if !text.contains(library) {
            levels = levels.with_target(library, tracing::Level::WARN);
        }
    }
    Ok(levels)
}

/// Logs from now on at another level, of this whole process: `debug`, or `info,regard_server=debug`. False if no logs are
/// set up here.
///
/// # Errors
/// What was expected instead of a text that is no level.
pub fn set_log_level(text: &str) -> Result<bool, String> {
    let levels = levels(text)?;
    let Some(now) = LEVELS.get() else {
        return Ok(false);
    };
    now.store(Arc::new(levels));
    tracing::callsite::rebuild_interest_cache();
    Ok(true)
}

/// The layer that writes lines; `at` is the section's name.
pub(super) fn layer(
    settings: &LogSettings,
    at: &str,
) -> Result<Box<dyn Layer<Registry> + Send + Sync>, SettingsError> {
    let levels = levels(&settings.level)
        .map_err(|expected| SettingsError::new(format!("{at}.level"), &settings.level, expected))?;
    LEVELS.get_or_init(|| ArcSwap::from_pointee(levels));
    let terminal = std::io::stderr().is_terminal();
    let pretty = match settings.format {
        LogFormat::Auto => terminal,
        LogFormat::Json => false,
        LogFormat::Pretty => true,
    };
    let line = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    Ok(if pretty {
        let line = line.with_ansi(terminal).event_format(Line {
            inner: Format::default().compact().with_ansi(terminal),
            ansi: terminal,
        });
        line.with_filter(Levels).boxed()
    } else {
        line.event_format(Json).with_filter(Levels).boxed()
    })
}

/// Events by [`LEVELS`]; no spans: what lines say of their call comes from the scope, which costs nothing while nobody logs.
struct Levels;

impl Levels {
    fn wants(meta: &Metadata<'_>) -> bool {
        meta.is_event()
            && meta.target() != TRACE_TARGET
            && LEVELS
                .get()
                .is_some_and(|levels| levels.load().would_enable(meta.target(), meta.level()))
    }
}

impl<S> Filter<S> for Levels {
    fn enabled(&self, meta: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        Self::wants(meta)
    }

    fn callsite_enabled(&self, meta: &'static Metadata<'static>) -> Interest {
        if Self::wants(meta) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let levels = LEVELS.get()?;
        Filter::<Registry>::max_level_hint(&**levels.load())
    }
}

/// What the scope tells, name and value.
fn told(tell: &mut dyn FnMut(&'static str, &str)) {
    Scope::with(|scope| {
        let Some(scope) = scope else { return };
        for (name, value) in [
            ("request_id", &scope.request_id),
            ("tenant", &scope.tenant),
            ("caller", &scope.caller),
        ] {
            if !value.is_empty() {
                tell(name, value);
            }
        }
        if let Some(trace) = scope.trace.filter(|trace| trace.sampled()) {
            let text = trace.to_string();
            tell("trace_id", text.get(3..35).unwrap_or_default());
        }
    });
}

/// One line for people.
struct Line {
    inner: Format<Compact>,
    ansi: bool,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.inner
            .format_event(ctx, Writer::new(&mut line), event)?;
        writer.write_str(line.trim_end_matches('\n'))?;
        let mut result = Ok(());
        told(&mut |name, value| {
            result = result.and_then(|()| {
                if self.ansi {
                    write!(writer, " \u{1b}[2m{name}={value}\u{1b}[0m")
                } else {
                    write!(writer, " {name}={value}")
                }
            });
        });
        result?;
        writer.write_char('\n')
    }
}

/// One object for collectors: `timestamp`, `level`, `target`, `message`, the event's own fields, and what the scope tells.
struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields(Map::new());
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        event.record(&mut fields);
        let meta = event.metadata();
        for (name, value) in [
            ("timestamp", time.as_str()),
            ("level", meta.level().as_str()),
            ("target", meta.target()),
        ] {
            fields.0.insert(name.to_owned(), value.into());
        }
        // An event's own field of that name says more: whom it is about.
        told(&mut |name, value| {
            fields.0.entry(name).or_insert_with(|| value.into());
        });
        writeln!(writer, "{}", Value::Object(fields.0))
    }
}

struct Fields(Map<String, Value>);

impl Fields {
    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        // JSON has no such numbers; what we log of this kind are short times.
        self.set(field, u64::try_from(value).unwrap_or(u64::MAX));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // NaN has no form in JSON: null.
        self.set(field, value);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Mutex;

    use regard_types::Trace;
    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Page {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn scope() -> Arc<Scope> {
        Arc::new(Scope {
            request_id: "r-1".into(),
            tenant: "shop".into(),
            caller: "back end".into(),
            trace: Trace::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            trace_state: None,
        })
    }

    fn written<F>(format: F) -> String
    where
        F: FormatEvent<Registry, tracing_subscriber::fmt::format::DefaultFields>
            + Send
            + Sync
            + 'static,
    {
        let page = Page::default();
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(page.clone())
            .event_format(format);
        let subscriber = Registry::default().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let scope = scope();
            let _inside = scope.enter();
            tracing::warn!(rows = 3, share = f64::NAN, "said \"so\"\nand so");
        });
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_json_line_tells_of_its_call() {
        let text = written(Json);
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        let line: Value = serde_json::from_str(&text).unwrap();
        for (name, expected) in [
            ("level", "WARN"),
            ("message", "said \"so\"\nand so"),
            ("request_id", "r-1"),
            ("tenant", "shop"),
            ("caller", "back end"),
            ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ] {
            assert_eq!(line[name], expected, "{text}");
        }
        assert_eq!(line["rows"], 3);
        assert_eq!(line["share"], Value::Null);
        assert!(line["target"].is_string() && line["timestamp"].is_string());
    }

    #[test]
    fn a_pretty_line_tells_of_its_call() {
        let text = written(Line {
            inner: Format::default().compact(),
            ansi: false,
        });
        let end = " request_id=r-1 tenant=shop caller=back end \
                   trace_id=4bf92f3577b34da6a3ce929d0e0e4736\n";
        assert!(text.contains("WARN") && text.ends_with(end), "{text}");
    }

    #[test]
    fn libraries_are_quiet_unless_named() {
        let some = levels("debug").unwrap();
        assert!(some.would_enable("regard_server", &tracing::Level::DEBUG));
        assert!(!some.would_enable("h2::proto", &tracing::Level::INFO));
        let named = levels("info,h2=trace").unwrap();
        assert!(named.would_enable("h2::proto", &tracing::Level::TRACE));
        for wrong in ["", "  ", "loud", "info,=,"] {
            assert!(levels(wrong).is_err(), "{wrong:?}");
        }
    }
}
