//! Commands through the whole router: only admins decide what they run, and without a folder of programs there are
//! none.

use std::os::unix::fs::PermissionsExt;

use axum::http::header::LOCATION;
use axum::http::{Method, StatusCode};

use super::tests::{Answer, Site};
use crate::access::programs::Programs;
use crate::domain::administrator::Role;
use crate::store::connector;

impl Site {
    async fn save(&self, path: &str, cookies: &str, fields: &[(&str, &str)]) -> Answer {
        let csrf = self.get("/flows", cookies).await.csrf();
        self.ask(Method::POST, path, cookies, Some(&[&[("csrf", csrf.as_str())], fields].concat())).await
    }
}

pub(super) fn programs(folder: &std::path::Path) -> Programs {
    let import = folder.join("import");
    std::fs::write(&import, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&import, PermissionsExt::from_mode(0o755)).unwrap();
    Programs::open(folder).unwrap()
}

#[tokio::test]
async fn only_an_admin_adds_changes_or_deletes_a_command() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::with_programs(programs(folder.path())).await;
    let (admin, editor) = (site.person("mira", Role::Admin).await, site.person("ed", Role::Editor).await);
    site.add_connector("acme", "").await;
    let offered = |page: &str| page.contains("value=\"command\"");
    assert!(offered(&site.get("/flows", &admin).await.text) && !offered(&site.get("/flows", &editor).await.text));

    let wanted = [("id", "erp"), ("type", "command"), ("program", "import")];
    let refused = site.save("/connectors", &editor, &wanted).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.text.contains("Only an admin edits a Command"), "{}", refused.text);
    assert_eq!(connector::all(&site.db).await.unwrap().len(), 1);
    let gone = site.save("/connectors", &admin, &[("id", "erp"), ("type", "command"), ("program", "gone")]).await;
    assert_eq!(gone.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(gone.text.contains("There is no program gone") && gone.text.contains("there are import"), "{}", gone.text);
    let added = site.save("/connectors", &admin, &wanted).await;
    assert_eq!(added.header(LOCATION), "/connectors/erp/settings", "{}", added.text);

    let page = site.get("/connectors/erp/settings", &editor).await.text;
    assert!(page.contains("Only an admin changes a Command") && !page.contains("Save changes"), "{page}");
    let version = connector::all(&site.db).await.unwrap().pop().unwrap().stored.version.to_string();
    let change = |arguments| {
        [
            ("tab", "settings"),
            ("version", version.as_str()),
            ("fields", "program,arguments"),
            ("program", "import"),
            arguments,
        ]
    };
    let refused = site.save("/connectors/erp/save", &editor, &change(("arguments", "--evil"))).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text);
    let copied = site.save("/connectors", &editor, &[("id", "copy"), ("copy_of", "erp")]).await;
    assert_eq!(copied.status, StatusCode::FORBIDDEN, "{}", copied.text);
    assert_eq!(site.get("/connectors/erp/delete", &editor).await.status, StatusCode::FORBIDDEN);
    let refused = site.save("/connectors/erp/delete", &editor, &[("confirm", "erp")]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let wrong = site.save("/connectors/erp/save", &admin, &change(("arguments", "'open"))).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let saved = site.save("/connectors/erp/save", &admin, &change(("arguments", "--in {path}"))).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text);
    let all = connector::all(&site.db).await.unwrap();
    let erp = all.iter().find(|one| one.id.as_str() == "erp").unwrap();
    assert_eq!(erp.stored.texts["arguments"], "--in {path}");
}

#[tokio::test]
async fn without_a_folder_of_programs_there_is_no_command_and_the_words_say_how_to_get_it() {
    let site = Site::new().await;
    let admin = site.person("mira", Role::Admin).await;
    assert!(!site.get("/flows", &admin).await.text.contains("value=\"command\""));
    let refused = site.save("/connectors", &admin, &[("id", "erp"), ("type", "command"), ("program", "import")]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("start Waybill with --commands DIR"), "{}", refused.text);
    assert!(connector::all(&site.db).await.unwrap().is_empty());
}
