//! `events`: what happened, oldest first and unlimited.

use super::arguments::EventsVerb;
use super::output;
use super::verb::{Desk, Failure};
use crate::base::clock::Timestamp;
use crate::domain::value::Since;
use crate::store::{event, exported};

/// Rows read at a time.
const STEP_ROWS: i64 = 500;

pub(super) async fn run(desk: &mut Desk<'_>, verb: &EventsVerb) -> Result<(), Failure> {
    let now = desk.clock.now();
    let since = verb.since.map_or(Timestamp::from_us(i64::MIN), |since: Since| since.moment(now));
    let mut last: Option<(Timestamp, String)> = None;
    loop {
        let after = last.as_ref().map(|(at, id)| (*at, id.as_str()));
        let rows = event::oldest_first(&desk.db, verb.kind, since, after, STEP_ROWS).await?;
        for row in &rows {
            if verb.json {
                output::json_line(desk.out, &exported::Event::of(row))?;
            } else {
                let (kind, summary) = (row.kind.name(), output::printable(&row.summary));
                writeln!(desk.out, "{}  {kind:<28}  {summary}", row.at)?;
            }
        }
        let Some(end) = rows.last().filter(|_| i64::try_from(rows.len()).is_ok_and(|n| n == STEP_ROWS)) else {
            return Ok(());
        };
        last = Some((end.at, end.id.as_str().to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use crate::base::clock::Clock;
    use crate::base::id::IdSource;
    use crate::cli::verb::tests::say;
    use crate::domain::event::EventKind;
    use crate::store::{Db, event};

    #[tokio::test]
    async fn events_are_listed_oldest_first_and_chosen_by_kind() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let clock = Clock::System;
        let ids = IdSource::random(clock.clone());
        for kind in [EventKind::Recovered, EventKind::ListenerChanged, EventKind::Recovered] {
            let event = event::Event::new(&ids, kind, clock.now(), format!("It was {}\u{7}", kind.name()));
            event::record(&db, &event).await.unwrap();
        }
        let all = say(folder.path(), &["events"], "").await.unwrap();
        assert_eq!(all.lines().count(), 3);
        assert!(all.lines().nth(1).unwrap().ends_with("It was listener_changed[U+0007]"), "{all}");
        let json = say(folder.path(), &["events", "--kind", "recovered", "--since", "1h", "--json"], "").await.unwrap();
        let kinds: Vec<serde_json::Value> =
            json.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["kind"].clone()).collect();
        assert_eq!(kinds, ["recovered", "recovered"]);
    }
}
