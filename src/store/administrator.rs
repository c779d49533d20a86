//! People in the web interface and their signed-in browsers.

use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::{Row, Sqlite, Transaction};

use super::audit;
use super::open::{Db, StoreError};
use super::setting::{Change, SaveError, Stored};
use crate::base::clock::Timestamp;
use crate::base::hex::hex;
use crate::base::id::AdministratorId;
use crate::base::secret::Secret;
use crate::domain::administrator::Role;

/// A browser that has not been seen for this long is signed out.
pub const SESSION_IDLE_MAX: Duration = Duration::from_hours(12);
/// A browser is signed out this long after it signed in, whatever it does.
pub const SESSION_LIFE_MAX: Duration = Duration::from_hours(168);
/// Signed-in browsers of one administrator; beyond it the oldest is dropped.
pub const SESSIONS_MAX: i64 = 20;

// What `decode` reads, in this order.
macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT id, name, role, password_hash, created_at_us FROM administrators ", $rest)
    };
}

const COUNT: &str = "SELECT COUNT(*) FROM administrators";

const LIST: &str = select!("ORDER BY name_key");
const BY_NAME: &str = select!("WHERE name_key = $1");
const ADD: &str = "INSERT INTO administrators (id, name, name_key, role, password_hash, created_at_us) \
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name_key) DO NOTHING";
const BY_ID: &str = select!("WHERE id = $1");
const OTHER_ADMINS: &str = "SELECT COUNT(*) FROM administrators WHERE role = 'admin' AND id <> $1";
const SET_ROLE: &str = "UPDATE administrators SET role = $2 WHERE id = $1";
const REMOVE: &str = "DELETE FROM administrators WHERE id = $1";
const SET_PASSWORD: &str = "UPDATE administrators SET password_hash = $2 WHERE name_key = $1";
const END_SESSIONS: &str = "DELETE FROM web_sessions WHERE administrator_id = (SELECT id FROM administrators \
     WHERE name_key = $1)";
const ADD_SESSION: &str = "INSERT INTO web_sessions (token_sha256, administrator_id, csrf_token, created_at_us, \
     seen_at_us, remote, agent) VALUES ($1, $2, $3, $4, $4, $5, $6)";
// Future times come from a clock that was ahead: a session further in the future than its lifetime has ended too.
const PRUNE_SESSIONS: &str = "DELETE FROM web_sessions WHERE seen_at_us < $1 OR created_at_us < $2 OR seen_at_us > $3";
const BOUND_SESSIONS: &str = "DELETE FROM web_sessions WHERE administrator_id = $1 AND token_sha256 NOT IN \
     (SELECT token_sha256 FROM web_sessions WHERE administrator_id = $1 ORDER BY created_at_us DESC LIMIT $2)";
const SESSION: &str = "SELECT a.id, a.name, a.role, a.password_hash, a.created_at_us, s.csrf_token, s.seen_at_us \
     FROM web_sessions s JOIN administrators a ON a.id = s.administrator_id \
     WHERE s.token_sha256 = $1 AND s.seen_at_us >= $2 AND s.created_at_us >= $3 AND s.seen_at_us <= $4";
const SESSIONS_OF: &str = "SELECT token_sha256, created_at_us, seen_at_us, remote, agent FROM web_sessions \
     WHERE administrator_id = $1 AND seen_at_us >= $2 AND created_at_us >= $3 AND seen_at_us <= $4 \
     ORDER BY seen_at_us DESC, token_sha256";
const END_SESSION_OF: &str = "DELETE FROM web_sessions WHERE administrator_id = $1 AND token_sha256 = $2";
const END_OTHER_SESSIONS: &str = "DELETE FROM web_sessions WHERE administrator_id = $1 AND token_sha256 <> $2";
const SEEN: &str = "UPDATE web_sessions SET seen_at_us = $2 WHERE token_sha256 = $1";
const END_SESSION: &str = "DELETE FROM web_sessions WHERE token_sha256 = $1";

