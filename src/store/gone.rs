//! Received files that another program took out of Receive: which to look for, and how their receipts are marked.

use sqlx::Row;

use super::open::Db;
use super::{StoreError, renaming};
use crate::base::id::ReceiptId;

const IN_RECEIVE: &str = "SELECT id, stored_path, temporary_since_us IS NOT NULL FROM receipts WHERE connector_key = $1 AND stored_path > $2 \
     AND (status = 'in_receive' OR status = 'waiting' AND temporary_since_us IS NOT NULL) AND publishing = 0 \
     AND staging_inode = $3 ORDER BY stored_path LIMIT $4";
const MARK: &str = "UPDATE receipts SET status = 'gone' WHERE id = $1 AND stored_path = $2 \
     AND (status = 'in_receive' OR status = 'waiting' AND temporary_since_us IS NOT NULL) AND publishing = 0 \
     RETURNING connector_key";

/// A receipt whose file should be in Receive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lying {
    /// Its id.
    pub id: ReceiptId,
    /// Where.
    pub stored_path: String,
    /// Whether it is held back because that is a temporary name.
    pub is_held_back: bool,
}

/// Receipts whose files should be in a connector's Receive folder, in the order of their stored paths, after `after`.
/// Only those committed in the folder of that staging inode.
pub async fn in_receive(
    db: &Db,
    connector_key: &str,
    after: &str,
    (staging_inode, most): (u64, i64),
) -> Result<Vec<Lying>, StoreError> {
    let query = sqlx::query(IN_RECEIVE).bind(connector_key).bind(after).bind(staging_inode.cast_signed()).bind(most);
    let rows = query.fetch_all(db.reader()).await?;
    rows.iter()
        .map(|row| {
            let id: String = row.try_get(0)?;
            let unreadable = || StoreError::Unreadable(format!("receipt {id}"));
            Ok(Lying {
                id: ReceiptId::parse(&id).ok_or_else(unreadable)?,
                stored_path: row.try_get(1)?,
                is_held_back: row.try_get::<i64, _>(2)? == 1,
            })
        })
        .collect()
}

/// Marks those that have not moved since: their files are gone. Returns how many.
pub async fn mark(db: &Db, receipts: &[Lying]) -> Result<u64, StoreError> {
    let mut tx = db.begin().await?;
    let mut marked = 0;
    for Lying { id, stored_path, .. } in receipts {
        let done = sqlx::query(MARK).bind(id.as_str()).bind(stored_path).fetch_optional(&mut *tx).await?;
        if let Some(row) = done {
            renaming::left(&mut tx, row.try_get(0)?, stored_path).await?;
            marked += 1;
        }
    }
    tx.commit().await?;
    Ok(marked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock, Timestamp};
    use crate::base::id::IdSource;
    use crate::domain::receipt::Status;
    use crate::store::commit::{Published, Received};
    use crate::store::group::Group;
    use crate::store::receipt;
    use crate::store::renaming::{NewName, Rename};

    #[tokio::test]
    async fn what_waits_is_looked_for_while_it_has_a_temporary_name_and_gets_its_last_other_one_back() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let (ids, at) = (IdSource::random(Clock::System), Timestamp::from_us(1_800_000_000_000_000));
        let [named, held_back] = ["/Receive/a", "/Receive/b"].map(|path| Received::at(path, &ids, at));
        let mut group = Group::default();
        for one in [&named, &held_back] {
            group.receipt(one);
        }
        group.write(&mut db.writer().acquire().await.unwrap()).await.unwrap();
        let mut group = Group::default();
        for one in [&named, &held_back] {
            group.publish(&Published::of(&one.receipt, one.event_id.clone()));
        }
        group.write(&mut db.writer().acquire().await.unwrap()).await.unwrap();
        for one in [&named, &held_back] {
            receipt::set_status(&db, &one.receipt.id, Status::Waiting).await.unwrap();
        }
        let id = &held_back.receipt.id;
        let whose = (id.clone(), NewName { is_temporary: true, sets_off: None });
        let way = ("/Receive/b".to_owned(), "/Receive/b.tmp".to_owned());
        Rename::begin(&db, ("acme", Some(whose)), way, at).await.unwrap().settle(&db).await.unwrap();
        let lying = in_receive(&db, "acme", "", (0, 9)).await.unwrap();
        let expected = Lying { id: id.clone(), stored_path: "/Receive/b.tmp".to_owned(), is_held_back: true };
        assert_eq!(lying, [expected], "the bytes of the other are held for who waits");
        assert_eq!(mark(&db, &lying).await.unwrap(), 1);
        let gone = receipt::find(&db, id).await.unwrap().unwrap();
        assert_eq!((gone.status, gone.stored_path.as_str(), gone.name.as_str()), (Status::Gone, "/Receive/b", "b"));
        assert_eq!(renaming::temporary_since(&db, id).await.unwrap(), None);
        assert_eq!(in_receive(&db, "acme", "", (0, 9)).await.unwrap(), []);
    }

    #[tokio::test]
    async fn where_a_look_goes_on_is_found_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let steps = db.plan(IN_RECEIVE).await;
        assert!(steps.len() == 1 && steps[0].contains("stored_path>?"), "{steps:?}");
    }
}
