//! Tokens of the API. Only the digest of a token is stored, never the token itself.

use std::time::Duration;

use sqlx::Row;

use super::administrator::{self, Administrator, digest};
use super::audit;
use super::open::{Db, StoreError};
use super::setting::{Change, SaveError};
use crate::base::clock::Timestamp;
use crate::base::id::TokenId;
use crate::base::secret::Secret;
use crate::domain::api_token::TokenSettings;
use crate::domain::setting::Value;
use crate::domain::value::{Networks, TokenScope};

/// The most tokens of one administrator, including expired ones.
pub const TOKENS_MAX: i64 = 25;
/// A token's use is recorded at most this often.
const USED_AGAIN_AFTER: Duration = Duration::from_mins(1);

// What `decode` reads, in this order.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT a.id, a.name, a.role, a.password_hash, a.created_at_us, t.id, t.name, t.scope, t.addresses, \
             t.created_at_us, t.expires_at_us, t.used_at_us, t.used_from FROM api_tokens t \
             JOIN administrators a ON a.id = t.administrator_id ",
            $rest
        )
    };
}

const COUNT: &str = "SELECT COUNT(*) FROM api_tokens WHERE administrator_id = $1";
const ADD: &str = "INSERT INTO api_tokens (id, administrator_id, name, name_key, scope, token_sha256, addresses, \
     created_at_us, expires_at_us, used_at_us, used_from) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, NULL, '') \
     ON CONFLICT (administrator_id, name_key) DO NOTHING";

const ALL: &str = select!("ORDER BY a.name_key, t.name_key");
const BY_DIGEST: &str = select!("WHERE t.token_sha256 = $1");
const USED: &str = "UPDATE api_tokens SET used_at_us = $2, used_from = $3 WHERE id = $1";
const REMOVE: &str = "DELETE FROM api_tokens WHERE id = $1";

/// A token, without its secret.
#[derive(Clone, Debug)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// Its owner, whose role bounds what it may do.
    pub owner: Administrator,
    /// What uses it.
    pub name: String,
    /// The most it can do.
    pub scope: TokenScope,
    /// Where it may be used from; none: anywhere.
    pub addresses: Networks,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it expires; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute; `None`: not yet.
    pub used_at: Option<Timestamp>,
    /// Where from, then.
    pub used_from: String,
}

impl Token {
    /// Whether it has expired.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// The name of its user in the audit: `mira, token erp`.
    pub fn acts_as(&self) -> String {
        format!("{}, token {}", self.owner.name, self.name)
    }

    fn subject(owner: &str, name: &str) -> String {
        format!("token {name} of {owner}")
    }
}

/// Adds a token of `owner`.
///
/// # Errors
/// `owner` already has [`TOKENS_MAX`] of them or one of that name; or the database failed.
pub async fn add(
    db: &Db,
    owner: &Administrator,
    (settings, secret): (&TokenSettings, &Secret),
    change: &Change<'_>,
) -> Result<(), SaveError> {
    let mistake = |words: String| SaveError::mistake("name", words);
    let mut tx = db.begin().await?;
    let count = sqlx::query(COUNT).bind(owner.id.as_str()).fetch_one(&mut *tx).await?.try_get::<i64, _>(0)?;
    if count >= TOKENS_MAX {
        return Err(mistake(format!("You have {TOKENS_MAX} tokens, the most there can be; revoke one first")));
    }
    let name = settings.name.as_str();
    let expires_at = settings.expires_days.map(|days| change.at.plus(days.days()));
    let added = sqlx::query(ADD)
        .bind(TokenId::new(change.ids).as_str())
        .bind(owner.id.as_str())
        .bind(name)
        .bind(name.to_lowercase())
        .bind(settings.scope.name())
        .bind(digest(secret))
        .bind(settings.addresses.text())
        .bind(change.at.us())
        .bind(expires_at.map(Timestamp::us))
        .execute(&mut *tx)
        .await?;
    if added.rows_affected() == 0 {
        return Err(mistake(format!("You have a token {name} already; choose another name, or revoke that one")));
    }
    let from = if settings.addresses.is_empty() { "anywhere".to_owned() } else { settings.addresses.text() };
    let until = expires_at.map_or("revoked".to_owned(), |end| end.to_string());
    let after = format!("{}, from {from}, until {until}", settings.scope);
    let subject = Token::subject(&owner.name, name);
    audit::add(&mut tx, change, &audit::Entry { subject: &subject, key: "added", before: "", after: &after }).await?;
    tx.commit().await?;
    Ok(())
}

/// Every token, by owner and name.
pub async fn all(db: &Db) -> Result<Vec<Token>, StoreError> {
    sqlx::query(ALL).fetch_all(db.reader()).await?.iter().map(decode).collect()
}

/// The token for `secret`, valid or not. The timing of the lookup reveals nothing useful: it compares digests, a guess
/// among 2^256.
pub async fn find(db: &Db, secret: &Secret) -> Result<Option<Token>, StoreError> {
    let row = sqlx::query(BY_DIGEST).bind(digest(secret)).fetch_optional(db.reader()).await?;
    row.as_ref().map(decode).transpose()
}

/// Records its use; precision to the minute spares most requests a write.
pub async fn used(db: &Db, token: &Token, from: &str, now: Timestamp) -> Result<(), StoreError> {
    if token.used_from == from && token.used_at.is_some_and(|at| now.since(at) < USED_AGAIN_AFTER) {
        return Ok(());
    }
    sqlx::query(USED).bind(token.id.as_str()).bind(now.us()).bind(from).execute(db.writer()).await?;
    Ok(())
}