/// A person who administers.
#[derive(Clone, Debug)]
pub struct Administrator {
    /// The id.
    pub id: AdministratorId,
    /// The name as written.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Argon2id, PHC form.
    pub password_hash: String,
    /// When they were added.
    pub created_at: Timestamp,
}

/// A signed-in browser.
#[derive(Clone, Debug)]
pub struct WebSession {
    /// Who signed in.
    pub administrator: Administrator,
    /// The token in every form of this session.
    pub csrf_token: String,
}

/// The number of administrators.
pub async fn count(db: &Db) -> Result<u64, StoreError> {
    Ok(sqlx::query(COUNT).fetch_one(db.reader()).await?.try_get::<i64, _>(0)?.unsigned_abs())
}

/// All of them, by name.
pub async fn list(db: &Db) -> Result<Vec<Administrator>, StoreError> {
    sqlx::query(LIST).fetch_all(db.reader()).await?.iter().map(decode).collect()
}

/// The one of that name, in any case.
pub async fn find(db: &Db, name: &str) -> Result<Option<Administrator>, StoreError> {
    let query = sqlx::query(BY_NAME).bind(name.to_lowercase());
    query.fetch_optional(db.reader()).await?.as_ref().map(decode).transpose()
}

/// An administrator to add.
#[derive(Clone, Debug)]
pub struct New<'a> {
    /// The name.
    pub name: &'a str,
    /// What they may do.
    pub role: Role,
    /// Argon2id, PHC form.
    pub password_hash: &'a str,
    /// Only if there is nobody yet, as on the first run. Decided within the transaction.
    pub only_first: bool,
}

/// Adds an administrator. `Ok(false)`: `only_first` is set, but there is one already.
pub async fn add(db: &Db, new: &New<'_>, change: &Change<'_>) -> Result<bool, SaveError> {
    let name = check_name(new.name).map_err(|message| SaveError::mistake("name", message))?;
    let mut tx = db.begin().await?;
    if new.only_first && sqlx::query(COUNT).fetch_one(&mut *tx).await?.try_get::<i64, _>(0)? > 0 {
        return Ok(false);
    }
    let added = sqlx::query(ADD)
        .bind(AdministratorId::new(change.ids).as_str())
        .bind(name)
        .bind(name.to_lowercase())
        .bind(new.role.name())
        .bind(new.password_hash)
        .bind(change.at.us())
        .execute(&mut *tx)
        .await?;
    if added.rows_affected() == 0 {
        let message = format!("There is an administrator {name} already");
        return Err(SaveError::mistake("name", message));
    }
    let subject = format!("administrator {name}");
    let entry = audit::Entry { subject: &subject, key: "added", before: "", after: new.role.name() };
    audit::add(&mut tx, change, &entry).await?;
    tx.commit().await?;
    Ok(true)
}

/// The one of that id.
pub async fn by_id(db: &Db, id: &AdministratorId) -> Result<Option<Administrator>, StoreError> {
    sqlx::query(BY_ID).bind(id.as_str()).fetch_optional(db.reader()).await?.as_ref().map(decode).transpose()
}

/// Another role.
#[derive(Clone, Copy, Debug)]
pub struct NewRole {
    /// The one that it was chosen in place of.
    pub from: Role,
    /// What they may do from now on.
    pub to: Role,
}

/// What is to be another about an administrator.
#[derive(Clone, Debug)]
pub struct Edit<'a> {
    /// `None`: whatever is there.
    pub role: Option<NewRole>,
    /// A new password, Argon2id, PHC form; every browser of that administrator is then signed out.
    pub password_hash: Option<&'a str>,
}

