//! Builds everything, starts the tasks, waits for the end.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{clock_set, housekeeping, shutdown, telemetry, web};
use crate::access::acme::Acme;
use crate::access::admission::Admission;
use crate::access::backup::{self, Backups};
use crate::access::certificate::{Certificates, gather_entropy};
use crate::access::gate::Gate;
use crate::access::guard::TRUSTED_FOR;
use crate::access::passive::Ports;
use crate::access::password::Hasher;
use crate::access::programs::Programs;
use crate::access::restart::Restart;
use crate::access::secrets::Secrets;
use crate::actions::command::Commands;
use crate::actions::consent::Asker;
use crate::actions::runner::Runner;
use crate::actions::targets::Reach;
use crate::actions::webhook::Poster;
use crate::actions::{set_off, slas, watch};
use crate::base::app_log::AppLog;
use crate::base::clock::Clock;
use crate::base::id::IdSource;
use crate::cli::ServeOptions;
use crate::engine::{DRAIN_FOR, Engine, Listeners, Stop, TlsBase};
use crate::store::commit::Recorder;
use crate::store::journal::Journal;
use crate::store::live::Live;
use crate::store::open::{Lock, SERVE_LOCK, make_private_folder};
use crate::store::{Db, programs, session};
use crate::transfer::collect;
use crate::transfer::collections::Collections;
use crate::transfer::consent::Consents;
use crate::transfer::copy::Buffers;
use crate::transfer::depot::Depot;
use crate::transfer::held_back;
use crate::transfer::lacking::Lacking;
use crate::transfer::presence::Presence;
use crate::transfer::quota::Quotas;
use crate::transfer::recovery;
use crate::transfer::throttle::Throttles;
use crate::workspace::workspaces::Workspaces;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// When everything else has ended, how long further records may come, and how long writing them may take. Together with
/// the sessions' time this is less than a stop may take (README): whatever is then still waiting for a disk is left to
/// recovery at the next start.
const LAST_RECORDS_WITHIN: Duration = Duration::from_secs(2);
const LAST_WRITES_WITHIN: Duration = Duration::from_secs(1);
/// How long to wait for threads that read or write a disk. Nobody needs their work: a backup takes minutes, and its
/// remains are swept.
const LAST_READS_WITHIN: Duration = Duration::from_secs(1);

/// Runs the appliance until it is stopped.
pub fn run(options: &ServeOptions) -> ExitCode {
    let lines = AppLog::default();
    let log = telemetry::start(lines.clone());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    // On another core, while the database is opened.
    let poster = runtime.spawn_blocking(poster);
    let ended = runtime.block_on(serve(options, (log, lines), poster));
    runtime.shutdown_timeout(LAST_READS_WITHIN);
    match ended {
        Ok(Ended::Stopped) => ExitCode::SUCCESS,
        Ok(Ended::BeginsAnew) => failed(&begin_anew()),
        Err(error) => failed(&error),
    }
}

/// Why it no longer runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// It was asked to stop.
    Stopped,
    /// It was asked to begin anew.
    BeginsAnew,
}

/// Replaces this process with the same program, arguments and environment: whoever started it sees no end.
fn begin_anew() -> Failure {
    use std::os::unix::process::CommandExt as _;
    tracing::info!("Beginning anew");
    let error = match std::env::current_exe() {
        // It returns only if it failed.
        Ok(program) => std::process::Command::new(program).args(std::env::args_os().skip(1)).exec(),
        Err(error) => error,
    };
    format!("Could not begin anew: {error}. Start it by hand").into()
}

fn failed(error: &Failure) -> ExitCode {
    tracing::error!("{error}");
    ExitCode::FAILURE
}

