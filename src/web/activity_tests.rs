//! Activity through the whole router: what follows live, what a filter finds, who may disconnect.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::{Method, StatusCode};

use super::tests::Site;
use crate::base::clock::{Clock, Timestamp};
use crate::base::id::{EventId, ReceiptId, SessionId};
use crate::domain::administrator::Role;
use crate::domain::receipt::{Ending, Proof, Status};
use crate::store::commit::{Published, Received};
use crate::store::receipt::Receipt;

#[tokio::test]
async fn a_live_page_gets_every_piece_at_once_and_only_what_changed_afterwards() {
    let site = Site::new().await;
    let cookies = site.person("vera", Role::Viewer).await;
    let mut stream = site.follow("/live/sessions", &cookies).await;
    let first = stream.until("id=\"sessions\"").await;
    assert!(first.contains("Nobody is connected") && first.contains("id=\"lamp\""), "{first}");
    let place = site.presence.enter(SessionId::new(&site.ids), IpAddr::from([198, 51, 100, 7]), Timestamp::default());
    place.update(|doing| doing.client = Some("<b>FileZilla</b>".to_owned()));
    let next = stream.until("198.51.100.7").await;
    assert!(next.contains("&#60;b&#62;FileZilla") && !next.contains("Disconnect<"), "{next}");
    assert!(next.contains("1 session"), "the lamp counts it: {next}");
}

#[tokio::test]
async fn a_live_page_ends_with_its_sign_in() {
    let site = Site::new().await;
    let cookies = site.person("vera", Role::Viewer).await;
    let mut stream = site.follow("/live/shell", &cookies).await;
    stream.until("id=\"lamp\"").await;
    let csrf = site.get("/flows", &cookies).await.csrf();
    site.ask(Method::POST, "/sign-out", &cookies, Some(&[("csrf", &csrf)])).await;
    stream.end().await;
    assert_eq!(site.get("/live/nothing", &site.person("kim", Role::Viewer).await).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn newer_files_are_told_and_a_row_opens_within_its_table() {
    let site = Site::new().await;
    let cookies = site.person("vera", Role::Viewer).await;
    site.receive("acme", "<i>old</i>.x12").await;
    let page = site.get("/activity/receive", &cookies).await;
    assert!(page.text.contains("&#60;i&#62;old&#60;/i&#62;.x12"), "{}", page.text);
    let (_, rest) = page.text.split_once("data-live=\"").unwrap();
    let address = rest.split('"').next().unwrap().replace("&#38;", "&");
    let mut stream = site.follow(&address, &cookies).await;
    let id = site.receive("acme", "new.x12").await;
    assert!(stream.until("1 newer file. Show it").await.contains("href=\"?\""));
    let opened = site.get(&format!("/activity/receive?open={id}"), &cookies).await;
    assert!(opened.text.contains("aria-expanded=\"true\"") && opened.text.contains("Receive Id"), "{}", opened.text);
    assert_eq!(opened.text.matches("class=\"detail\"").count(), 1);
}

impl Site {
    /// A file was received; gives its receipt's id.
    pub(super) async fn receive(&self, connector: &str, name: &str) -> ReceiptId {
        let receipt = receipt_of(self, connector, name);
        let id = receipt.id.clone();
        let (connector_key, stored_path) = (connector.to_ascii_lowercase(), receipt.stored_path.clone());
        self.recorder.receive(Received { receipt, event_id: EventId::new(&self.ids) }).await.unwrap();
        self.recorder.publish(Published { id: id.clone(), connector_key, stored_path }).await;
        self.recorder.flush().await;
        id
    }
}

fn receipt_of(site: &Site, connector: &str, name: &str) -> Receipt {
    let now = Clock::System.now();
    Receipt {
        id: ReceiptId::new(&site.ids),
        connector: connector.to_owned(),
        name: name.to_owned(),
        client_path: format!("/Receive/{name}"),
        stored_path: format!("/Receive/{name}"),
        size_bytes: 48_219,
        sha256: "b1946ac92492d2347c6235b4d2611184aa03c1f7e2d94b8c5f60718293a4a3f2".to_owned(),
        headers: vec![("SubFolder".to_owned(), String::new())],
        begun_at: now.minus(Duration::from_secs(1)),
        completed_at: now,
        remote_address: "198.51.100.7".to_owned(),
        tls: String::new(),
        session_id: SessionId::new(&site.ids),
        ending: Ending::Closed,
        resumed_from: 0,
        ascii: false,
        proof: Proof::C,
        duplicate_of: None,
        status: Status::InReceive,
        publishing: false,
        inode: 1,
        staged_name: String::new(),
    }
}
