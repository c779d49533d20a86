//! Every page's sample, read as markup: labels, ids, nothing inline.

use std::collections::BTreeSet;

use regex::Regex;

use crate::web::pages::activity::{EventsPage, TransfersPage};
use crate::web::pages::connector::{ConnectorPage, RemovePage, Tab};
use crate::web::pages::error::ErrorPage;
use crate::web::pages::flows::FlowsPage;
use crate::web::pages::profile::ProfilePage;
use crate::web::pages::receive::{ConnectorReceivePage, ReceiptPage, ReceivePage};
use crate::web::pages::refusals::{RefusalPage, RefusalsPage};
use crate::web::pages::sessions::SessionsPage;
use crate::web::pages::setup::SetupPage;
use crate::web::pages::sign_in::SignInPage;

fn samples() -> Vec<(&'static str, String)> {
    let render = |name, page: &dyn askama::DynTemplate| (name, page.dyn_render().unwrap());
    vec![
        render("connector advanced", &ConnectorPage::sample(Tab::Advanced)),
        render("connector receive", &ConnectorReceivePage::sample()),
        render("connector remove", &RemovePage::sample()),
        render("connector settings", &ConnectorPage::sample(Tab::Settings)),
        render("error", &ErrorPage::sample()),
        render("events", &EventsPage::sample()),
        render("flows", &FlowsPage::sample()),
        render("profile", &ProfilePage::sample()),
        render("receipt", &ReceiptPage::sample()),
        render("receive", &ReceivePage::sample()),
        render("refusal", &RefusalPage::sample()),
        render("refusals", &RefusalsPage::sample()),
        render("sessions", &SessionsPage::sample()),
        render("setup", &SetupPage::sample()),
        render("sign in", &SignInPage::sample()),
        render("transfers", &TransfersPage::sample()),
    ]
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let begin = format!(" {name}=\"");
    let at = tag.find(&begin)? + begin.len();
    tag[at..].split('"').next()
}

#[test]
fn every_control_has_a_label_and_every_id_is_there_once() {
    let tag = Regex::new(r"<(input|select|textarea)\b[^>]*>").unwrap();
    let id = Regex::new(r#"\bid="([^"]*)""#).unwrap();
    let described = Regex::new(r#"aria-(?:describedby|labelledby)="([^"]*)""#).unwrap();
    let label = Regex::new(r#"<label[^>]*\bfor="([^"]*)""#).unwrap();
    let wrapped = Regex::new(r"<label[^>]*>\s*<input[^>]*>").unwrap();
    let link = Regex::new(r##"href="#([^"]+)""##).unwrap();
    for (name, html) in samples() {
        let ids: Vec<&str> = id.captures_iter(&html).map(|found| found.get(1).unwrap().as_str()).collect();
        let set: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), set.len(), "{name}: an id is there twice: {ids:?}");
        for found in described.captures_iter(&html) {
            for target in found[1].split(' ') {
                assert!(set.contains(target), "{name}: nothing has the id {target}");
            }
        }
        for found in link.captures_iter(&html) {
            assert!(set.contains(&found[1]), "{name}: a link leads to {} in vain", &found[1]);
        }
        let labelled: BTreeSet<&str> = label.captures_iter(&html).map(|found| found.get(1).unwrap().as_str()).collect();
        let within: BTreeSet<usize> = wrapped.find_iter(&html).map(|found| found.end()).collect();
        for found in tag.find_iter(&html) {
            let text = found.as_str();
            let has = attribute(text, "type") == Some("hidden")
                || attribute(text, "id").is_some_and(|id| labelled.contains(id))
                || within.contains(&found.end())
                || attribute(text, "aria-label").is_some();
            assert!(has, "{name}: no label for {text}");
        }
    }
}

#[test]
fn nothing_is_inline_and_every_page_has_a_title() {
    let inline = Regex::new(r"<[^>]*\s(?:style|on[a-z]+)\s*=").unwrap();
    let script = Regex::new(r"<script(?:>| [^>]*>[^<])|<style").unwrap();
    let title = Regex::new(r"<title>[^<]{3,}</title>").unwrap();
    let heading = Regex::new(r"<h1\b").unwrap();
    for (name, html) in samples() {
        assert!(!inline.is_match(&html), "{name}: {:?}", inline.find(&html));
        assert!(!script.is_match(&html), "{name}: {:?}", script.find(&html));
        assert!(title.is_match(&html), "{name} has no title");
        assert_eq!(heading.find_iter(&html).count(), 1, "{name}: one h1");
        assert!(html.starts_with("<!doctype html>"), "{name} begins with {:?}", &html[..20]);
        assert!(!html.contains("<script>alert"), "{name} does not escape");
        assert!(!html.contains("<b>"), "{name} does not escape");
    }
}

#[test]
fn a_refused_form_says_so_in_its_title_and_summary() {
    for (name, html) in samples() {
        if html.contains("aria-invalid") {
            assert!(html.contains("<title>Error: "), "{name}");
            assert!(html.contains("data-error-summary"), "{name}");
        }
    }
}
