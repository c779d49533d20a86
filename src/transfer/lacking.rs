//! Stored names that lack a part because a macro of the Local File Scheme found nothing (PRODUCT section 9): reported
//! when that begins, not for each file of a partner whose names never have it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::depot::{Depot, Party};
use crate::base::lock::lock;
use crate::base::path::Name;
use crate::domain::event::EventKind;

/// What the last name of each connector lacked. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Lacking {
    last: Arc<Mutex<HashMap<String, Vec<String>>>>,
}

impl Lacking {
    /// The parts of `lacks` that the connector's previous name had.
    fn begins(&self, connector_key: &str, lacks: Vec<String>) -> Vec<String> {
        let mut last = lock(&self.last);
        if lacks.is_empty() {
            last.remove(connector_key);
            return lacks;
        }
        let before = last.insert(connector_key.to_owned(), lacks.clone()).unwrap_or_default();
        lacks.into_iter().filter(|lack| !before.contains(lack)).collect()
    }
}

/// An upload's stored name lacks these parts, or none.
pub(super) async fn tell(depot: &Depot, party: &Party, (client, stored): (&Name, &Name), lacks: Vec<String>) {
    let begins = depot.lacking.begins(party.connector().id.key(), lacks);
    if begins.is_empty() {
        return;
    }
    let (id, begins) = (party.connector().id.as_str(), begins.join("; "));
    let summary = format!("The Local File Scheme of {id} stored {client} as {stored}: {begins}");
    tracing::warn!(connector.id = id, "{summary}");
    depot.recorder.event(party.own(depot.event(EventKind::StoredNameIncomplete, summary))).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::store::event;
    use crate::transfer::upload_tests::Desk;

    #[tokio::test]
    async fn a_name_that_lacks_a_part_is_an_event_when_that_begins() {
        let desk = Desk::new(&[("local_file_scheme", "%RegexFilename:[0-9]+%%Header:SubFolder%-%Filename%")]).await;
        for name in ["a1.edi", "a2.edi", "b.edi", "c.edi", "a3.edi", "d.edi"] {
            desk.store(name, 1).await.unwrap();
        }
        desk.depot.recorder.flush().await.unwrap();
        let kind = Some(EventKind::StoredNameIncomplete);
        let told = event::oldest_first(&desk.depot.db, kind, Timestamp::default(), None, 9).await.unwrap();
        let told: Vec<_> = told.iter().map(|one| (one.connector.as_str(), one.summary.as_str())).collect();
        let header = "The Local File Scheme of acme stored a1.edi as 1-a1.edi: %Header:SubFolder% is empty: the file has \
                      no header SubFolder";
        let why = "%RegexFilename:[0-9]+% found nothing in the name";
        let regex = |name: &str| format!("The Local File Scheme of acme stored {name} as -{name}: {why}");
        assert_eq!(told, [("acme", header), ("acme", &*regex("b.edi")), ("acme", &*regex("d.edi"))]);
    }

    #[test]
    fn what_ended_begins_again() {
        let lacking = Lacking::default();
        let begins = |key: &str, lacks: &[&str]| lacking.begins(key, lacks.iter().map(ToString::to_string).collect());
        assert_eq!(begins("acme", &["x"]), ["x"]);
        assert_eq!(begins("globex", &["x"]), ["x"]);
        assert!(begins("acme", &["x"]).is_empty());
        assert_eq!(begins("acme", &["x", "y"]), ["y"]);
        assert!(begins("acme", &[]).is_empty());
        assert_eq!(begins("acme", &["y"]), ["y"]);
    }
}
