//! The SLAs tab through the whole router: its month, and the files that count for a window.

use std::time::Duration;

use axum::http::{Method, StatusCode};

use super::tests::{Answer, Site};
use crate::base::clock::{Clock, Timestamp};
use crate::domain::administrator::Role;
use crate::domain::connector::ConnectorId;
use crate::domain::event::EventKind;
use crate::domain::setting::Texts;
use crate::domain::sla::{State, Window};
use crate::store::audit;
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
    sla::put(&site.db, id, &ConnectorId::parse(connector).unwrap(), &texts, &site.change()).await.unwrap();
}

#[tokio::test]
async fn the_month_of_an_sla_shows_how_each_day_stood() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Viewer).await;
    site.add_connector("acme", "").await;
    let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
    let change = Change { who: "test", remote: "", at: at("2020-10-30T00:00:00Z"), ids: &site.ids };
    sla::put(&site.db, "s1", &ConnectorId::parse("acme").unwrap(), &Texts::new(), &change).await.unwrap();
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
        let link = format!(
            "<span class=\"faint\">{day}</span> <a class=\"badge {tone}\" href=\"{files}\" aria-label=\"{label}\">"
        );
        let (_, shown) = page.split_once(&link).unwrap_or_else(|| panic!("{page}"));
        // A shape and the words: narrow screens show only the shape.
        assert!(shown.starts_with("<svg") && shown.contains(&format!("</svg><span>{words}</span></a>")), "{page}");
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

    // Acting on the whole filter affects only these.
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
        let collected =
            Event::new(&site.ids, EventKind::AfterSend, Clock::System.now(), "acme collected it").of("acme");
        let file = Some(EventFile { path: path.to_owned(), size_bytes: 9 });
        event::record(&site.db, &Event { file, ..collected }).await.unwrap();
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

impl Site {
    async fn save_sla(&self, cookies: &str, fields: &[(&str, &str)]) -> Answer {
        let csrf = self.get("/connectors/acme/slas", cookies).await.csrf();
        let form = [&[("csrf", csrf.as_str()), ("fields", "at_least,grace_min")], fields].concat();
        self.ask(Method::POST, "/connectors/acme/slas/save", cookies, Some(&form)).await
    }

    /// The audit's lines on SLAs, oldest first.
    async fn audit_of_slas(&self) -> Vec<String> {
        let mut all = audit::latest(&self.db, Some("connector acme"), 50).await.unwrap();
        all.retain(|one| one.key.starts_with("SLA"));
        all.iter().rev().map(|one| format!("{}: {} -> {}", one.key, one.before, one.after)).collect()
    }
}

#[tokio::test]
async fn an_sla_that_is_saved_as_it_was_tells_nothing_again() {
    let site = Site::new().await;
    let cookies = site.person("edda", Role::Editor).await;
    site.add_connector("acme", "").await;
    let at_least = |number: &'static str| [("at_least", number), ("grace_min", "15")];
    assert_eq!(site.save_sla(&cookies, &at_least("2")).await.status, StatusCode::SEE_OTHER);
    let made = sla::of_connector(&site.db, "acme").await.unwrap().pop().unwrap();
    let (start, hour) = (Clock::System.now(), Duration::from_hours(1));
    let window = Window { start, end: start.plus(hour) };
    let stand = Stand { window, state: State::AtRisk, files: 0, changed_at: start, afterwards: false };
    sla::looked(&site.db, &made.id, &[stand], &[], start).await.unwrap();
    let open = async || sla::windows(&site.db, &made.id, start, start.plus(hour)).await.unwrap().len();
    let own = ("sla", made.id.as_str());
    assert_eq!(site.save_sla(&cookies, &[&at_least("2")[..], &[own]].concat()).await.status, StatusCode::SEE_OTHER);
    assert_eq!(open().await, 1, "it would be told once more that the window is at risk");
    assert_eq!(site.save_sla(&cookies, &[&at_least("3")[..], &[own]].concat()).await.status, StatusCode::SEE_OTHER);
    assert_eq!(open().await, 0, "what is due is another");
    let words = |number| format!("At least {number} files received by 09:00, Mon–Fri, UTC");
    let expected = [
        format!("SLA:  -> {}", words(2)),
        "SLA at_least: 1 -> 2".to_owned(),
        "SLA grace_min: 0 -> 15".to_owned(),
        format!("SLA: {} -> {}", words(2), words(3)),
        "SLA at_least: 2 -> 3".to_owned(),
    ];
    assert_eq!(site.audit_of_slas().await, expected);
}

#[tokio::test]
async fn an_sla_that_another_saved_or_removed_meanwhile_is_not_overwritten() {
    let site = Site::new().await;
    let cookies = site.person("edda", Role::Editor).await;
    site.add_connector("acme", "").await;
    due(&site, "s1", "acme", &[]).await;
    let page = site.get("/connectors/acme/slas?edit=s1", &cookies).await.text;
    let version = sla::find(&site.db, "s1").await.unwrap().unwrap().version.to_string();
    assert!(page.contains(&format!("name=\"version\" value=\"{version} ")), "{page}");
    due(&site, "s1", "acme", &[("at_least", "7")]).await;
    let typed = [("sla", "s1"), ("version", version.as_str()), ("at_least", "5"), ("grace_min", "0")];
    let refused = site.save_sla(&cookies, &typed).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.text.contains("saved these settings meanwhile"), "{}", refused.text);
    assert!(refused.text.contains("name=\"stored.at_least\" value=\"7\""), "{}", refused.text);
    // It is saved with the version in the answer.
    let now = sla::find(&site.db, "s1").await.unwrap().unwrap();
    assert_eq!(now.texts["at_least"], "7");
    let (now, picked) = (now.version.to_string(), [("pick.at_least", "stored"), ("stored.at_least", "7")]);
    assert!(refused.text.contains(&format!("name=\"version\" value=\"{now} ")));
    let again = [&[typed[0], ("version", now.as_str())], &typed[2..], &picked].concat();
    assert_eq!(site.save_sla(&cookies, &again).await.status, StatusCode::SEE_OTHER);
    let s1 = sla::find(&site.db, "s1").await.unwrap().unwrap();
    assert_eq!(s1.texts["at_least"], "7");

    sla::remove(&site.db, &s1, &ConnectorId::parse("acme").unwrap(), &site.change()).await.unwrap();
    let gone = site.save_sla(&cookies, &typed).await;
    assert_eq!(gone.status, StatusCode::CONFLICT);
    assert!(gone.text.contains("Somebody removed it meanwhile") && gone.text.contains("Add SLA"), "{}", gone.text);
    assert!(sla::of_connector(&site.db, "acme").await.unwrap().is_empty(), "it came back");
    let csrf = site.get("/connectors/acme/slas", &cookies).await.csrf();
    let form = [("csrf", csrf.as_str()), ("sla", "s1")];
    let removed = site.ask(Method::POST, "/connectors/acme/slas/remove", &cookies, Some(&form)).await;
    assert_eq!(removed.status, StatusCode::SEE_OTHER, "{}", removed.text);
    assert!(site.get("/connectors/acme/slas", &cookies).await.text.contains("That SLA was removed already"));
    // Another one is added under the same id.
    due(&site, "s1", "acme", &[]).await;
    assert_eq!(site.save_sla(&cookies, &again).await.status, StatusCode::CONFLICT);
}
