//! The log: lines on standard error or in files, and the last of them in memory for the page that shows them. Its
//! target and level follow the settings, live; `WAYBILL_LOG` overrides the level for support.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format;
use tracing_subscriber::fmt::writer::{MakeWriter, OptionalWriter};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::base::app_log::{AppLog, Gravity};
use crate::base::clock::Clock;
use crate::base::unseen;
use crate::domain::value::{LogLevel, LogTarget};
use crate::store::live::Live;
use crate::store::open::make_private_folder;

/// Log files that are kept; one a day.
const LOG_FILES_MAX: usize = 30;
/// Their folder beneath the data folder.
const LOG_FOLDER: &str = "logs";

/// The log, to be changed while it runs.
pub(super) struct Handle {
    level: reload::Handle<EnvFilter, Registry>,
    outputs: Arc<ArcSwap<Outputs>>,
}

/// The targets of lines.
struct Outputs {
    stderr: bool,
    file: Option<(NonBlocking, WorkerGuard)>,
}

/// Starts logging. `None`: somebody else has started already, as in tests.
pub(super) fn start(log: AppLog) -> Option<Handle> {
    let filter = EnvFilter::try_from_env("WAYBILL_LOG").unwrap_or_else(|_| filter(LogLevel::Info));
    let (filter, level) = reload::Layer::new(filter);
    let outputs = Arc::new(ArcSwap::from_pointee(Outputs { stderr: true, file: None }));
    let (to, ansi) = (Arc::clone(&outputs), io::stderr().is_terminal());
    let lines = lines(move || OptionalWriter::from(to.load().stderr.then(io::stderr)), ansi);
    let to = Arc::clone(&outputs);
    let in_files = move || OptionalWriter::from(to.load().file.as_ref().map(|(file, _)| file.clone()));
    let in_files = self::lines(in_files, false);
    let kept = Kept { log, clock: Clock::System };
    let started = tracing_subscriber::registry().with(filter).with(lines).with(in_files).with(kept).try_init();
    started.ok().map(|()| Handle { level, outputs })
}

/// One line per event, whatever file names it contains: unseen characters are shown by their code.
fn lines<S, W>(to: W, ansi: bool) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let fields = format::debug_fn(move |to, field, value| {
        let text = unseen::marked(&format!("{value:?}"));
        match field.name() {
            "message" => to.write_str(&text),
            name if ansi => write!(to, "\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m{text}"),
            name => write!(to, "{name}={text}"),
        }
    });
    tracing_subscriber::fmt::layer()
        .with_target(false)
        .fmt_fields(fields.delimited(" "))
        .with_writer(to)
        .with_ansi(ansi)
}

impl Outputs {
    /// From the setting. If no file can be written, lines go to standard error all the same.
    fn of(target: LogTarget, data: &Path) -> Self {
        if target == LogTarget::Stderr {
            return Self { stderr: true, file: None };
        }
        match Self::file(&data.join(LOG_FOLDER)) {
            Ok(file) => Self { stderr: target == LogTarget::Both, file: Some(file) },
            Err(error) => {
                tracing::error!("Could not write the log to files: {error}. It goes to standard error");
                Self { stderr: true, file: None }
            }
        }
    }

    fn file(folder: &Path) -> Result<(NonBlocking, WorkerGuard), String> {
        make_private_folder(folder).map_err(|error| error.to_string())?;
        let rolling = RollingFileAppender::builder().rotation(Rotation::DAILY).max_log_files(LOG_FILES_MAX);
        let rolling = rolling.filename_prefix("waybill").filename_suffix("log").build(folder);
        Ok(tracing_appender::non_blocking(rolling.map_err(|error| error.to_string())?))
    }
}

/// Keeps each line in memory.
struct Kept {
    log: AppLog,
    clock: Clock,
}

impl<S: Subscriber> Layer<S> for Kept {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let gravity = match *event.metadata().level() {
            Level::ERROR => Gravity::Error,
            Level::WARN => Gravity::Warning,
            Level::INFO => Gravity::Info,
            Level::DEBUG => Gravity::Debug,
            Level::TRACE => Gravity::Trace,
        };
        let mut text = Text::default();
        event.record(&mut text);
        self.log.push(self.clock.now(), gravity, &format!("{}{}", text.message, text.fields));
    }
}

/// The message, and the fields after it.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

fn filter(level: LogLevel) -> EnvFilter {
    let level = match level {
        LogLevel::None => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // The libraries' own chatter stays out: it names things that administrators do not know.
    EnvFilter::new("off").add_directive(format!("waybill={level}").parse().unwrap_or_else(|_| level.into()))
}

/// Follows the profile's log level and the log target, for ever.
pub(super) async fn follow(handle: Handle, live: Live, data: PathBuf) {
    let mut changes = live.watch();
    let own_level = std::env::var_os("WAYBILL_LOG").is_some();
    let mut now = LogTarget::Stderr;
    loop {
        let snapshot = live.snapshot();
        if !own_level {
            let _ = handle.level.reload(filter(snapshot.profile.log_level));
        }
        let wanted = snapshot.appliance.log_target;
        if wanted != now {
            now = wanted;
            handle.outputs.store(Arc::new(Outputs::of(now, &data)));
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_neither_makes_a_line_of_its_own_nor_hides_what_it_is() {
        for ansi in [false, true] {
            let file = tempfile::NamedTempFile::new().unwrap();
            let subscriber = tracing_subscriber::registry().with(lines(Arc::new(file.reopen().unwrap()), ansi));
            tracing::subscriber::with_default(subscriber, || {
                let name = "a\u{202e}xcod.exe\n2026-11-24T08:00:00Z ERROR forged\u{1b}[2J\u{200b}";
                tracing::warn!(file = %name, other = name, "Could not read {name}");
            });
            let text = std::fs::read_to_string(file.path()).unwrap();
            let (line, rest) = text.split_once('\n').unwrap();
            assert_eq!(rest, "");
            let plain = "a[U+202E]xcod.exe[U+000A]2026-11-24T08:00:00Z ERROR forged[U+001B][2J[U+200B]";
            assert_eq!(line.matches(plain).count(), 2, "{line}");
            assert!(line.contains(&format!("Could not read {plain} ")) && line.contains(r"\u{202e}"), "{line}");
            let told = if ansi { "\u{1b}[3mfile\u{1b}[0m" } else { "Z  WARN Could not read" };
            assert!(line.contains(told) && line.contains('\u{1b}') == ansi, "{line}");
        }
    }
}
