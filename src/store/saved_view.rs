//! Filters of lists that an administrator has named.

use sqlx::Row;

use super::open::{Db, StoreError};
use crate::base::id::AdministratorId;

/// The most views of one administrator for one list.
pub const VIEWS_MAX: i64 = 20;

const ALL: &str = "SELECT name, query FROM saved_views WHERE administrator_id = $1 AND page = $2 ORDER BY name_key";
const PUT: &str = "INSERT INTO saved_views (administrator_id, page, name_key, name, query) \
     SELECT $1, $2, $3, $4, $5 WHERE (SELECT COUNT(*) FROM saved_views WHERE administrator_id = $1 AND page = $2 \
     AND name_key <> $3) < $6 \
     ON CONFLICT (administrator_id, page, name_key) DO UPDATE SET name = excluded.name, query = excluded.query";
const REMOVE: &str = "DELETE FROM saved_views WHERE administrator_id = $1 AND page = $2 AND name_key = $3";

/// A filter with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedView {
    /// Its name, as typed.
    pub name: String,
    /// The query string of the list's address.
    pub query: String,
}

/// The views of `owner` for the list at `page`, by name.
pub async fn all(db: &Db, owner: &AdministratorId, page: &str) -> Result<Vec<SavedView>, StoreError> {
    let rows = sqlx::query(ALL).bind(owner.as_str()).bind(page).fetch_all(db.reader()).await?;
    rows.iter().map(|row| Ok(SavedView { name: row.try_get(0)?, query: row.try_get(1)? })).collect()
}

/// Saves one, replacing one of that name in any case. Returns whether there was room.
pub async fn put(db: &Db, owner: &AdministratorId, page: &str, view: &SavedView) -> Result<bool, StoreError> {
    let query = sqlx::query(PUT).bind(owner.as_str()).bind(page).bind(view.name.to_lowercase());
    let query = query.bind(&view.name).bind(&view.query).bind(VIEWS_MAX);
    Ok(query.execute(db.writer()).await?.rows_affected() > 0)
}

/// Forgets one. Returns whether it was there.
pub async fn remove(db: &Db, owner: &AdministratorId, page: &str, name: &str) -> Result<bool, StoreError> {
    let query = sqlx::query(REMOVE).bind(owner.as_str()).bind(page).bind(name.to_lowercase());
    Ok(query.execute(db.writer()).await?.rows_affected() > 0)
}
