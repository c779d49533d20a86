//! Arrows: files received by one connector are passed along to the next (PRODUCT section 10).

use sqlx::{Row, Sqlite, Transaction};

use super::open::{Db, StoreError};
use super::setting::{self, Change, SaveError};
use super::{audit, delivery};
use crate::domain::connector::ConnectorId;
use crate::domain::flow::{Arrow, Map, NoArrow, Node, Target};
use crate::domain::setting::Value;
use crate::domain::value::ConnectorType;

const ALL: &str = "SELECT from_key, to_key, on_error FROM arrows ORDER BY added_at_us, from_key, to_key";
const NODES: &str = "SELECT c.id_key, c.id, COALESCE(t.value, 'ftp_server'), COALESCE(e.value, 'on') FROM connectors c \
     LEFT JOIN setting_values t ON t.scope = 'connector' AND t.owner = c.id_key AND t.key = 'type' \
     LEFT JOIN setting_values e ON e.scope = 'connector' AND e.owner = c.id_key AND e.key = 'enabled'";
const ADD: &str = "INSERT INTO arrows (from_key, to_key, on_error, added_at_us) VALUES ($1, $2, $3, $4)";
// What a Folder passes on lies in that, whatever became of it in Receive.
const LEFT_BEHIND: &str = "SELECT COUNT(*) FROM deliveries d JOIN receipts r ON r.id = d.receipt_id \
     WHERE d.source_key = $1 AND d.target = $2 AND (d.ended_at_us IS NULL OR d.state = 'failed') AND r.connector_key = d.source_key \
     AND r.status NOT IN ('in_receive', 'waiting')";
const REMOVE: &str = "DELETE FROM arrows WHERE from_key = $1 AND to_key = $2";
const REMOVE_OF: &str = "DELETE FROM arrows WHERE from_key = $1 OR to_key = $1";

/// Checks whether an arrow is allowed.
pub(super) type Check = fn(&Map, &Arrow) -> Result<(), NoArrow>;

/// Every connector and arrow, as stored now.
pub async fn map(db: &Db) -> Result<Map, StoreError> {
    let mut tx = db.reader().begin().await?;
    read(&mut tx).await
}

pub(super) async fn read(tx: &mut Transaction<'_, Sqlite>) -> Result<Map, StoreError> {
    let mut map = Map { arrows: all(tx).await?, ..Map::default() };
    for row in sqlx::query(NODES).fetch_all(&mut **tx).await? {
        let kind: String = row.try_get(2)?;
        let node = Node {
            id: row.try_get(1)?,
            kind: ConnectorType::parse(&kind).map_err(StoreError::Unreadable)?,
            enabled: row.try_get::<String, _>(3)? != "off",
        };
        map.nodes.insert(row.try_get(0)?, node);
    }
    Ok(map)
}

async fn all(tx: &mut Transaction<'_, Sqlite>) -> Result<Vec<Arrow>, StoreError> {
    let rows = sqlx::query(ALL).fetch_all(&mut **tx).await?;
    let arrow = |row: &sqlx::sqlite::SqliteRow| -> Result<Arrow, StoreError> {
        Ok(Arrow { from: row.try_get(0)?, to: row.try_get(1)?, on_error: row.try_get::<i64, _>(2)? == 1 })
    };
    rows.iter().map(arrow).collect()
}

/// Adds an arrow between two connectors, by their ids in any case; refused in words if it is not allowed.
pub async fn connect(db: &Db, wanted: (&str, &str), on_error: bool, change: &Change<'_>) -> Result<(), SaveError> {
    let mut tx = db.begin().await?;
    connect_in(&mut tx, wanted, (on_error, Map::check), change).await?;
    tx.commit().await?;
    Ok(())
}

