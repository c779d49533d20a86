//! The log: lines on standard error. Its level follows the profile, live; `WAYBILL_LOG` overrides it for support.

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::domain::value::LogLevel;
use crate::store::live::Live;

/// The log's level, to be changed while it runs.
pub(super) type Handle = reload::Handle<EnvFilter, Registry>;

/// Begins to log. `None`: somebody else has begun already, as in tests.
pub(super) fn start() -> Option<Handle> {
    let filter = EnvFilter::try_from_env("WAYBILL_LOG").unwrap_or_else(|_| filter(LogLevel::Info));
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    tracing_subscriber::registry().with(filter).with(lines).try_init().ok().map(|()| handle)
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
