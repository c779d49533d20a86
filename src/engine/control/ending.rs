//! How a session ends from our side: time limits, an administrator, a stop, a connector that may no longer stay; and how
//! the client's own end is noticed.

use tokio::time::Instant;

use super::connection::{Control, NEVER};
use crate::domain::authorise::No;
use crate::domain::refusal::Rule;
use crate::ftp::reply::{Code, Reply};
use crate::store::session::{Session, SessionEnd};

impl Control {
    pub(super) fn idle_at(&self) -> Instant {
        let timeout = self.engine.live.snapshot().profile.inactivity_timeout_s.seconds();
        let idle =
            if self.running.is_some() || timeout.is_zero() { Instant::now() + NEVER } else { self.active + timeout };
        if self.session.logged_in() { idle } else { idle.min(self.login_by) }
    }

    pub(super) async fn timed_out(&mut self) {
        if self.session.logged_in() || Instant::now() < self.login_by {
            self.end(Rule::Idle, "Idle for too long; please come back when there is something to do.").await;
        } else {
            self.end(Rule::Idle, "Sign-in took too long.").await;
        }
    }

    /// Disabled, expired or removed while connected.
    pub(super) async fn check_still_allowed(&mut self) {
        let Some(key) = &self.connector else { return };
        let snapshot = self.engine.live.snapshot();
        let now = self.engine.depot.clock.now();
        let rule = match snapshot.connectors.get(key) {
            None => Rule::ConnectorDisabled,
            Some(live) => match live.connector.valid_at(now) {
                Ok(()) => return,
                Err(why) => why.rule(),
            },
        };
        self.end(rule, "This user may not stay connected.").await;
    }

    /// Ends the session from our side; a transfer under way is aborted first.
    pub(super) async fn end(&mut self, rule: Rule, text: &str) {
        if let Some(running) = &self.running {
            running.abort.cancel();
        }
        self.ending = SessionEnd::Rule(rule);
        self.record_refusal(&No { rule, detail: text.to_owned() }, "421");
        self.send(&Reply::new(Code::ClosingControl, text)).await;
        self.closed = true;
    }

    /// What stays of the session, as far as its connector's Log Level says. Nobody's session leaves its refusals only.
    pub(super) async fn record_session(&self) {
        let Some(whose) = &self.whose else { return };
        let snapshot = self.engine.live.snapshot();
        let Some(live) = snapshot.connector(whose) else { return };
        let level = live.connector.settings.log_level;
        let trouble = self.tally.failures > 0 || self.ending != SessionEnd::Quit;
        if !level.keeps_session(trouble) || snapshot.profile.log_keep_days.get() == 0 {
            return;
        }
        let session = Session {
            id: self.place.id().clone(),
            connector: whose.clone(),
            remote: self.remote.to_string(),
            client: self.place.doing().client.unwrap_or_default(),
            tls: self.tls_text.clone(),
            begun_at: self.place.since(),
            ended_at: self.engine.depot.clock.now(),
            ending: self.ending,
            tally: self.tally,
            transcript: if level.keeps_transcript(trouble) { self.place.transcript() } else { String::new() },
        };
        self.engine.depot.recorder.session(session).await;
    }

    pub(super) fn client_is_gone(&mut self) {
        self.gone.cancel();
        if let Some(running) = &self.running {
            running.abort.cancel();
        } else {
            self.closed = true;
        }
    }
}
