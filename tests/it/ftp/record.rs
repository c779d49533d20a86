//! What stays of a session when it has ended: as much as the connector's Log Level says.

use waybill::store::session::{Session, SessionEnd};

use crate::kit::{Appliance, Client, PARTNER, PASSWORD, Running};

async fn records(running: &Running<'_>, connector: &str, count: usize) -> Vec<Session> {
    let look = async |running: &Running<'_>| {
        let found = running.sessions(connector).await;
        (found.len() >= count).then_some(found)
    };
    running.until("the session is recorded", look).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_recorded_with_what_it_moved_and_how_it_ended() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CLNT OldFTP 1.0", 200).await;
    client.put("STOR /Receive/a.edi", &[7; 5_000]).await;
    client.expect("QUIT", 221).await;
    let found = records(&running, PARTNER, 1).await;
    assert_eq!((found[0].ending, found[0].client.as_str()), (SessionEnd::Quit, "OldFTP 1.0"));
    assert_eq!((found[0].tally.received_files, found[0].tally.received_bytes), (1, 5_000));
    assert_eq!((found[0].tally.sent_files, found[0].tally.failures), (0, 0));
    assert_eq!(running.transcript(&found[0]).await, "", "nothing went wrong, and the level is Info");

    let mut client = running.partner().await;
    client.expect("CWD /nowhere", 550).await;
    client.expect("QUIT", 221).await;
    let found = records(&running, PARTNER, 2).await;
    assert_eq!(found[0].tally.failures, 1);
    let said = running.transcript(&found[0]).await;
    assert!(said.contains("C: PASS ****\n") && said.contains("C: CWD /nowhere\n"), "{said}");

    drop(running.partner().await);
    let found = records(&running, PARTNER, 3).await;
    assert_eq!(found[0].ending, SessionEnd::Lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_level_says_which_sessions_are_kept() {
    let appliance = Appliance::new();
    for level in ["none", "error", "debug"] {
        appliance.add(level, &[&format!("log_level={level}")]);
    }
    let running = appliance.start().await;
    let session = async |connector: &str, command: &str, code: u16| {
        let mut client = Client::login(running.ftp(), connector, PASSWORD).await;
        client.expect(command, code).await;
        client.expect("QUIT", 221).await;
    };
    session("none", "CWD /nowhere", 550).await;
    session("error", "NOOP", 200).await;
    session("error", "CWD /missing", 550).await;
    session("debug", "NOOP", 200).await;
    // What is recorded later is committed later: the others would be here by now.
    let debug = records(&running, "debug", 1).await;
    assert!(running.transcript(&debug[0]).await.contains("C: NOOP\n"), "Debug keeps everything");
    let error = records(&running, "error", 1).await;
    assert_eq!(error.len(), 1, "{error:?}");
    assert!(running.transcript(&error[0]).await.contains("C: CWD /missing\n"), "Error keeps what failed");
    assert!(running.sessions("none").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn transcripts_kept_for_0_days_are_not_written() {
    let appliance = Appliance::new();
    appliance.set(&["log_keep_days=0"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD /nowhere", 550).await;
    client.expect("QUIT", 221).await;
    drop(client);
    let gone = async |running: &Running<'_>| running.sessions(PARTNER).await.is_empty().then_some(());
    running.until("nothing is kept", gone).await;
    appliance.set(&["log_keep_days=30"]);
    let kept = async |running: &Running<'_>| {
        running.partner().await.expect("QUIT", 221).await;
        running.sessions(PARTNER).await.into_iter().next()
    };
    let first = running.until("sessions are kept again", kept).await;
    assert_eq!(first.tally.failures, 0, "the one with a failure was not kept");
}
