//! The SLAs tab through the whole router: how its month stands, and the files that count for a window.

use std::time::Duration;

use axum::http::StatusCode;

use super::tests::Site;
use crate::base::clock::{Clock, Timestamp};
use crate::domain::administrator::Role;
use crate::domain::event::EventKind;
use crate::domain::setting::Texts;
use crate::domain::sla::{State, Window};
use crate::store::event::{self, Event, EventFile};
use crate::store::setting::Change;
use crate::store::sla::{self, Stand};
use crate::store::transfer::Direction;

/// An address with the files of the last hour that count for an SLA.
fn asked(page: &str, id: &str) -> String {
    let now = Clock::System.now();
    let hour = Duration::from_hours(1);
    format!("{page}sla={},{},{id}", now.minus(hour).us(), now.plus(hour).us())
}

async fn due(site: &Site, id: &str, connector: &str, pairs: &[(&str, &str)]) {
    let texts: Texts = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let key = connector.to_ascii_lowercase();
    sla::put(&site.db, id, (connector, &key), (&texts, "words"), &site.change()).await.unwrap();
}

#[tokio::test]
async fn the_month_of_an_sla_shows_how_each_day_stood() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Viewer).await;
    site.add_connector("acme", "").await;
    let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
    let change = Change { who: "test", remote: "", at: at("2020-10-30T00:00:00Z"), ids: &site.ids };
    sla::put(&site.db, "s1", ("acme", "acme"), (&Texts::new(), "words"), &change).await.unwrap();
    let stand = |day: &str, state| Stand {
        window: Window { start: at(&format!("{day}T00:00:00Z")), end: at(&format!("{day}T09:00:00Z")) },
        state,
        files: 0,
        changed_at: at("2020-11-05T00:00:00Z"),
        afterwards: false,
    };
    let stands =
        [stand("2020-11-02", State::Met), stand("2020-11-03", State::Violated), stand("2020-11-04", State::Late)];
    sla::looked(&site.db, "s1", &stands, &[], at("2020-11-05T00:00:00Z")).await.unwrap();
    let page = site.get("/connectors/acme/slas?month=2020-11", &cookies).await.text;
    for (day, tone, words) in [(2, "ok", "Met"), (3, "bad", "Violated"), (4, "warn", "Late")] {
        let at = |hour: u8| at(&format!("2020-11-0{day}T0{hour}:00:00Z")).us();
        let files = format!("/activity/receive?sla={}%2C{}%2Cs1", at(0), at(9));
        let label = format!("{day} November 2020, {words}: its files");
        let link = format!("<a class=\"badge {tone}\" href=\"{files}\" aria-label=\"{label}\">{words}</a>");
        assert!(page.contains(&format!("<span class=\"faint\">{day}</span> {link}")), "{page}");
    }
    assert!(page.contains("<span class=\"faint\">1</span></td>"), "nothing is due on a Sunday");
    let beside = ["month=2020-10", "month=2020-12"].map(|month| page.contains(month));
    assert_eq!(beside, [true, true]);
}

#[tokio::test]
async fn the_files_that_count_for_a_window_are_a_filter_of_the_receive_table() {
    let site = Site::new().await;
    let cookies = site.person("edda", Role::Editor).await;
    site.add_connector("Acme", "").await;
    site.add_connector("beta", "").await;
    due(&site, "s1", "Acme", &[("names", "*.x12")]).await;
    let mut counted = Vec::new();
    for name in ["a.x12", "b.X12"] {
        counted.push(site.receive("Acme", name).await);
    }
    site.receive("Acme", "c.edi").await;
    site.receive("beta", "d.x12").await;
    let page = site.get(&asked("/activity/receive?size=25&", "s1"), &cookies).await.text;
    let shown = ["a.x12", "b.X12", "c.edi", "d.x12"].map(|name| page.contains(&format!(">{name}</a>")));
    assert_eq!(shown, [true, true, false, false], "{page}");
    assert!(page.contains("<span>2 files</span>"), "{page}");
    assert!(page.contains("SLA of Acme: At least 1 file matching *.x12 received by 09:00"), "{page}");
    assert!(page.contains("<input type=\"hidden\" name=\"sla\" value=\""), "other filters keep it");
    for (more, found) in [("connector=acme&", 2), ("connector=beta&", 0), ("q=b.x&", 1), ("status=removed&", 0)] {
        let csv = site.get(&asked(&format!("/activity/receive.csv?{more}"), "s1"), &cookies).await.text;
        assert_eq!(csv.lines().count(), found + 1, "{more}: {csv}");
    }
    let gone = site.get(&asked("/activity/receive?", "s9"), &cookies).await.text;
    assert!(gone.contains("No file fits") && gone.contains("SLA: one that was removed"), "{gone}");
    let broken = site.get("/activity/receive?sla=soon", &cookies).await;
    assert!(broken.status == StatusCode::OK && broken.text.contains("No file fits"));

    // What is done with all of the filter is done with these alone.
    let now = Clock::System.now().plus(Duration::from_secs(1)).us();
    let (csrf, until) = (site.get("/activity/receive", &cookies).await.csrf(), format!("{now},"));
    let filter = asked("", "s1").replace("sla=", "");
    let form = [("csrf", &*csrf), ("act", "delete"), ("all", "on"), ("until", &until), ("sla", &filter)];
    let page = site.post("/activity/receive/chosen", &cookies, &form).await.text;
    assert!(page.contains("Chosen: 2 files"), "{page}");
    assert!(page.contains(&format!("name=\"sla\" value=\"{filter}\"")), "the second page says it again: {page}");
}

#[tokio::test]
async fn the_files_that_count_as_collected_are_a_filter_of_the_transfers() {
    let site = Site::new().await;
    let cookies = site.person("vera", Role::Viewer).await;
    site.add_connector("acme", "").await;
    due(&site, "s1", "acme", &[("counted", "collected"), ("names", "*.x12")]).await;
    site.transfer(Direction::Send, "/Send/a.x12", 9, true).await;
    site.transfer(Direction::Send, "/Send/b.x12", 9, false).await;
    site.transfer(Direction::Send, "/Send/c.edi", 9, true).await;
    site.transfer(Direction::Receive, "/Receive/d.x12", 9, true).await;
    for path in ["/Send/a.x12", "/Send/c.edi"] {
        let mut collected = Event::new(&site.ids, EventKind::AfterSend, Clock::System.now(), "acme collected it");
        "acme".clone_into(&mut collected.connector);
        collected.file = Some(EventFile { path: path.to_owned(), size_bytes: 9 });
        event::record(&site.db, &collected).await.unwrap();
    }
    let page = site.get(&asked("/activity/transfers?", "s1"), &cookies).await.text;
    let shown = ["/Send/a.x12", "/Send/b.x12", "/Send/c.edi", "/Receive/d.x12"].map(|path| page.contains(path));
    assert_eq!(shown, [true, false, false, false], "{page}");
    assert!(page.contains("SLA of acme: At least 1 file matching *.x12 collected"), "{page}");
    for (more, found) in [("connector=acme&", 1), ("connector=beta&", 0), ("way=receive&", 0)] {
        let csv = site.get(&asked(&format!("/activity/transfers.csv?{more}"), "s1"), &cookies).await.text;
        assert_eq!(csv.lines().count(), found + 1, "{more}: {csv}");
    }
}
