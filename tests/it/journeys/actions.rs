//! What a partner's files set off besides being passed along: when received, collected, given up; across kill -9.

use std::path::{Path, PathBuf};

use waybill::base::clock::Clock;
use waybill::base::id::{EventId, IdSource};
use waybill::domain::connector::ConnectorId;
use waybill::store::Db;
use waybill::store::action::{self, StoredAction};
use waybill::store::setting::Change;

use crate::kit::{Appliance, Client, PARTNER, Running};

/// A partner whose actions run a program that appends its arguments to a file; gives that file.
fn acting() -> (Appliance, PathBuf) {
    let appliance = Appliance::new();
    let log = appliance.data().join("ran.txt");
    appliance.program("tell", &format!("{{ [ -e \"$2\" ] && cat \"$2\"; echo \" $1\"; }} >> '{}'", log.display()));
    appliance.say(&["connector", "set", PARTNER, "settle_s=0"]);
    appliance.say(&["settings", "set", "delivery_retry_first_s=1"]);
    (appliance, log)
}

/// Adds an action that runs the program unless it says otherwise, as the page does it.
pub(super) async fn add(appliance: &Appliance, pairs: &[(&str, &str)]) {
    let db = Db::open(&appliance.data()).await.expect("the database opens");
    let clock = Clock::System;
    let ids = IdSource::random(clock.clone());
    let change = Change { who: "test", remote: "", at: clock.now(), ids: &ids };
    let usual = [("kind", "command"), ("program", "tell")];
    let texts = usual.iter().chain(pairs).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let stored =
        StoredAction { id: EventId::new(&ids).to_string(), connector_key: PARTNER.to_owned(), texts, version: 0 };
    let partner = ConnectorId::parse(PARTNER).expect("it is an id");
    action::put(&db, &stored, &partner, &change).await.expect("it is stored");
}

fn lines(log: &Path) -> Vec<String> {
    std::fs::read_to_string(log).unwrap_or_default().lines().map(ToOwned::to_owned).collect()
}

