//! Waits until a running server follows a save, so that the next command of a script finds it in force.

use std::path::Path;
use std::time::Duration;

use super::verb::{Desk, Failure};
use crate::store::listener::{self, Listener, ListenerState};
use crate::store::live::Live;
use crate::store::open::{Lock, SERVE_LOCK};

/// How long to wait for a running server to follow.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(2);
/// How often to check.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Reports the save, and returns the FTP listener's state once a running server follows: `None` if no server runs, or
/// if it does not follow in time, which is reported.
pub(super) async fn saved(desk: &mut Desk<'_>, words: &str) -> Result<Option<ListenerState>, Failure> {
    writeln!(desk.out, "{words}")?;
    if !is_served(desk.data) {
        return Ok(None);
    }
    // What is printed so far is true whatever the wait brings.
    desk.out.flush()?;
    let version = Live::open(desk.db.clone(), desk.clock.clone()).await?.snapshot().version;
    let until = tokio::time::Instant::now() + FOLLOWED_WITHIN;
    loop {
        let state = listener::get(&desk.db, Listener::Ftp).await?;
        if state.followed_version >= version {
            return Ok(Some(state));
        }
        if tokio::time::Instant::now() >= until {
            writeln!(desk.out, "The running server has not said yet that it follows; look at it again.")?;
            return Ok(None);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Whether a server runs on this data folder. This does not make the file: only a server does.
fn is_served(data: &Path) -> bool {
    let lock = data.join(SERVE_LOCK);
    lock.exists() && matches!(Lock::try_take(&lock), Ok(None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock, Timestamp};
    use crate::cli::verb::tests::{refused, say};
    use crate::store::Db;
    use crate::store::listener::State;

    #[tokio::test]
    async fn beside_a_running_server_every_save_waits_until_it_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let db = Db::open(data).await.unwrap();
        let lock = Lock::try_take(&data.join(SERVE_LOCK)).unwrap().unwrap();
        let mut state = ListenerState {
            state: State::Listening,
            address: "[::]:8021".to_owned(),
            message: String::new(),
            since: Timestamp::default(),
            followed_version: i64::MAX,
        };
        listener::put(&db, Listener::Ftp, &state).await.unwrap();
        let set = ["profile", "set", "port=8021"];
        assert_eq!(say(data, &set, "").await.unwrap(), "Saved.\nThe FTP server listens on [::]:8021.\n");
        assert_eq!(say(data, &["settings", "set", "time_zone=UTC"], "").await.unwrap(), "Saved.\n");

        state.state = State::CouldNotBind;
        state.message = "Port 21 is in use.".to_owned();
        listener::put(&db, Listener::Ftp, &state).await.unwrap();
        assert_eq!(refused(data, &set).await, "Port 21 is in use.\nThe old listener goes on: [::]:8021.");

        state.followed_version = Live::open(db.clone(), Clock::System).await.unwrap().snapshot().version;
        listener::put(&db, Listener::Ftp, &state).await.unwrap();
        let add = ["connector", "add", "acme", "password=long enough indeed"];
        let said = say(data, &add, "").await.unwrap();
        assert!(said.starts_with("Added connector acme.\n") && said.contains("has not said yet"), "{said}");

        drop(lock);
        assert_eq!(say(data, &set, "").await.unwrap(), "Saved.\n");
    }
}
