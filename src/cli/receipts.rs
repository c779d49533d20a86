//! `receipts`: the Receive table as text, oldest first and unlimited.

use super::arguments::ReceiptsVerb;
use super::output;
use super::verb::{Desk, Failure};
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::domain::value::Since;
use crate::store::exported;
use crate::store::receipt::{self, Cursor, Receipt};

/// Rows read at a time: the whole table is never in memory.
const STEP_ROWS: i64 = 500;

pub(super) async fn run(desk: &mut Desk<'_>, verb: &ReceiptsVerb) -> Result<(), Failure> {
    let now = desk.clock.now();
    let since = verb.since.map_or(Timestamp::from_us(i64::MIN), |since: Since| since.moment(now));
    let key = verb.connector.as_deref().map(str::to_ascii_lowercase);
    let mut after: Option<Cursor> = None;
    loop {
        let rows = receipt::oldest_first(&desk.db, key.as_deref(), since, after.as_ref(), STEP_ROWS).await?;
        if verb.json {
            rows.iter().try_for_each(|row| output::json_line(desk.out, &exported::Receipt::of(row)))?;
        } else if !rows.is_empty() {
            let cells: Vec<_> = rows.iter().map(cells).collect();
            output::columns(desk.out, ["COMPLETED", "CONNECTOR", "SIZE", "STATUS", "SHA-256", "PATH"], &cells)?;
        }
        let Some(last) = rows.last().filter(|_| i64::try_from(rows.len()).is_ok_and(|n| n == STEP_ROWS)) else {
            return Ok(());
        };
        after = Some(Cursor { completed_at: last.completed_at, id: last.id.as_str().to_owned() });
    }
}

fn cells(row: &Receipt) -> [String; 6] {
    [
        row.completed_at.to_string(),
        row.connector.clone(),
        human::size(row.size_bytes),
        row.status.label().to_owned(),
        // Enough to compare by eye; the JSON has all of it.
        row.sha256.chars().take(12).collect(),
        output::printable(&row.client_path),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::id::{IdSource, ReceiptId, SessionId};
    use crate::cli::verb::tests::say;
    use crate::domain::receipt::{Ending, Proof, Status};
    use crate::store::Db;
    use crate::store::commit::{Received, Recorder};

    fn sample(ids: &IdSource, connector: &str, number: u64, at: Timestamp) -> Receipt {
        Receipt {
            id: ReceiptId::new(ids),
            connector: connector.to_owned(),
            name: format!("{number}.edi"),
            client_path: format!("/Receive/{number}.edi"),
            stored_path: format!("/Receive/{number}.edi"),
            size_bytes: number,
            sha256: "ab".repeat(32),
            headers: vec![("SubFolder".to_owned(), "in".to_owned())],
            begun_at: at,
            completed_at: at,
            remote_address: "203.0.113.7".to_owned(),
            tls: String::new(),
            session_id: SessionId::new(ids),
            ending: Ending::Closed,
            resumed_from: 0,
            ascii: number == 0,
            proof: Proof::C,
            duplicate_of: None,
            status: Status::InReceive,
            publishing: true,
            inode: number,
            staged_name: String::new(),
            hidden: false,
            taken_over: false,
        }
    }

    async fn fill(data: &std::path::Path, count: u64) {
        let db = Db::open(data).await.unwrap();
        let clock = Clock::fixed(Timestamp::from_us(1_774_000_000_000_123));
        let ids = IdSource::seeded(clock.clone(), 1);
        let (recorder, writer) = Recorder::new(db.clone());
        let writer = tokio::spawn(writer.run());
        for number in 0..count {
            // Several share a microsecond, so the cursor must also consider the id.
            if number % 3 == 0 {
                clock.advance(std::time::Duration::from_micros(1));
            }
            let connector = if number % 2 == 0 { "Acme" } else { "globex" };
            let receipt = sample(&ids, connector, number, clock.now());
            recorder.receive(Received::of(receipt, &ids)).await.unwrap();
        }
        drop(recorder);
        writer.await.unwrap();
        db.close().await;
    }

    #[tokio::test]
    async fn every_receipt_is_exported_once_oldest_first_beyond_one_step() {
        let folder = tempfile::tempdir().unwrap();
        let count = u64::try_from(STEP_ROWS).unwrap() + 7;
        fill(folder.path(), count).await;
        let said = say(folder.path(), &["receipts", "--json"], "").await.unwrap();
        let sizes: Vec<u64> = said
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["size_bytes"].as_u64().unwrap())
            .collect();
        assert_eq!(sizes, (0..count).collect::<Vec<_>>());
        let first: serde_json::Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
        assert_eq!(first["path"], "/Receive/0.edi");
        assert_eq!(first["completed_at"], "2026-03-20T09:46:40.000124Z");
        assert_eq!((&first["type"], &first["headers"]["SubFolder"]), (&"A".into(), &"in".into()));
        assert!(said.starts_with("{\"id\":\""), "{said}");
    }

    #[tokio::test]
    async fn receipts_are_chosen_by_connector_and_time() {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path(), 9).await;
        let lines = async |extra: &[&str]| {
            let line: Vec<_> = [&["receipts"], extra].concat();
            say(folder.path(), &line, "").await.unwrap().lines().count()
        };
        assert_eq!(lines(&["--json", "--connector", "ACME"]).await, 5);
        assert_eq!(lines(&["--json", "--since", "2026-03-20T09:46:40.000125Z"]).await, 6);
        assert_eq!(lines(&["--json", "--since", "1s", "--connector", "acme"]).await, 0);
        assert_eq!(lines(&[]).await, 10);
    }
}
