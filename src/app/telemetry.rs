//! The log: lines on standard error, the last of them in memory for the page that shows them. Its level follows the profile, live; `WAYBILL_LOG` overrides it for support.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::base::app_log::{AppLog, Gravity};
use crate::base::clock::Clock;
use crate::domain::value::LogLevel;
use crate::store::live::Live;

/// The log's level, to be changed while it runs.
pub(super) type Handle = reload::Handle<EnvFilter, Registry>;

/// Begins to log. `None`: somebody else has begun already, as in tests.
pub(super) fn start(log: AppLog) -> Option<Handle> {
    let filter = EnvFilter::try_from_env("WAYBILL_LOG").unwrap_or_else(|_| filter(LogLevel::Info));
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let kept = Kept { log, clock: Clock::System };
    tracing_subscriber::registry().with(filter).with(lines).with(kept).try_init().ok().map(|()| handle)
}

/// Puts each line into memory.
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

/// The message, and the fields behind it.
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
    // The libraries' own chatter stays out: it names things that no administrator knows.
    EnvFilter::new("off").add_directive(format!("waybill={level}").parse().unwrap_or_else(|_| level.into()))
}

/// Follows the profile's log level, for ever.
pub(super) async fn follow(handle: Handle, live: Live) {
    let mut changes = live.watch();
    if std::env::var_os("WAYBILL_LOG").is_some() {
        return;
    }
    loop {
        let level = live.snapshot().profile.log_level;
        let _ = handle.reload(filter(level));
        if changes.changed().await.is_err() {
            return;
        }
    }
}
