//! Second factors of administrators: whether there is one, and which codes are spent. The key itself is sealed
//! (`store::secret`).

use sqlx::{Row, Sqlite, Transaction};

use super::open::{Db, StoreError};
use super::setting::Change;
use super::{audit, secret};
use crate::base::clock::Timestamp;
use crate::base::id::AdministratorId;

const GET: &str = "SELECT since_us, (SELECT COUNT(*) FROM recovery_codes c \
     WHERE c.administrator_id = f.administrator_id) FROM second_factors f WHERE administrator_id = $1";
const PUT: &str = "INSERT INTO second_factors (administrator_id, since_us) VALUES ($1, $2) \
     ON CONFLICT (administrator_id) DO UPDATE SET since_us = excluded.since_us";
const REMOVE: &str = "DELETE FROM second_factors WHERE administrator_id = $1";
// $3: steps after it were spent while the clock was ahead.
const SPEND_STEP: &str = "INSERT INTO spent_steps (administrator_id, step) SELECT administrator_id, $2 FROM second_factors \
     WHERE administrator_id = $1 AND NOT EXISTS (SELECT 1 FROM spent_steps s WHERE s.administrator_id = $1 \
     AND (s.step = $2 OR s.step BETWEEN $2 AND $3))";
const FORGET_STEPS: &str = "DELETE FROM spent_steps WHERE administrator_id = $1 AND id <= (SELECT id FROM spent_steps \
     WHERE administrator_id = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)";
const FORGET_ALL_STEPS: &str = "DELETE FROM spent_steps WHERE administrator_id = $1";
const ADD_CODE: &str = "INSERT INTO recovery_codes (administrator_id, code_sha256) VALUES ($1, $2)";
const REMOVE_CODES: &str = "DELETE FROM recovery_codes WHERE administrator_id = $1";
const SPEND_CODE: &str = "DELETE FROM recovery_codes WHERE administrator_id = $1 AND code_sha256 = $2";

/// Spent codes that are remembered: by their order and not by their age, which a wrong clock would tell wrongly.
const STEPS_KEPT: i64 = 1_000;
/// How many steps before one that was spent the clock may be found, without being thought to have been ahead: codes of
/// one step early are taken, and clocks are set by moments.
const STEPS_AHEAD_MAX: u64 = 3;

/// The second factor of one administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecondFactor {
    /// When it came into force.
    pub since: Timestamp,
    /// Recovery codes that are still valid.
    pub codes_left: u64,
}

/// Whose second factor it is.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// The id.
    pub id: &'a AdministratorId,
    /// The name, for the audit.
    pub name: &'a str,
}

/// The name under which the key is sealed.
pub fn key_name(id: &AdministratorId) -> String {
    format!("totp {id}")
}

/// The second factor of an administrator, if there is one.
pub async fn get(db: &Db, id: &AdministratorId) -> Result<Option<SecondFactor>, StoreError> {
    let row = sqlx::query(GET).bind(id.as_str()).fetch_optional(db.reader()).await?;
    let factor = |row: sqlx::sqlite::SqliteRow| -> Result<SecondFactor, StoreError> {
        let codes: i64 = row.try_get(1)?;
        Ok(SecondFactor { since: Timestamp::from_us(row.try_get(0)?), codes_left: codes.unsigned_abs() })
    };
    row.map(factor).transpose()
}

/// From now on it is required. `step` is that of the code that proved possession of the key; `codes` are the digests of
/// the recovery codes.
pub async fn put(
    db: &Db,
    owner: Owner<'_>,
    step: u64,
    codes: &[String],
    change: &Change<'_>,
) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    sqlx::query(PUT).bind(owner.id.as_str()).bind(change.at.us()).execute(&mut *tx).await?;
    // Those of another key say nothing about this one's.
    sqlx::query(FORGET_ALL_STEPS).bind(owner.id.as_str()).execute(&mut *tx).await?;
    spend(&mut tx, owner.id, (step, step)).await?;
    replace_codes(&mut tx, owner.id, codes).await?;
    note(&mut tx, owner, ("second factor", "off", "on"), change).await?;
    Ok(tx.commit().await?)
}

/// New recovery codes; earlier ones become invalid.
pub async fn put_codes(db: &Db, owner: Owner<'_>, codes: &[String], change: &Change<'_>) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    replace_codes(&mut tx, owner.id, codes).await?;
    note(&mut tx, owner, ("recovery codes", "", "changed"), change).await?;
    Ok(tx.commit().await?)
}

async fn replace_codes(tx: &mut Transaction<'_, Sqlite>, id: &AdministratorId, codes: &[String]) -> sqlx::Result<()> {
    sqlx::query(REMOVE_CODES).bind(id.as_str()).execute(&mut **tx).await?;
    for code in codes {
        sqlx::query(ADD_CODE).bind(id.as_str()).bind(code).execute(&mut **tx).await?;
    }
    Ok(())
}

