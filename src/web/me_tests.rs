//! My account through the whole router: one's own password, the second factor, the signed-in browsers.

use axum::http::header::LOCATION;
use axum::http::{Method, StatusCode};
use totp_rs::{Builder, Secret as Key};

use super::tests::{Answer, PASSWORD, Site};
use crate::base::clock::Clock;
use crate::domain::administrator::Role;

/// The code in an app, `steps` of thirty seconds from now.
fn app(key: &str, steps: i64) -> String {
    let now = Clock::System.now().us() / 1_000_000 + 30 * steps;
    let key = Key::try_from_base32(key.replace(' ', "")).unwrap();
    let totp = Builder::new().with_secret(key).with_issuer(Some("x")).with_account_name("x").build().unwrap();
    totp.generate(u64::try_from(now).unwrap()).to_string()
}

fn between<'a>(text: &'a str, begin: &str, end: char) -> &'a str {
    let (_, rest) = text.split_once(begin).unwrap_or_else(|| panic!("no {begin} in {text}"));
    rest.split(end).next().unwrap()
}

impl Site {
    /// A form of My account, posted with its token.
    async fn mine(&self, path: &str, cookies: &str, fields: &[(&str, &str)]) -> Answer {
        let csrf = self.get("/me", cookies).await.csrf();
        let mut form = vec![("csrf", csrf.as_str())];
        form.extend(fields);
        self.ask(Method::POST, path, cookies, Some(&form)).await
    }

    /// Types name and password: returns the answer, and the cookies of the visit.
    async fn password_typed(&self, password: &str) -> (Answer, String) {
        let page = self.get("/sign-in", "").await;
        let (csrf, visit) = (page.csrf(), page.cookies());
        let form = [("csrf", csrf.as_str()), ("name", "mira"), ("password", password)];
        (self.ask(Method::POST, "/sign-in", &visit, Some(&form)).await, visit)
    }

    /// Types the code afterwards.
    async fn code_typed(&self, asked: &Answer, visit: &str, code: &str) -> Answer {
        let (csrf, ticket) = (asked.csrf(), between(&asked.text, "name=\"ticket\" value=\"", '"'));
        let form = [("csrf", csrf.as_str()), ("ticket", ticket), ("code", code)];
        self.ask(Method::POST, "/sign-in/code", visit, Some(&form)).await
    }
}