/// Changes an administrator. Refused where nobody would be left who may do everything, or the role is a third one meanwhile.
pub async fn edit(db: &Db, id: &AdministratorId, edit: &Edit<'_>, change: &Change<'_>) -> Result<(), SaveError> {
    let mut tx = db.begin().await?;
    let there = one(&mut tx, id).await?;
    let subject = format!("administrator {}", there.name);
    if let Some(role) = edit.role.filter(|role| role.to != there.role) {
        if role.from != there.role {
            let texts = [("role".to_owned(), there.role.name().to_owned())].into();
            return Err(SaveError::Stale(Box::new(Stored { texts, ..Stored::default() })));
        }
        if there.role == Role::Admin {
            keep_an_admin(&mut tx, &there, "role").await?;
        }
        sqlx::query(SET_ROLE).bind(id.as_str()).bind(role.to.name()).execute(&mut *tx).await?;
        let (before, after) = (there.role.name(), role.to.name());
        audit::add(&mut tx, change, &audit::Entry { subject: &subject, key: "role", before, after }).await?;
    }
    if let Some(hash) = edit.password_hash {
        let key = there.name.to_lowercase();
        sqlx::query(SET_PASSWORD).bind(&key).bind(hash).execute(&mut *tx).await?;
        sqlx::query(END_SESSIONS).bind(&key).execute(&mut *tx).await?;
        let entry = audit::Entry { subject: &subject, key: "password", before: "", after: "changed" };
        audit::add(&mut tx, change, &entry).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Removes an administrator and signs out all their browsers. Never the last admin.
pub async fn remove(db: &Db, id: &AdministratorId, change: &Change<'_>) -> Result<(), SaveError> {
    let mut tx = db.begin().await?;
    let there = one(&mut tx, id).await?;
    if there.role == Role::Admin {
        keep_an_admin(&mut tx, &there, "confirm").await?;
    }
    sqlx::query(END_SESSIONS).bind(there.name.to_lowercase()).execute(&mut *tx).await?;
    sqlx::query(REMOVE).bind(id.as_str()).execute(&mut *tx).await?;
    let subject = format!("administrator {}", there.name);
    let entry = audit::Entry { subject: &subject, key: "removed", before: there.role.name(), after: "" };
    audit::add(&mut tx, change, &entry).await?;
    tx.commit().await?;
    Ok(())
}

async fn one(tx: &mut Transaction<'_, Sqlite>, id: &AdministratorId) -> Result<Administrator, SaveError> {
    let row = sqlx::query(BY_ID).bind(id.as_str()).fetch_optional(&mut **tx).await?;
    let gone = || SaveError::mistake("role", "This administrator was removed meanwhile");
    Ok(decode(&row.ok_or_else(gone)?)?)
}

/// Refuses unless an admin other than `there` remains.
async fn keep_an_admin(tx: &mut Transaction<'_, Sqlite>, there: &Administrator, key: &str) -> Result<(), SaveError> {
    let others = sqlx::query(OTHER_ADMINS).bind(there.id.as_str()).fetch_one(&mut **tx).await?;
    if others.try_get::<i64, _>(0)? > 0 {
        return Ok(());
    }
    let words = format!("{} is the last admin, and somebody must be: make another one admin first", there.name);
    Err(SaveError::mistake(key, words))
}

/// Sets a new password and signs out all browsers of that administrator. Returns whether that name exists.
pub async fn set_password(db: &Db, name: &str, hash: &str, change: &Change<'_>) -> Result<bool, StoreError> {
    let mut tx = db.begin().await?;
    let key = name.to_lowercase();
    let found = sqlx::query(SET_PASSWORD).bind(&key).bind(hash).execute(&mut *tx).await?.rows_affected() > 0;
    if found {
        sqlx::query(END_SESSIONS).bind(&key).execute(&mut *tx).await?;
        let subject = format!("administrator {name}");
        let entry = audit::Entry { subject: &subject, key: "password", before: "", after: "changed" };
        audit::add(&mut tx, change, &entry).await?;
    }
    tx.commit().await?;
    Ok(found)
}

/// A browser that signs in.
#[derive(Clone, Debug)]
pub struct NewSession<'a> {
    /// The cookie's token; only its digest is stored.
    pub token: &'a Secret,
    /// The token for every form.
    pub csrf_token: &'a str,
    /// Where from.
    pub remote: &'a str,
    /// The browser's user agent.
    pub agent: &'a str,
}

/// A browser in the list of signed-in browsers.
#[derive(Clone, Debug)]
pub struct Browser {
    /// The digest of its token: it identifies the session, but signs nobody in.
    pub mark: String,
    /// When it signed in.
    pub since: Timestamp,
    /// When it was last seen, to the minute.
    pub seen: Timestamp,
    /// From where.
    pub remote: String,
    /// Its user agent.
    pub agent: String,
}

/// Signs a browser in.
pub async fn begin_session(
    db: &Db,
    administrator: &AdministratorId,
    new: &NewSession<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    let [idle, life, ahead] = bounds_us(now);
    sqlx::query(PRUNE_SESSIONS).bind(idle).bind(life).bind(ahead).execute(&mut *tx).await?;
    sqlx::query(ADD_SESSION)
        .bind(digest(new.token))
        .bind(administrator.as_str())
        .bind(new.csrf_token)
        .bind(now.us())
        .bind(new.remote)
        .bind(new.agent)
        .execute(&mut *tx)
        .await?;
    sqlx::query(BOUND_SESSIONS).bind(administrator.as_str()).bind(SESSIONS_MAX).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(())
}

/// The session for a cookie's token, if still valid. Asking counts as activity, which prolongs the session.
pub async fn session(db: &Db, token: &Secret, now: Timestamp) -> Result<Option<WebSession>, StoreError> {
    let Some((session, seen)) = read_session(db, token, now).await? else { return Ok(None) };
    // To the minute is enough, and spares most requests a write.
    if seen > now || now.since(seen) > Duration::from_mins(1) {
        sqlx::query(SEEN).bind(digest(token)).bind(now.us()).execute(db.writer()).await?;
    }
    Ok(Some(session))
}

/// The same for a page's own polling, which does not count as activity.
pub async fn peek_session(db: &Db, token: &Secret, now: Timestamp) -> Result<Option<WebSession>, StoreError> {
    Ok(read_session(db, token, now).await?.map(|(session, _)| session))
}

async fn read_session(db: &Db, token: &Secret, now: Timestamp) -> Result<Option<(WebSession, Timestamp)>, StoreError> {
    let [idle, life, ahead] = bounds_us(now);
    let query = sqlx::query(SESSION).bind(digest(token)).bind(idle).bind(life).bind(ahead);
    let Some(row) = query.fetch_optional(db.reader()).await? else { return Ok(None) };
    let session = WebSession { administrator: decode(&row)?, csrf_token: row.try_get(5)? };
    Ok(Some((session, Timestamp::from_us(row.try_get(6)?))))
}

/// The signed-in browsers of an administrator, the last seen first.
pub async fn browsers(db: &Db, id: &AdministratorId, now: Timestamp) -> Result<Vec<Browser>, StoreError> {
    let [idle, life, ahead] = bounds_us(now);
    let query = sqlx::query(SESSIONS_OF).bind(id.as_str()).bind(idle).bind(life).bind(ahead);
    let browser = |row: &sqlx::sqlite::SqliteRow| -> Result<Browser, StoreError> {
        Ok(Browser {
            mark: row.try_get(0)?,
            since: Timestamp::from_us(row.try_get(1)?),
            seen: Timestamp::from_us(row.try_get(2)?),
            remote: row.try_get(3)?,
            agent: row.try_get(4)?,
        })
    };
    query.fetch_all(db.reader()).await?.iter().map(browser).collect()
}

/// The bounds for a signed-in browser: last seen from the first to the last of these, signed in after the second.
fn bounds_us(now: Timestamp) -> [i64; 3] {
    [now.minus(SESSION_IDLE_MAX), now.minus(SESSION_LIFE_MAX), now.plus(SESSION_IDLE_MAX)].map(Timestamp::us)
}

/// [`Browser::mark`] for a token.
pub fn mark(token: &Secret) -> String {
    digest(token)
}

/// Signs out one browser of an administrator, by its mark. Returns whether there was one.
pub async fn end_browser(db: &Db, id: &AdministratorId, mark: &str) -> Result<bool, StoreError> {
    let query = sqlx::query(END_SESSION_OF).bind(id.as_str()).bind(mark);
    Ok(query.execute(db.writer()).await?.rows_affected() > 0)
}

/// Signs out every browser of an administrator except the one with this mark. Returns how many.
pub async fn end_other_browsers(db: &Db, id: &AdministratorId, mark: &str) -> Result<u64, StoreError> {
    let query = sqlx::query(END_OTHER_SESSIONS).bind(id.as_str()).bind(mark);
    Ok(query.execute(db.writer()).await?.rows_affected())
}

/// Signs a browser out.
pub async fn end_session(db: &Db, token: &Secret) -> Result<(), StoreError> {
    sqlx::query(END_SESSION).bind(digest(token)).execute(db.writer()).await?;
    Ok(())
}

fn check_name(name: &str) -> Result<&str, String> {
    let name = name.trim();
    if name.is_empty() {
        return Err("Name is missing: type the name to sign in with".to_owned());
    }
    if name.chars().count() > 64 || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(format!("{name:?} is no name: 1 to 64 characters without blanks"));
    }
    Ok(name)
}