/// The same within another transaction; `check` decides whether the arrow is allowed.
pub(super) async fn connect_in(
    tx: &mut Transaction<'_, Sqlite>,
    wanted: (&str, &str),
    (on_error, check): (bool, Check),
    change: &Change<'_>,
) -> Result<(), SaveError> {
    let arrow = Arrow { from: wanted.0.to_ascii_lowercase(), to: wanted.1.to_ascii_lowercase(), on_error };
    let map = read(tx).await?;
    check(&map, &arrow).map_err(|why| {
        let of_from = matches!(&why, NoArrow::Unknown(key) if *key == arrow.from)
            || matches!(why, NoArrow::End(..) | NoArrow::NothingToGiveUp(_) | NoArrow::TooMany(_));
        // An unknown name is repeated as typed.
        let message = match &why {
            NoArrow::Unknown(_) => NoArrow::Unknown((if of_from { wanted.0 } else { wanted.1 }).to_owned()).to_string(),
            _ => why.to_string(),
        };
        SaveError::mistake(if of_from { "from" } else { "to" }, message)
    })?;
    let add = sqlx::query(ADD).bind(&arrow.from).bind(&arrow.to).bind(i64::from(on_error)).bind(change.at.us());
    add.execute(&mut **tx).await?;
    record(tx, &map.written(&arrow.from), ("", &target(&map, &arrow)), change).await?;
    Ok(())
}

/// The deliveries of an arrow that was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// How many files waited on it.
    pub waited: u64,
    /// How many of these had been removed from Receive, or replaced there: nothing keeps their bytes any more.
    pub gone: u64,
}

/// Removes the arrow. What waits on it stops; the files stay where they are. `None`: there was no such arrow.
pub async fn disconnect(db: &Db, from: &str, to: &str, change: &Change<'_>) -> Result<Option<Stopped>, StoreError> {
    let (from, to) = (from.to_ascii_lowercase(), to.to_ascii_lowercase());
    let mut tx = db.begin().await?;
    let map = read(&mut tx).await?;
    if sqlx::query(REMOVE).bind(&from).bind(&to).execute(&mut *tx).await?.rows_affected() == 0 {
        return Ok(None);
    }
    let gone = left_behind(&mut tx, &from, &to).await?;
    let waited = delivery::stop_lane(&mut tx, &from, &to, change.at).await?;
    let arrow = map.from(&from).find(|arrow| arrow.to == to);
    let before = arrow.map_or_else(|| map.written(&to), |arrow| target(&map, arrow));
    record(&mut tx, &map.written(&from), (&before, ""), change).await?;
    tx.commit().await?;
    Ok(Some(Stopped { waited, gone }))
}

/// How many of an arrow's files are in Receive no longer, removed or replaced, so that only their deliveries keep them.
async fn left_behind(tx: &mut Transaction<'_, Sqlite>, from: &str, to: &str) -> sqlx::Result<u64> {
    let target = Target::Connector(to.to_owned()).text();
    let row = sqlx::query(LEFT_BEHIND).bind(from).bind(target).fetch_one(&mut **tx).await?;
    Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
}

/// The connector is about to be removed, and with it every arrow from or to it.
pub(super) async fn remove_of(
    tx: &mut Transaction<'_, Sqlite>,
    connector: &ConnectorId,
    change: &Change<'_>,
) -> Result<(), StoreError> {
    let key = connector.key();
    let map = read(tx).await?;
    for arrow in map.arrows.iter().filter(|arrow| arrow.from == key || arrow.to == key) {
        record(tx, &map.written(&arrow.from), (&target(&map, arrow), ""), change).await?;
    }
    sqlx::query(REMOVE_OF).bind(key).execute(&mut **tx).await?;
    Ok(delivery::stop_of(tx, key, change.at).await?)
}

/// Where an arrow leads, in words.
fn target(map: &Map, arrow: &Arrow) -> String {
    let to = map.written(&arrow.to);
    if arrow.on_error { format!("{to} on error") } else { to }
}

async fn record(
    tx: &mut Transaction<'_, Sqlite>,
    from: &str,
    (before, after): (&str, &str),
    change: &Change<'_>,
) -> Result<(), StoreError> {
    setting::bump(tx).await?;
    let subject = format!("connector {from}");
    let entry = audit::Entry { subject: &subject, key: "passes along to", before, after };
    audit::add(tx, change, &entry).await?;
    Ok(())
}
