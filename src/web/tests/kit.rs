//! A web interface over a fresh database, and a browser that keeps its cookies.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use tempfile::TempDir;
use tower::ServiceExt;

use crate::access::gate::Gate;
use crate::access::password::Hasher;
use crate::base::clock::Clock;
use crate::base::id::IdSource;
use crate::domain::administrator::Role;
use crate::store::Db;
use crate::store::administrator::{self, New};
use crate::store::commit::Recorder;
use crate::store::live::Live;
use crate::store::setting::Change;
use crate::transfer::presence::Presence;
use crate::web::{Parts, SetupCode, WebState, router};

pub(super) const PASSWORD: &str = "a long enough secret";

/// The interface under test.
pub(super) struct Site {
    pub(super) state: WebState,
    app: Router,
    _folder: TempDir,
}

impl Site {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::System;
        let ids = IdSource::random(clock.clone());
        let db = Db::open(folder.path()).await.unwrap();
        let (recorder, writer) = Recorder::new(db.clone());
        tokio::spawn(writer.run());
        let state = WebState::new(Parts {
            live: Live::open(db.clone(), clock.clone()).await.unwrap(),
            db,
            recorder,
            gate: Gate::new(Hasher::new().unwrap(), clock.clone()),
            presence: Presence::default(),
            clock,
            ids,
            setup_code: SetupCode::new(),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 8020)),
            tls: false,
        });
        Self { app: router(state.clone()), state, _folder: folder }
    }

    /// A site with an administrator of that role who has signed in.
    pub(super) async fn signed_in(role: Role) -> (Self, Browser) {
        let site = Self::new().await;
        site.add_administrator("mira", role).await;
        let mut browser = site.browser();
        assert_eq!(browser.sign_in("mira", PASSWORD).await.status, StatusCode::SEE_OTHER);
        (site, browser)
    }

    pub(super) async fn add_administrator(&self, name: &str, role: Role) {
        let hash = self.state.gate.hasher().hash(&crate::base::secret::Secret::new(PASSWORD)).await.unwrap();
        let change = Change { who: "test", remote: "", at: self.state.clock.now(), ids: &self.state.ids };
        let new = New { name, role, password_hash: &hash, only_first: false };
        administrator::add(&self.state.db, &new, &change).await.unwrap();
    }

    pub(super) fn browser(&self) -> Browser {
        Browser { app: self.app.clone(), cookies: BTreeMap::new() }
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn to(&self) -> &str {
        self.headers.get(header::LOCATION).map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn has(&self, words: &str) -> bool {
        self.text.contains(words)
    }

    /// The value of a hidden field.
    pub(super) fn hidden(&self, name: &str) -> String {
        let begin = format!("name=\"{name}\" value=\"");
        let at = self.text.find(&begin).unwrap_or_else(|| panic!("no {name} in {}", self.text)) + begin.len();
        self.text[at..].split('"').next().unwrap().to_owned()
    }
}

/// A browser: cookies, and the token of the page it saw last.
#[derive(Clone)]
pub(super) struct Browser {
    app: Router,
    pub(super) cookies: BTreeMap<String, String>,
}

impl Browser {
    pub(super) async fn send(&mut self, request: axum::http::request::Builder, body: Body) -> Answer {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let has_host = request.headers_ref().is_some_and(|headers| headers.contains_key(header::HOST));
        let request = if has_host { request } else { request.header(header::HOST, "localhost:8020") };
        let request = request.header(header::COOKIE, cookies.join("; ")).body(body).unwrap();
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        for cookie in parts.headers.get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (name, rest) = cookie.split_once('=').unwrap();
            if cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), rest.split(';').next().unwrap().to_owned());
            }
        }
        let bytes = axum::body::to_bytes(body, 1 << 22).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    pub(super) async fn get(&mut self, path: &str) -> Answer {
        self.send(Request::get(path), Body::empty()).await
    }

    /// Posts a form without adding a token.
    pub(super) async fn post_bare(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = serde_urlencoded::to_string(fields).unwrap();
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request, Body::from(body)).await
    }

    /// Loads `page`, takes its token and posts to `path`.
    pub(super) async fn post_from(&mut self, page: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let seen = self.get(page).await;
        let token = seen.hidden("csrf");
        let mut all = vec![("csrf", token.as_str())];
        all.extend_from_slice(fields);
        self.post_bare(path, &all).await
    }

    pub(super) async fn sign_in(&mut self, name: &str, password: &str) -> Answer {
        self.post_from("/sign-in", "/sign-in", &[("name", name), ("password", password), ("to", "/flows")]).await
    }
}
