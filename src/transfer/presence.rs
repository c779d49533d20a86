//! Who is connected and what they are moving, for the pages; and the way to disconnect a session.
//!
//! Always: a session is in here exactly as long as its [`Place`] lives.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;

use crate::base::clock::Timestamp;
use crate::base::id::SessionId;
use crate::base::lock::lock;

use super::transcript::Transcript;

/// What a session is doing now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doing {
    /// The connector's id once logged in.
    pub connector: Option<String>,
    /// The client's name for itself.
    pub client: Option<String>,
    /// TLS version and cipher; empty in clear.
    pub tls: String,
    /// The file being moved, as the partner sees it, with a word for the direction.
    pub file: Option<String>,
    /// The size of the file being sent; `None` if unknown.
    pub size_bytes: Option<u64>,
    /// The last command, secrets masked.
    pub command: String,
}

#[derive(Debug)]
struct Present {
    id: SessionId,
    remote: IpAddr,
    local: IpAddr,
    since: Timestamp,
    doing: Mutex<Doing>,
    transcript: Mutex<Transcript>,
    moved: AtomicU64,
    end: CancellationToken,
}

impl Present {
    fn seen(&self) -> LiveSession {
        LiveSession {
            id: self.id.clone(),
            remote: self.remote,
            local: self.local,
            since: self.since,
            doing: lock(&self.doing).clone(),
            moved_bytes: self.moved.load(Ordering::Relaxed),
        }
    }
}

/// One live session, as a page shows it.
#[derive(Clone, Debug)]
pub struct LiveSession {
    /// Its id.
    pub id: SessionId,
    /// The client's address.
    pub remote: IpAddr,
    /// Our own address that it connected to.
    pub local: IpAddr,
    /// Connected since.
    pub since: Timestamp,
    /// What it is doing.
    pub doing: Doing,
    /// Bytes of the transfer under way.
    pub moved_bytes: u64,
}

/// Every live session.
#[derive(Clone, Debug, Default)]
pub struct Presence {
    sessions: Arc<Mutex<BTreeMap<SessionId, Arc<Present>>>>,
}

impl Presence {
    /// A session begins: from that remote to that local address.
    pub fn enter(&self, id: SessionId, (remote, local): (IpAddr, IpAddr), since: Timestamp) -> Place {
        let present = Arc::new(Present {
            id: id.clone(),
            remote,
            local,
            since,
            doing: Mutex::default(),
            transcript: Mutex::default(),
            moved: AtomicU64::new(0),
            end: CancellationToken::new(),
        });
        self.lock().insert(id, Arc::clone(&present));
        Place { presence: self.clone(), present }
    }

    /// Every live session, oldest first.
    pub fn sessions(&self) -> Vec<LiveSession> {
        let all: Vec<_> = self.lock().values().cloned().collect();
        all.iter().map(|present| present.seen()).collect()
    }

    /// A live session by its id, with its transcript so far.
    pub fn find(&self, id: &SessionId) -> Option<(LiveSession, String)> {
        let present = self.lock().get(id).cloned()?;
        let said = lock(&present.transcript).text();
        Some((present.seen(), said))
    }

    /// The number of sessions.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Ends a session with 421. Returns whether it was there.
    pub fn disconnect(&self, id: &SessionId) -> bool {
        self.lock().get(id).inspect(|present| present.end.cancel()).is_some()
    }

    /// Ends every session that `chosen` picks; returns how many.
    pub fn disconnect_where(&self, chosen: impl Fn(&LiveSession) -> bool) -> usize {
        self.sessions().iter().filter(|session| chosen(session) && self.disconnect(&session.id)).count()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<SessionId, Arc<Present>>> {
        lock(&self.sessions)
    }
}

/// A session's place among the live ones, removed when dropped.
#[derive(Debug)]
pub struct Place {
    presence: Presence,
    present: Arc<Present>,
}

impl Place {
    /// The session's id.
    pub fn id(&self) -> &SessionId {
        &self.present.id
    }

    /// Changes what the pages show.
    pub fn update(&self, change: impl FnOnce(&mut Doing)) {
        change(&mut lock(&self.present.doing));
    }

    /// What the pages show now.
    pub fn doing(&self) -> Doing {
        lock(&self.present.doing).clone()
    }

    /// When it began.
    pub fn since(&self) -> Timestamp {
        self.present.since
    }

    /// The client said a line.
    pub fn heard(&self, at: Timestamp, line: &str) {
        lock(&self.present.transcript).client(at, line);
    }

    /// It was answered.
    pub fn answered(&self, at: Timestamp, reply: &str) {
        lock(&self.present.transcript).server(at, reply);
    }

    /// The transcript so far.
    pub fn transcript(&self) -> String {
        lock(&self.present.transcript).text()
    }

    /// The counter of the transfer under way; the copy loop adds to it.
    pub fn begin_transfer(&self, file: String, size_bytes: Option<u64>) {
        self.present.moved.store(0, Ordering::Relaxed);
        self.update(|doing| (doing.file, doing.size_bytes) = (Some(file), size_bytes));
    }

    /// Bytes have moved.
    pub fn moved(&self, bytes: u64) {
        self.present.moved.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes of the transfer under way.
    pub fn moved_bytes(&self) -> u64 {
        self.present.moved.load(Ordering::Relaxed)
    }

    /// The transfer has ended.
    pub fn end_transfer(&self) {
        self.update(|doing| (doing.file, doing.size_bytes) = (None, None));
    }

    /// Cancelled when somebody disconnects this session.
    pub fn end(&self) -> &CancellationToken {
        &self.present.end
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.presence.lock().remove(&self.present.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::id::IdSource;

    #[test]
    fn a_session_is_present_as_long_as_its_place_lives() {
        let presence = Presence::default();
        let ids = IdSource::random(Clock::System);
        let place =
            presence.enter(SessionId::new(&ids), ([127, 0, 0, 1].into(), [127, 0, 0, 1].into()), Timestamp::default());
        place.update(|doing| doing.connector = Some("acme".to_owned()));
        assert_eq!(presence.sessions()[0].doing.connector.as_deref(), Some("acme"));
        assert_eq!(presence.disconnect_where(|session| session.doing.connector.as_deref() == Some("acme")), 1);
        assert!(place.end().is_cancelled());
        drop(place);
        assert_eq!(presence.count(), 0);
    }
}