/// Revokes it at once. Returns whether it was still there.
pub async fn revoke(db: &Db, token: &Token, change: &Change<'_>) -> Result<bool, StoreError> {
    let mut tx = db.begin().await?;
    let was_there = sqlx::query(REMOVE).bind(token.id.as_str()).execute(&mut *tx).await?.rows_affected() > 0;
    if was_there {
        let subject = Token::subject(&token.owner.name, &token.name);
        let entry = audit::Entry { subject: &subject, key: "revoked", before: token.scope.name(), after: "" };
        audit::add(&mut tx, change, &entry).await?;
    }
    tx.commit().await?;
    Ok(was_there)
}

fn decode(row: &sqlx::sqlite::SqliteRow) -> Result<Token, StoreError> {
    let (id, scope, addresses): (String, String, String) = (row.try_get(5)?, row.try_get(7)?, row.try_get(8)?);
    let unreadable = |what: &str| StoreError::Unreadable(format!("token with {what}"));
    let moment = |us: Option<i64>| us.map(Timestamp::from_us);
    Ok(Token {
        id: TokenId::parse(&id).ok_or_else(|| unreadable(&id))?,
        owner: administrator::decode(row)?,
        name: row.try_get(6)?,
        scope: TokenScope::parse(&scope).map_err(|words| unreadable(&words))?,
        addresses: Networks::parse(&addresses).map_err(|words| unreadable(&words))?,
        created_at: Timestamp::from_us(row.try_get(9)?),
        expires_at: moment(row.try_get(10)?),
        used_at: moment(row.try_get(11)?),
        used_from: row.try_get(12)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::id::IdSource;
    use crate::domain::administrator::Role;

    async fn person(db: &Db, name: &str, change: &Change<'_>) -> Administrator {
        let new = administrator::New { name, role: Role::Admin, password_hash: "-", only_first: false };
        administrator::add(db, &new, change).await.unwrap();
        administrator::find(db, name).await.unwrap().unwrap()
    }

    fn settings(name: &str) -> TokenSettings {
        TokenSettings::parse(&[("name".to_owned(), name.to_owned())].into()).unwrap()
    }

    #[tokio::test]
    async fn a_token_is_found_by_what_opens_until_it_is_revoked_or_its_owner_goes() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = IdSource::random(Clock::System);
        let change = Change { who: "test", remote: "", at: Timestamp::from_us(0), ids: &ids };
        let (mira, kim) = (person(&db, "mira", &change).await, person(&db, "kim", &change).await);
        let (one, two) = (Secret::new("what opens for mira"), Secret::new("what opens for kim"));
        add(&db, &mira, (&settings("erp"), &one), &change).await.unwrap();
        add(&db, &kim, (&settings("ERP"), &two), &change).await.unwrap();
        let again = add(&db, &mira, (&settings("Erp"), &Secret::new("three")), &change).await.unwrap_err();
        assert!(again.to_string().contains("You have a token Erp already"), "{again}");
        assert!(find(&db, &Secret::new("three")).await.unwrap().is_none());

        let found = find(&db, &one).await.unwrap().unwrap();
        assert_eq!((found.acts_as().as_str(), found.used_at), ("mira, token erp", None));
        let end = Timestamp::from_us(0).plus(Duration::from_hours(24 * 90));
        assert!(found.is_expired(end) && !found.is_expired(end.minus(Duration::from_micros(1))));
        let files = ["waybill.db", "waybill.db-wal"].map(|name| std::fs::read(folder.path().join(name)).unwrap());
        let holds = |text: &str| files.iter().any(|file| file.windows(text.len()).any(|part| part == text.as_bytes()));
        assert!(holds("token erp of mira") && !holds(one.reveal()), "what opens is stored");

        assert!(revoke(&db, &found, &change).await.unwrap() && !revoke(&db, &found, &change).await.unwrap());
        assert!(find(&db, &one).await.unwrap().is_none());
        administrator::remove(&db, &kim.id, &change).await.unwrap();
        assert!(find(&db, &two).await.unwrap().is_none(), "it outlived its owner");
        let entries = audit::latest(&db, Some("token erp of mira"), 10).await.unwrap();
        assert_eq!(entries.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["revoked", "added"]);
    }

    #[tokio::test]
    async fn one_administrator_has_so_many_tokens_and_use_is_noted_by_the_minute() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = IdSource::random(Clock::System);
        let change = Change { who: "test", remote: "", at: Timestamp::from_us(0), ids: &ids };
        let mira = person(&db, "mira", &change).await;
        for number in 0..TOKENS_MAX {
            let secret = Secret::new(number.to_string());
            add(&db, &mira, (&settings(&format!("t{number}")), &secret), &change).await.unwrap();
        }
        let one_more = add(&db, &mira, (&settings("more"), &Secret::new("more")), &change).await.unwrap_err();
        assert!(one_more.to_string().contains("25 tokens, the most there can be"), "{one_more}");

        let look = async || find(&db, &Secret::new("0")).await.unwrap().unwrap();
        let at = |seconds: i64| Timestamp::from_us(seconds * 1_000_000);
        for (from, seconds, noted) in [("a", 10, 10), ("a", 69, 10), ("a", 70, 70), ("b", 71, 71)] {
            used(&db, &look().await, from, at(seconds)).await.unwrap();
            assert_eq!(look().await.used_at, Some(at(noted)), "from {from} at {seconds}");
        }
    }
}