async fn serve(
    options: &ServeOptions,
    (log, lines): (Option<telemetry::Handle>, AppLog),
    poster: JoinHandle<Result<Poster, rustls::Error>>,
) -> Result<Ended, Failure> {
    make_private_folder(&options.data)?;
    let data = options.data.canonicalize()?;
    let _running = Lock::try_take(&data.join(SERVE_LOCK))?
        .ok_or_else(|| format!("{} is in use by another waybill that is running", data.display()))?;
    put_backup_in_place(&data)?;
    let clock = Clock::System;
    let ids = IdSource::random(clock.clone());
    let db = Db::open(&data).await?;
    let programs = open_programs(options, &db).await?;
    let live = Live::open(db.clone(), clock.clone()).await?;
    let asker = asker((&db, &clock, &ids), (&programs, &data), poster.await??).await?;
    let (recorder, writer) = Recorder::with_journal(db.clone(), Journal::open(&db).await?, live.clone());
    let depot = Depot {
        db: db.clone(),
        recorder,
        workspaces: Workspaces::new(data.clone()),
        clock: clock.clone(),
        ids: ids.clone(),
        buffers: Buffers::default(),
        collections: Collections::default(),
        throttles: Throttles::new(live.clone(), clock.clone()),
        consents: Consents::of(asker.clone()),
        quotas: Quotas::default(),
        lacking: Lacking::default(),
    };
    // Before anybody may connect: finishes what a crash left.
    recovery::recover(&depot, &live.snapshot()).await?;
    depot.workspaces.recovered();
    let close = CancellationToken::new();
    let writing = tokio::spawn(writer.run_until(close.clone()));
    collect::finish_pending(&depot, &live.snapshot()).await?;
    let stop = Stop::default();
    let engine = engine(&live, &depot, &data).await?;
    if let Some(log) = log {
        tokio::spawn(telemetry::follow(log, live.clone(), data.clone()));
    }
    let mut background = tokio::task::JoinSet::new();
    background.spawn(live.clone().follow());
    background.spawn(trust_partners(engine.clone()));
    background.spawn(engine.ports.clone().follow(live.clone(), (depot.recorder.clone(), ids, clock.clone())));
    background.spawn(clock_set::follow(depot.clone()));
    background.spawn(housekeeping::run(depot.clone(), live.clone()));
    background.spawn(housekeeping::watch_disk(depot.clone(), live.clone()));
    background.spawn(held_back::run(db.clone(), live.clone()));
    background.spawn(set_off::run(depot.clone(), live.clone()));
    background.spawn(slas::run(depot.clone(), live.clone()));
    background.spawn(watch::run(depot.clone(), live.clone(), engine.presence.clone(), engine.certificates.clone()));
    tokio::spawn(shutdown::follow_signals(stop.clone()));
    let Asker { secrets, poster, commands, .. } = asker;
    background.spawn(acme(&engine, &secrets).run(engine.live.clone()));
    let backups = Backups::new(db.clone(), data.clone(), secrets.clone(), clock.clone());
    background.spawn(housekeeping::nightly(depot.clone(), engine.live.clone(), backups.clone()));
    background.spawn(housekeeping::hourly(depot.clone(), live, (engine.certificates.clone(), backups.clone())));
    let reach = Reach { depot: depot.clone(), secrets, poster, commands };
    let stops = (stop.drain.clone(), stop.now.clone());
    let delivering = tokio::spawn(Runner { reach, live: engine.live.clone() }.run(stops, DRAIN_FOR));
    let restart = Restart::new(stop.drain.clone(), stop.now.clone());
    let handed = web::Handed { app_log: lines, programs, backups, restart: restart.clone() };
    let pages = web::start(options, &engine, (stop.drain.clone(), handed)).await?;
    // On a thread of the runtime: from this one every connection would have to be handed over.
    tokio::spawn(Listeners::new(engine, stop).run()).await?;
    pages.await?;
    delivering.await?;
    background.shutdown().await;
    // Unacknowledged downloads count as not collected; the files stay.
    depot.collections.closing().cancel();
    drop(depot);
    if is_recorded(writing, &close).await {
        db.close().await;
    }
    Ok(if restart.is_wanted() { Ended::BeginsAnew } else { Ended::Stopped })
}

