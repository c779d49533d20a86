//! What a session does beside its commands, transfers and reading files: started, followed, ended. It does one at a
//! time, in its own task (docs/decisions/0132), and to its end, so that what arrived is kept and recorded whatever
//! happens to the client.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::connection::Control;
use crate::base::path::VirtualPath;
use crate::domain::authorise::No;
use crate::engine::reading::{Reading, Wanted};
use crate::engine::refusal::{self, About};
use crate::engine::transfers::{self, ControlLine, End, Job, Progress};
use crate::ftp::reply::{Code, Reply};
use crate::ftp::session::{Outcome, Step, Transfer};
use crate::store::session::SessionEnd;
use crate::store::transfer::{Direction, Transfer as Record};
use crate::transfer::abort::Abort;
use crate::transfer::depot::TransferError;
use crate::transfer::socket::CLOSE_TIMEOUT;

/// Runs whenever the session waits for what comes next.
pub(super) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A transfer or reading in progress.
pub(super) struct Running {
    work: Work,
    has_ended: bool,
    progress: mpsc::Receiver<Progress>,
    pub(super) abort: Abort,
    /// Its command, for records.
    pub(super) line: String,
    /// Whether the client asked for its end.
    pub(super) aborting: bool,
}

impl Running {
    /// Continues until there is progress to report; nothing when all is reported.
    async fn next(&mut self) -> Option<Progress> {
        poll_fn(|cx| {
            if !self.has_ended {
                self.has_ended = self.work.as_mut().poll(cx).is_ready();
            }
            self.progress.poll_recv(cx)
        })
        .await
    }
}

impl Control {
    /// Starts a transfer.
    pub(super) async fn begin(&mut self, transfer: Transfer) {
        let agreed = self.agreed.take();
        let (Some(agreed), Some(party)) = (agreed, self.party()) else {
            let reply = Reply::new(Code::NoDataConnection, "Please send PASV or EPSV first.");
            return self.outcome(Outcome::Refused(reply), None).await;
        };
        let control = match ControlLine::of(&self.stream, self.gone.clone()) {
            Ok(control) => control,
            Err(error) => {
                let (reply, no) = refusal::reply(&TransferError::Storage(error), About::File);
                return self.outcome(Outcome::Refused(reply), no).await;
            }
        };
        let (progress, receiver) = mpsc::channel(2);
        let abort = Abort::of(self.gone.clone());
        let job = Job {
            engine: self.engine.clone(),
            party,
            local: self.local,
            place: Arc::clone(&self.place),
            abort: abort.clone(),
            control,
            encoding: self.session.encoding().clone(),
            deflate: self.session.mode_z().then(|| self.session.mode_z_level()),
            tls: self.data_tls(),
            progress,
        };
        self.run(transfers::run(job, agreed, transfer), receiver, abort);
    }

    fn run(
        &mut self,
        work: impl Future<Output = ()> + Send + 'static,
        progress: mpsc::Receiver<Progress>,
        abort: Abort,
    ) {
        let work = Box::pin(work);
        let running = Running { work, has_ended: false, progress, abort, line: self.line.clone(), aborting: false };
        self.running = Some(running);
    }

    /// Starts to read a file.
    pub(super) async fn begin_reading(&mut self, path: VirtualPath, wanted: Wanted) {
        let Some(party) = self.party() else {
            let reply = Reply::new(Code::NotLoggedIn, "Please sign in with USER and PASS first.");
            return self.outcome(Outcome::Refused(reply), None).await;
        };
        let (progress, receiver) = mpsc::channel(1);
        let abort = Abort::of(self.gone.clone());
        let (engine, place) = (self.engine.clone(), Arc::clone(&self.place));
        let reading = Reading { engine, party, place, abort: abort.clone(), path };
        let work = async move {
            let (outcome, no) = reading.run(wanted).await;
            // It is received: the session takes every report.
            let _ = progress.send(Progress::Read(outcome, no)).await;
        };
        self.run(work, receiver, abort);
    }