#[tokio::test]
async fn a_second_factor_is_asked_for_from_the_next_sign_in_on_and_each_code_is_good_once() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Viewer).await;
    let begun = site.mine("/me/second-factor", &cookies, &[]).await;
    assert_eq!(begun.header(LOCATION), "/me#factor");
    let page = site.get("/me", &cookies).await;
    let key = between(&page.text, "id=\"totp-key\" class=\"wrapany\">", '<').to_owned();
    assert!(page.text.contains("role=\"img\" aria-label=\"QR code"));
    let refused = site.mine("/me/second-factor/confirm", &cookies, &[("code", "12 34"), ("own_password", "no")]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    for words in ["There are 2 problems", "not the code of this key", "not your own password"] {
        assert!(refused.text.contains(words), "no {words} in {}", refused.text);
    }
    let (signed_in, _) = site.password_typed(PASSWORD).await;
    assert_eq!(signed_in.header(LOCATION), "/", "it is not on yet");

    let code = app(&key, -1);
    let fields = [("code", code.as_str()), ("own_password", PASSWORD)];
    let on = site.mine("/me/second-factor/confirm", &cookies, &fields).await;
    assert_eq!(on.status, StatusCode::OK, "{}", on.text);
    let codes: Vec<_> = between(&on.text, "id=\"codes\" tabindex=\"0\">", '<').lines().map(str::to_owned).collect();
    assert_eq!(codes.len(), 10);
    assert!(!site.get("/me", &cookies).await.text.contains(&key), "the key is shown no more");

    let (asked, visit) = site.password_typed(PASSWORD).await;
    assert_eq!(asked.status, StatusCode::OK);
    assert!(asked.text.contains("Second factor") && asked.cookies().is_empty(), "nobody is signed in");
    for wrong in ["000000", &code, "", "aaaaa-aaaaa"] {
        let refused = site.code_typed(&asked, &visit, wrong).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
        assert!(refused.text.contains("wrong, or was used already"), "{}", refused.text);
    }
    let right = app(&key, 0);
    let entered = site.code_typed(&asked, &visit, &right).await;
    assert_eq!((entered.status, entered.header(LOCATION)), (StatusCode::SEE_OTHER, "/"), "{}", entered.text);
    assert_eq!(site.get("/me", &entered.cookies()).await.status, StatusCode::OK);
    let again = site.code_typed(&asked, &visit, &right).await;
    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY, "a code was taken twice");

    let spoken = codes[0].to_uppercase().replace('-', " ");
    assert_eq!(site.code_typed(&asked, &visit, &spoken).await.status, StatusCode::SEE_OTHER, "a recovery code");
    assert_eq!(site.code_typed(&asked, &visit, &codes[0]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(site.get("/me", &cookies).await.text.contains("9 recovery codes are left"));

    // A ticket is valid only for its own visit.
    let (_, elsewhere) = site.password_typed("wrong password here").await;
    let csrf = site.get("/sign-in", &elsewhere).await.csrf();
    let ticket = between(&asked.text, "name=\"ticket\" value=\"", '"');
    let form = [("csrf", csrf.as_str()), ("ticket", ticket), ("code", codes[1].as_str())];
    let foreign = site.ask(Method::POST, "/sign-in/code", &elsewhere, Some(&form)).await;
    assert!(foreign.text.contains("Sign in again") && foreign.status == StatusCode::UNPROCESSABLE_ENTITY);

    assert_eq!(
        site.mine("/me/second-factor/off", &cookies, &[("off_password", "no")]).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert_eq!(
        site.mine("/me/second-factor/off", &cookies, &[("off_password", PASSWORD)]).await.header(LOCATION),
        "/me"
    );
    assert_eq!(site.password_typed(PASSWORD).await.0.header(LOCATION), "/", "it is off");
}

#[tokio::test]
async fn an_admin_switches_off_what_somebody_has_lost_and_guessing_is_stopped() {
    let site = Site::new().await;
    let (mira, root) = (site.person("mira", Role::Editor).await, site.person("root", Role::Admin).await);
    site.mine("/me/second-factor", &mira, &[]).await;
    let key = between(&site.get("/me", &mira).await.text, "id=\"totp-key\" class=\"wrapany\">", '<').to_owned();
    let code = app(&key, 0);
    let fields = [("code", code.as_str()), ("own_password", PASSWORD)];
    assert_eq!(site.mine("/me/second-factor/confirm", &mira, &fields).await.status, StatusCode::OK);
    let users = site.get("/users", &root).await.text;
    let row = between(&users, ">mira</a>", '\0').len();
    let place = users[..users.len() - row].rsplit_once("href=\"").unwrap().1.split('"').next().unwrap().to_owned();
    assert!(site.get(&place, &root).await.text.contains("Asked for since"));
    let csrf = site.get(&place, &root).await.csrf();
    let form = |password| [("csrf", csrf.as_str()), ("factor_password", password)];
    let path = format!("{place}/second-factor");
    let refused = site.ask(Method::POST, &path, &root, Some(&form("no"))).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let off = site.ask(Method::POST, &path, &root, Some(&form(PASSWORD))).await;
    assert_eq!(off.header(LOCATION), place);
    assert_eq!(site.password_typed(PASSWORD).await.0.header(LOCATION), "/");
}

#[tokio::test]
async fn a_new_password_ends_every_other_browser_and_one_may_be_signed_out_alone() {
    let site = Site::new().await;
    let first = site.person("mira", Role::Viewer).await;
    let second = site.password_typed(PASSWORD).await.0.cookies();
    let third = site.password_typed(PASSWORD).await.0.cookies();
    let page = site.get("/me", &first).await.text;
    assert_eq!(page.matches("name=\"mark\"").count(), 3);
    let own = page.find("This one").unwrap();
    let mark = between(&page[own..], "name=\"mark\" value=\"", '"').to_owned();
    let other = page.split("name=\"mark\" value=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let other = other.into_iter().find(|one| *one != mark).unwrap().to_owned();
    site.mine("/me/browsers", &first, &[("mark", &other)]).await;
    let mut alive = Vec::new();
    for cookies in [&second, &third] {
        if site.get("/me", cookies).await.status == StatusCode::OK {
            alive.push(cookies);
        }
    }
    assert_eq!(alive.len(), 1, "one of the others is signed out");

    let new = "another long password";
    let refused = site.mine("/me/password", &first, &[("old_password", "no"), ("password", "short")]).await;
    assert!(refused.text.contains("There are 2 problems"), "{}", refused.text);
    let changed = site.mine("/me/password", &first, &[("old_password", PASSWORD), ("password", new)]).await;
    assert_eq!(changed.header(LOCATION), "/me", "{}", changed.text);
    let after = site.get("/me", &changed.cookies()).await;
    assert!(after.text.contains("Your password is changed") && after.text.matches("name=\"mark\"").count() == 1);
    for gone in [&first, alive[0]] {
        assert_eq!(site.get("/me", gone).await.status, StatusCode::SEE_OTHER);
    }
    assert_eq!(site.password_typed(PASSWORD).await.0.status, StatusCode::UNPROCESSABLE_ENTITY);
    let other = site.password_typed(new).await.0.cookies();
    let ended = site.mine("/me/browsers", &changed.cookies(), &[("others", "1")]).await;
    assert_eq!(ended.header(LOCATION), "/me");
    assert_eq!(site.get("/me", &other).await.status, StatusCode::SEE_OTHER);
}