/// The stored form of a token: tokens are random, so a plain digest cannot be reversed.
pub(super) fn digest(token: &Secret) -> String {
    hex(&Sha256::digest(token.reveal().as_bytes()))
}

/// Reads the first five columns of a row: id, name, role, password hash, time of addition.
pub(super) fn decode(row: &sqlx::sqlite::SqliteRow) -> Result<Administrator, StoreError> {
    let (id, role): (String, String) = (row.try_get(0)?, row.try_get(2)?);
    Ok(Administrator {
        id: AdministratorId::parse(&id).ok_or_else(|| StoreError::Unreadable(format!("administrator {id}")))?,
        name: row.try_get(1)?,
        role: Role::parse(&role).ok_or_else(|| StoreError::Unreadable(format!("role {role}")))?,
        password_hash: row.try_get(3)?,
        created_at: Timestamp::from_us(row.try_get(4)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::id::IdSource;

    #[tokio::test]
    async fn who_signed_in_while_the_clock_was_ahead_is_signed_in_no_longer_than_others() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let now = Timestamp::from_us(1_800_000_000_000_000);
        let ids = IdSource::random(Clock::fixed(now));
        let change = Change { who: "test", remote: "", at: now, ids: &ids };
        let new = New { name: "eda", role: Role::Admin, password_hash: "hash", only_first: false };
        assert!(add(&db, &new, &change).await.unwrap());
        let eda = find(&db, "eda").await.unwrap().unwrap();
        let token = |text: &str| Secret::new(text);
        let [hour, year] = [1, 365 * 24].map(Duration::from_hours);
        let sign_in = async |text: &str, at| {
            let new = NewSession { token: &token(text), csrf_token: text, remote: "", agent: "" };
            begin_session(&db, &eda.id, &new, at).await.unwrap();
        };
        sign_in("a year", now.plus(year)).await;
        assert!(session(&db, &token("a year"), now.plus(year)).await.unwrap().is_some());
        assert!(session(&db, &token("a year"), now).await.unwrap().is_none());
        assert_eq!(browsers(&db, &eda.id, now).await.unwrap().len(), 0);
        sign_in("an hour", now.plus(hour)).await;
        assert!(
            session(&db, &token("an hour"), now).await.unwrap().is_some(),
            "the clock may be set a little at any time"
        );
        let listed = browsers(&db, &eda.id, now).await.unwrap();
        assert_eq!(listed.iter().map(|one| one.seen).collect::<Vec<_>>(), [now], "it was seen now");
        assert!(session(&db, &token("an hour"), now.plus(SESSION_IDLE_MAX).plus(hour)).await.unwrap().is_none());
    }
}