/// The writer ends when the last recorder is gone. If one is never dropped, what was handed over is written; `false`.
async fn is_recorded(mut writing: JoinHandle<()>, close: &CancellationToken) -> bool {
    if timeout(LAST_RECORDS_WITHIN, &mut writing).await.is_ok() {
        return true;
    }
    tracing::error!("Not everything has ended: what could not be finished is looked after at the next start");
    close.cancel();
    if timeout(LAST_WRITES_WITHIN, writing).await.is_err() {
        tracing::error!("The last records could not be written in time");
    }
    false
}

/// A backup that was laid beside the data in use takes its place.
fn put_backup_in_place(data: &Path) -> Result<(), Failure> {
    if let Some(before) = backup::put_in_place(data)? {
        tracing::info!("A backup was put back; what was there before lies in {}", before.display());
    }
    Ok(())
}

async fn engine(live: &Live, depot: &Depot, data: &Path) -> Result<Engine, Failure> {
    let Depot { db, clock, ids, .. } = depot;
    Ok(Engine {
        live: live.clone(),
        depot: depot.clone(),
        gate: Gate::new(Hasher::default(), clock.clone()),
        admission: Admission::default(),
        presence: Presence::default(),
        ports: Ports::default(),
        certificates: Certificates::open(db.clone(), data, clock.clone(), ids.clone()).await?,
        tls: TlsBase::default(),
    })
}

/// An address that a partner recently came from is never blocked as a whole, not even after a start.
async fn trust_partners(engine: Engine) {
    let since = engine.depot.clock.now().minus(TRUSTED_FOR);
    match session::came_from(&engine.depot.db, since).await {
        Ok(came) => engine.gate.trust(came),
        Err(error) => tracing::error!(%error, "Could not see from where partners came lately"),
    }
}

/// The task that orders certificates from an authority.
fn acme(engine: &Engine, secrets: &Secrets) -> Acme {
    let depot = &engine.depot;
    Acme {
        db: depot.db.clone(),
        certificates: engine.certificates.clone(),
        secrets: secrets.clone(),
        clock: depot.clock.clone(),
        ids: depot.ids.clone(),
    }
}

/// What takes long and needs nothing else: entropy, and the authorities that this machine trusts.
fn poster() -> Result<Poster, rustls::Error> {
    gather_entropy();
    Poster::new()
}

/// The task that asks actions before a file is sent, with what posts and runs programs.
async fn asker(
    (db, clock, ids): (&Db, &Clock, &IdSource),
    (programs, data): (&Programs, &Path),
    poster: Poster,
) -> Result<Asker, Failure> {
    Ok(Asker {
        db: db.clone(),
        secrets: Secrets::open(db.clone(), data).await?,
        poster,
        commands: Commands::open(programs.clone(), data)?,
        clock: clock.clone(),
        ids: ids.clone(),
    })
}

/// The folder of programs, if one was given. Recorded in the database for other processes.
async fn open_programs(options: &ServeOptions, db: &Db) -> Result<Programs, Failure> {
    let opened = match &options.commands {
        Some(folder) => Programs::open(folder)?,
        None => Programs::default(),
    };
    programs::put(db, opened.folder()).await?;
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::EventKind;
    use crate::store::event::{self, Event};

    #[tokio::test]
    async fn whoever_does_not_end_keeps_no_stop_waiting_and_no_record_from_being_written() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let (recorder, writer) = Recorder::new(db.clone());
        let close = CancellationToken::new();
        let writing = tokio::spawn(writer.run_until(close.clone()));
        let hangs = recorder.clone();
        let event = |name: &str| {
            Event::new(&IdSource::random(Clock::System), EventKind::Test, Clock::System.now(), name.to_owned())
        };
        recorder.event(event("before")).await;
        drop(recorder);
        assert!(!is_recorded(writing, &close).await);
        // Nobody takes it any longer, and nobody waits for that.
        hangs.event(event("after")).await;
        let events =
            event::oldest_first(&db, None, Clock::System.now().minus(Duration::from_mins(1)), None, 9).await.unwrap();
        assert_eq!(events.iter().map(|event| &*event.summary).collect::<Vec<_>>(), ["before"]);
    }
}