/// It is no longer required. Returns whether there was one.
pub async fn remove(db: &Db, owner: Owner<'_>, change: &Change<'_>) -> Result<bool, StoreError> {
    let mut tx = db.begin().await?;
    let removed = sqlx::query(REMOVE).bind(owner.id.as_str()).execute(&mut *tx).await?.rows_affected() > 0;
    if removed {
        secret::remove(&mut tx, &key_name(owner.id)).await?;
        note(&mut tx, owner, ("second factor", "on", "off"), change).await?;
    }
    tx.commit().await?;
    Ok(removed)
}

/// Spends a code of that step while `now` is the present one; `false` if one of it was spent before, or of a later one
/// unless that was when the clock was ahead.
pub async fn spend_step(db: &Db, id: &AdministratorId, step: u64, now: u64) -> Result<bool, StoreError> {
    let mut tx = db.begin().await?;
    let taken = spend(&mut tx, id, (step, now)).await?;
    sqlx::query(FORGET_STEPS).bind(id.as_str()).bind(STEPS_KEPT).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(taken)
}

async fn spend(tx: &mut Transaction<'_, Sqlite>, id: &AdministratorId, (step, now): (u64, u64)) -> sqlx::Result<bool> {
    let believed = now.saturating_add(STEPS_AHEAD_MAX).cast_signed();
    let query = sqlx::query(SPEND_STEP).bind(id.as_str()).bind(step.cast_signed()).bind(believed);
    Ok(query.execute(&mut **tx).await?.rows_affected() > 0)
}

/// Spends a recovery code, by its digest; `false` if it is unknown or was spent before.
pub async fn spend_code(db: &Db, id: &AdministratorId, digest: &str) -> Result<bool, StoreError> {
    let query = sqlx::query(SPEND_CODE).bind(id.as_str()).bind(digest);
    Ok(query.execute(db.writer()).await?.rows_affected() > 0)
}

async fn note(
    tx: &mut Transaction<'_, Sqlite>,
    owner: Owner<'_>,
    (key, before, after): (&str, &str, &str),
    change: &Change<'_>,
) -> sqlx::Result<()> {
    let subject = format!("administrator {}", owner.name);
    audit::add(tx, change, &audit::Entry { subject: &subject, key, before, after }).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::id::IdSource;
    use crate::domain::administrator::Role;
    use crate::store::administrator;

    #[tokio::test]
    async fn a_code_is_taken_once_and_a_removed_factor_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = IdSource::random(Clock::System);
        let change = Change { who: "test", remote: "", at: Timestamp::default(), ids: &ids };
        let new = administrator::New { name: "mira", role: Role::Admin, password_hash: "", only_first: false };
        administrator::add(&db, &new, &change).await.unwrap();
        let mira = administrator::find(&db, "mira").await.unwrap().unwrap();
        let owner = Owner { id: &mira.id, name: "mira" };
        assert!(get(&db, owner.id).await.unwrap().is_none());
        secret::put(&db, &key_name(owner.id), b"sealed", "administrator mira", &change).await.unwrap();
        put(&db, owner, 100, &["one".to_owned(), "two".to_owned()], &change).await.unwrap();
        assert_eq!(get(&db, owner.id).await.unwrap().unwrap().codes_left, 2);
        for (step, taken) in [(100, false), (101, true), (101, false), (99, false), (103, true), (102, false)] {
            assert_eq!(spend_step(&db, owner.id, step, step).await.unwrap(), taken, "{step}");
        }
        // The clock was ahead for a while: neither are its codes in the way, nor are they taken again in their time.
        for (step, now, taken) in [(9_000, 9_000, true), (9_001, 9_000, true), (104, 104, true), (104, 105, false)] {
            assert_eq!(spend_step(&db, owner.id, step, now).await.unwrap(), taken, "{step}");
        }
        for (step, taken) in [(8_990, true), (9_000, false), (9_001, false), (9_002, true)] {
            assert_eq!(spend_step(&db, owner.id, step, step).await.unwrap(), taken, "{step}");
        }
        // So it is with one that comes from a clock set back.
        assert!(!spend_step(&db, owner.id, 103, 103).await.unwrap());
        for (code, taken) in [("three", false), ("one", true), ("one", false)] {
            assert_eq!(spend_code(&db, owner.id, code).await.unwrap(), taken, "{code}");
        }
        put_codes(&db, owner, &["four".to_owned()], &change).await.unwrap();
        assert!(!spend_code(&db, owner.id, "two").await.unwrap(), "the old ones are good no more");
        assert!(remove(&db, owner, &change).await.unwrap() && !remove(&db, owner, &change).await.unwrap());
        assert!(!spend_code(&db, owner.id, "four").await.unwrap());
        assert!(secret::get(&db, &key_name(owner.id)).await.unwrap().is_none());
    }
}