    pub(super) async fn progress(&mut self, progress: Progress) {
        match progress {
            Progress::Opened { unique, go } => {
                if let Step::Send(reply) = self.session.outcome(Outcome::Opened { unique }) {
                    self.send(&reply).await;
                }
                // The transfer gives up by itself if nobody says go.
                if !self.closed && !self.gone.is_cancelled() {
                    let _ = go.send(());
                }
            }
            Progress::Ended(end) => Box::pin(self.ended(*end)).await,
            Progress::Read(outcome, no) => Box::pin(self.read(outcome, no)).await,
        }
    }

    /// A file was read, or could not be.
    async fn read(&mut self, outcome: Outcome, no: Option<No>) {
        self.final_reply(outcome, no.as_ref()).await;
        self.closed |= self.gone.is_cancelled();
    }

    /// Work beside the session has ended: its reply, followed by ABOR's own.
    async fn final_reply(&mut self, outcome: Outcome, no: Option<&No>) -> Option<Reply> {
        self.active = Instant::now();
        let running = self.running.take()?;
        self.line = running.line;
        let (Step::Send(reply) | Step::Close(reply)) = self.session.outcome(outcome) else { return None };
        // The record already says why this side has ended it.
        if let Some(no) = no.filter(|_| !matches!(self.ending, SessionEnd::Rule(_))) {
            self.record_refusal(no, &reply.summary());
        }
        if !self.gone.is_cancelled() && !self.closed {
            self.send(&reply).await;
            if running.aborting {
                let aborted = self.session.aborted();
                self.send(&aborted).await;
            }
        }
        Some(reply)
    }

    /// A transfer has ended.
    async fn ended(&mut self, end: End) {
        let Some(reply) = self.final_reply(end.outcome, end.refused.as_ref()).await else { return };
        if let Some(record) = end.record {
            self.count(&record);
            self.engine.depot.recorder.transfer(Record { reply: reply.summary(), ..record }).await;
        }
        self.acknowledging = end.collecting.map(|collecting| Box::pin(collecting.run()) as _);
        self.closed |= self.gone.is_cancelled();
        self.give_back_port();
    }

    /// Before each command and at the end: the latest download goes on by itself, unless its client is done with it by
    /// now, as nearly every one is when it says the next command, which may be about that very file.
    pub(super) fn leave_acknowledging(&mut self) {
        if let Some(mut work) = self.acknowledging.take()
            && work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
        {
            tokio::spawn(work);
        }
    }

    fn count(&mut self, record: &Record) {
        let tally = &mut self.tally;
        let (files, bytes) = match record.direction {
            Direction::Receive => (&mut tally.received_files, &mut tally.received_bytes),
            Direction::Send => (&mut tally.sent_files, &mut tally.sent_bytes),
        };
        *files += u64::from(record.complete);
        *bytes += record.bytes_moved;
    }

    /// Work in progress ends before the session does, so that what arrived is kept and recorded.
    pub(super) async fn finish(&mut self) {
        while let Some(running) = &mut self.running {
            running.abort.end();
            match running.next().await {
                Some(Progress::Opened { .. }) => {}
                Some(Progress::Ended(end)) => self.ended(*end).await,
                Some(Progress::Read(outcome, no)) => self.read(outcome, no).await,
                None => self.running = None,
            }
        }
        self.leave_acknowledging();
        self.read_away().await;
        // By TLS it writes first what the client has not read.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.stream.shutdown()).await;
    }
}

/// Ready once it is known whether the latest download was collected.
pub(super) async fn acknowledged(work: &mut Option<Work>) {
    match work {
        Some(running) => {
            running.await;
            *work = None;
        }
        None => std::future::pending().await,
    }
}

pub(super) async fn next_progress(running: Option<&mut Running>) -> Option<Progress> {
    match running {
        Some(running) => running.next().await,
        None => std::future::pending().await,
    }
}