/// Whichever came first: when a partner has taken a file is known beside its session.
async fn until(running: &Running<'_>, log: &Path, wanted: &[&str]) {
    let told = async |_: &Running<'_>| {
        let mut told = lines(log);
        told.sort();
        (told == wanted).then_some(())
    };
    running.until(&format!("{wanted:?} were told"), told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_received_file_sets_off_what_is_about_it_and_stays_where_it_is() {
    let (appliance, log) = acting();
    add(&appliance, &[("names", "*.edi"), ("size_min", "2"), ("arguments", "%Filename% {path}")]).await;
    let running = appliance.start().await;
    let mut client = running.partner().await;
    for (name, bytes) in [("a.txt", "not by name"), ("b.edi", "x"), ("c.edi", "the bytes")] {
        client.store(&format!("/Receive/{name}"), bytes.as_bytes()).await;
    }
    until(&running, &log, &["the bytes c.edi"]).await;
    let statuses: Vec<_> = appliance.receipts(PARTNER).iter().map(|one| one["status"].clone()).collect();
    assert_eq!(statuses, ["in_receive"; 3], "an action passes nothing along");
    assert_eq!(std::fs::read(appliance.place(PARTNER, "Receive").join("c.edi")).unwrap(), b"the bytes");
    // Its own arrow does not wait for the action, nor the other way round.
    appliance.say(&["connector", "add", "archive", "type=folder"]);
    appliance.say(&["flow", "connect", PARTNER, "archive"]);
    client.store("/Receive/d.edi", b"both").await;
    until(&running, &log, &["both d.edi", "the bytes c.edi"]).await;
    let there = appliance.data().join("partners/archive/d.edi");
    running.until("it is passed along too", async |_| there.exists().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_received_file_sets_off_is_judged_by_the_name_it_has_when_it_has_settled() {
    let (appliance, log) = acting();
    appliance.configure(&["settle_s=5"]);
    add(&appliance, &[("names", "*.edi"), ("arguments", "%Filename% {path}")]).await;
    let running = appliance.start().await;
    let mut client = running.partner().await;
    let renamed = async |client: &mut Client, from: &str, to: &str| {
        client.store(&format!("/Receive/{from}"), from.as_bytes()).await;
        client.expect(&format!("RNFR /Receive/{from}"), 350).await;
        client.expect(&format!("RNTO /Receive/{to}"), 250).await;
    };
    renamed(&mut client, "a.edi", "a.bad").await;
    renamed(&mut client, "b.new", "b.edi").await;
    // Its bytes are its own from then on.
    client.store("/Receive/b.edi", b"more").await;
    renamed(&mut client, "c.edi", "c.tmp").await;
    until(&running, &log, &["b.new b.edi", "more b.edi"]).await;
    // It has not settled under a temporary name.
    client.expect("RNFR /Receive/c.tmp", 350).await;
    client.expect("RNTO /Receive/d.edi", 250).await;
    until(&running, &log, &["b.new b.edi", "c.edi d.edi", "more b.edi"]).await;
    // It had settled, and its event was told under that name.
    client.expect("RNFR /Receive/a.bad", 350).await;
    client.expect("RNTO /Receive/a.edi", 250).await;
    client.store("/Receive/last.edi", b"the").await;
    until(&running, &log, &["b.new b.edi", "c.edi d.edi", "more b.edi", "the last.edi"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collected_file_sets_off_what_is_about_it() {
    let (appliance, log) = acting();
    add(&appliance, &[("moment", "after_send"), ("names", "-*.tmp"), ("arguments", "%Filename%,%ConnectorId%")]).await;
    let running = appliance.start().await;
    let mut client = running.partner().await;
    for name in ["no.tmp", "yes.edi"] {
        std::fs::write(appliance.place(PARTNER, "Send").join(name), b"for the partner").unwrap();
        assert_eq!(client.fetch(&format!("RETR /Send/{name}")).await.unwrap(), b"for the partner");
    }
    until(&running, &log, &[&format!(" yes.edi,{PARTNER}")]).await;
    let events = appliance.say(&["events", "--json", "--kind", "after_send"]);
    let event = events.lines().find(|line| line.contains("/Send/yes.edi")).expect("it is an event");
    let event: serde_json::Value = serde_json::from_str(event).unwrap();
    assert_eq!((&event["path"], &event["size_bytes"]), (&"/Send/yes.edi".into(), &15.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_given_up_sets_off_what_is_about_it_with_its_bytes_and_an_action_that_fails_does_not() {
    let (appliance, log) = acting();
    appliance.program("fail", "exit 9");
    let told = [("moment", "delivery_failed"), ("arguments", "%Filename% {path}")];
    add(&appliance, &told).await;
    add(&appliance, &[("program", "fail"), ("names", "b.edi")]).await;
    appliance.say(&["settings", "set", "delivery_retries=0"]);
    let running = appliance.start().await;
    appliance.say(&["connector", "add", "reject", "type=command", "program=fail"]);
    appliance.say(&["flow", "connect", PARTNER, "reject"]);
    let mut client = running.partner().await;
    client.store("/Receive/a.edi", b"the bytes").await;
    until(&running, &log, &["the bytes a.edi"]).await;
    client.store("/Receive/b.edi", b"more").await;
    until(&running, &log, &["more b.edi", "the bytes a.edi"]).await;
    let failed = async |kind: &str| appliance.say(&["events", "--kind", kind]);
    running
        .until("the action is given up", async |_| {
            failed("action_failed").await.contains("for /Receive/b.edi (run fail) after 1 attempt").then_some(())
        })
        .await;
    assert_eq!(failed("delivery_failed").await.lines().count(), 2, "an action that fails is another event");
    assert_eq!(lines(&log).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_says_no_holds_a_file_back_and_the_refusal_says_why() {
    let (appliance, log) = acting();
    let judge = "cat \"$1\"; [ \"$2\" != held.edi ] || { echo; echo not paid; exit 3; }";
    appliance.program("judge", judge);
    let asked = [("moment", "before_send"), ("program", "judge"), ("arguments", "{path} %Filename%")];
    add(&appliance, &[&asked[..], &[("names", "*.edi")]].concat()).await;
    add(&appliance, &[("moment", "after_send"), ("arguments", "%Filename%")]).await;
    let running = appliance.start().await;
    let mut client = running.partner().await;
    let send = appliance.place(PARTNER, "Send");
    for name in ["held.edi", "free.edi", "other.txt"] {
        std::fs::write(send.join(name), b"for the partner").unwrap();
    }
    let no = client.fetch("RETR /Send/held.edi").await.unwrap_err();
    assert_eq!((no.code, no.text.as_str()), (550, "550 The file is not released; please try again later.\r\n"));
    for name in ["free.edi", "other.txt"] {
        assert_eq!(client.fetch(&format!("RETR /Send/{name}")).await.unwrap(), b"for the partner", "{name}");
    }
    // Records that nobody waits for are committed a few milliseconds later.
    let recorded = async |running: &Running<'_>| {
        let refusals = running.refusals().await;
        let asked = appliance.say(&["events", "--kind", "before_send"]);
        (!refusals.is_empty() && asked.lines().count() >= 2).then_some((refusals, asked))
    };
    let (refusals, asked) = running.until("the refusal and what was asked are recorded", recorded).await;
    assert_eq!((refusals.len(), refusals[0].detail.as_str()), (1, "run judge: Exit status 3"));
    assert!(send.join("held.edi").exists());
    assert_eq!(asked.lines().count(), 2, "nobody is asked about what the action is not about: {asked}");
    until(&running, &log, &[" free.edi", " other.txt"]).await;
    // With RANG a digest tells every byte.
    client.expect("HASH /Send/held.edi", 550).await;
    client.expect("HASH /Send/free.edi", 213).await;
}

#[cfg(feature = "faults")]
#[tokio::test(flavor = "multi_thread")]
async fn killed_before_its_end_is_recorded_an_action_is_done_again_and_none_is_lost() {
    let (appliance, log) = acting();
    add(&appliance, &[("arguments", "%Filename% {path}")]).await;
    let mut running = appliance.start_with_fault(Some("program_ended:kill:1")).await;
    running.partner().await.store("/Receive/a.edi", b"the bytes").await;
    running.ended().await;
    let running = appliance.start().await;
    until(&running, &log, &["the bytes a.edi", "the bytes a.edi"]).await;
}
