//! The FTP Server profile through the whole router: what a client meets from outside, and whom a stricter setting shuts
//! out.

use axum::http::{Method, StatusCode};

use super::tests::{Answer, Site};
use crate::base::clock::Clock;
use crate::base::id::SessionId;
use crate::domain::administrator::Role;
use crate::domain::connector::ConnectorId;
use crate::domain::setting::Texts;
use crate::store::connector::{self, Edit};
use crate::store::profile;
use crate::store::session::{Session, SessionEnd, Tally};

const SAVE: &str = "/profiles/ftp/save";

impl Site {
    /// Sends some values of the profile.
    async fn save_profile(&self, cookies: &str, values: &[(&str, &str)]) -> Answer {
        let csrf = self.get("/profiles/ftp", cookies).await.csrf();
        let fields: Vec<_> = values.iter().map(|(key, _)| *key).filter(|key| *key != "anyway").collect();
        let fields = fields.join(",");
        let form = [&[("csrf", csrf.as_str()), ("fields", fields.as_str())], values].concat();
        self.ask(Method::POST, SAVE, cookies, Some(&form)).await
    }

    /// A session of a connector that has just ended.
    async fn signed_in(&self, connector: &str, tls: &str) {
        let now = Clock::System.now();
        self.recorder
            .session(Session {
                id: SessionId::new(&self.ids),
                connector: connector.to_owned(),
                remote: "203.0.113.9".to_owned(),
                client: String::new(),
                tls: tls.to_owned(),
                begun_at: now,
                ended_at: now,
                ending: SessionEnd::Quit,
                tally: Tally::default(),
                transcript: String::new(),
            })
            .await;
        self.recorder.flush().await.unwrap();
    }
}

#[tokio::test]
async fn what_a_client_meets_from_outside_is_told_and_a_better_value_is_one_press_away() {
    let site = Site::new().await;
    let admin = site.person("mira", Role::Admin).await;
    let page = site.get("/profiles/ftp", &admin).await;
    assert!(page.text.contains("Seen from outside") && page.text.contains("No host name is set"), "{}", page.text);
    let host = Texts::from([("public_host".to_owned(), "8.8.4.4".to_owned())]);
    profile::save_appliance(&site.db, &host, None, &site.change()).await.unwrap();
    site.live.refresh().await.unwrap();
    let page = site.get("/profiles/ftp", &admin).await;
    let button = "name=\"passive_address\" value=\"8.8.4.4\">Use 8.8.4.4";
    assert!(page.text.contains(button) && page.text.contains("No certificate in use is made for"), "{}", page.text);
    let viewer = site.person("vera", Role::Viewer).await;
    assert!(!site.get("/profiles/ftp", &viewer).await.text.contains(button));
    let saved = site.save_profile(&admin, &[("passive_address", "8.8.4.4")]).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text);
    assert!(site.get("/profiles/ftp", &admin).await.text.contains("PASV hands out 8.8.4.4"));
}

#[tokio::test]
async fn the_tester_asks_the_profiles_filter_where_a_connector_has_none_of_its_own() {
    let site = Site::new().await;
    let admin = site.person("mira", Role::Admin).await;
    site.add_connector("acme", "").await;
    let saved = site.save_profile(&admin, &[("allowed_files_filter", "*.x12"), ("inactivity_timeout_s", "600")]).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text);
    let ask = async |name: &str| {
        let said = site.get(&format!("/profiles/ftp/filter-test?filter=as_profile&name={name}"), &admin).await;
        said.text.contains("\"accepted\":true")
    };
    assert!(ask("a.x12").await && !ask("a.zip").await);
    let advanced = site.get("/connectors/acme/advanced", &admin).await;
    for words in ["<small class=\"wrapany\">*.x12</small>", "Now acme/Send."] {
        assert!(advanced.text.contains(words), "{words}: {}", advanced.text);
    }
    let page = site.get("/profiles/ftp", &admin).await;
    assert!(
        page.text.contains("id=\"inactivity_timeout_s-n\">10 minutes.") && page.text.contains("are free there now")
    );
}

#[tokio::test]
async fn partners_that_a_stricter_setting_shuts_out_are_named_before_it_is_saved() {
    let site = Site::new().await;
    let admin = site.person("mira", Role::Admin).await;
    site.add_connector("acme", "").await;
    site.add_connector("globex", "").await;
    let open = site.save_profile(&admin, &[("require_tls", "none"), ("welcome_message", "Mornin")]).await;
    assert_eq!(open.status, StatusCode::SEE_OTHER, "{}", open.text);
    site.signed_in("acme", "").await;
    site.signed_in("globex", "").await;
    site.signed_in("globex", "TLS 1.2 ECDHE").await;
    let refused = site.save_profile(&admin, &[("require_tls", "login"), ("tls_protocols", "1.3")]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    for words in [
        "acme signed in without TLS last and would be shut out",
        "globex signed in with TLS 1.2 last and would be shut out",
        "name=\"anyway\"",
        // A value that was not sent is shown as stored, not as modified.
        "Mornin",
    ] {
        assert!(refused.text.contains(words), "{words}: {}", refused.text);
    }
    let all_the_same = [("require_tls", "login"), ("tls_protocols", "1.3"), ("anyway", "1")];
    assert_eq!(site.save_profile(&admin, &all_the_same).await.status, StatusCode::SEE_OTHER);
    // Looser again: nobody is shut out, so there is no question.
    let looser = site.save_profile(&admin, &[("require_tls", "none"), ("tls_protocols", "1.2,1.3")]).await;
    assert_eq!(looser.status, StatusCode::SEE_OTHER, "{}", looser.text);
    // Without any TLS, those shut out by their own settings are named too.
    let own = Texts::from([("require_tls".to_owned(), "login".to_owned())]);
    let edit = Edit { values: own, ..Edit::default() };
    connector::save(&site.db, &ConnectorId::parse("acme").unwrap(), &edit, &site.change()).await.unwrap();
    site.live.refresh().await.unwrap();
    let refused = site.save_profile(&admin, &[("ftp_over_tls", "none")]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("Without TLS nobody could sign in as acme, where"), "{}", refused.text);
    let anyway = site.save_profile(&admin, &[("ftp_over_tls", "none"), ("anyway", "1")]).await;
    assert_eq!(anyway.status, StatusCode::SEE_OTHER, "{}", anyway.text);
}
