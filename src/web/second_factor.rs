//! Between the password and the signed-in browser: the code of a second factor. Wrong codes are counted apart from
//! wrong passwords, so that a right password in between does not give a guesser more tries.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::context::Context;
use super::error::WebError;
use crate::access::gate::Verdict;
use crate::access::guard::{Caller, Door, Known, Limits};
use crate::access::second_factor;
use crate::base::clock::Timestamp;
use crate::base::hex::hex;
use crate::base::human;
use crate::base::id::AdministratorId;
use crate::base::lock::lock;
use crate::base::secret::Secret;
use crate::store::administrator::{self, Administrator};
use crate::store::second_factor as store;

/// How long a browser may take between password and code.
const TICKET_LIFE: Duration = Duration::from_mins(5);
/// Wrong codes of one administrator from one address before it must wait.
const LIMITS: Limits = Limits { failures_max: 5, window: Duration::from_mins(15), block_for: Duration::from_mins(15) };

/// The proof that the password was right: for this visit, this administrator and this password, for a limited time.
/// Only the browser keeps it.
pub fn ticket(context: &Context, administrator: &Administrator) -> String {
    let until = context.now().plus(TICKET_LIFE);
    format!("{}.{}.{}", administrator.id, until.us(), seal(context, administrator, until).reveal())
}

fn seal(context: &Context, administrator: &Administrator, until: Timestamp) -> Secret {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&context.state.visit_key) else { return Secret::new("") };
    let until = until.us().to_string();
    for part in ["ticket", administrator.id.as_str(), &until, &context.visitor.csrf, &administrator.password_hash] {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part.as_bytes());
    }
    Secret::new(hex(&mac.finalize().into_bytes()))
}

/// The owner of a ticket; none if it is forged, another visit's, or too old.
pub async fn admitted(context: &Context, ticket: &str) -> Result<Option<Administrator>, WebError> {
    let mut parts = ticket.splitn(3, '.');
    let (Some(id), Some(until), Some(sealed)) = (parts.next(), parts.next(), parts.next()) else { return Ok(None) };
    let (Some(id), Ok(until)) = (AdministratorId::parse(id), until.parse().map(Timestamp::from_us)) else {
        return Ok(None);
    };
    let found = administrator::by_id(&context.state.db, &id).await?;
    let is_good = |one: &Administrator| {
        let own = seal(context, one, until);
        context.now() < until && !own.is_empty() && own == Secret::new(sealed)
    };
    Ok(found.filter(is_good))
}

/// The outcome of a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is from the app.
    Code,
    /// It is a recovery code; that many are left.
    RecoveryCode {
        /// How many.
        left: u64,
    },
    /// It is invalid, or was used before.
    Wrong,
    /// Too many were wrong: it was not checked, and none will be for this long.
    Blocked(String),
}

/// The name under which wrong codes count: no real name contains a blank, so it shares its count with nobody.
fn counted_as(administrator: &Administrator) -> String {
    format!("{} code", administrator.name.to_lowercase())
}

fn caller<'a>(context: &Context, name: &'a str) -> Caller<'a> {
    Caller { door: Door::Web, name, known: Known::Yes, address: context.visitor.remote }
}

async fn wrong(context: &Context, caller: &Caller<'_>) -> Taken {
    if let Verdict::Wrong(delay) = context.state.gate.refused(caller, &LIMITS) {
        tokio::time::sleep(delay).await;
    }
    Taken::Wrong
}

/// Accepts a code, once.
pub async fn take(context: &Context, administrator: &Administrator, typed: &str) -> Result<Taken, WebError> {
    let (state, id) = (&context.state, &administrator.id);
    let name = counted_as(administrator);
    let caller = caller(context, &name);
    if let Some(until) = state.gate.blocked(&caller, Some(&LIMITS)) {
        return Ok(Taken::Blocked(human::duration(until.since(context.now()))));
    }
    if second_factor::is_recovery_code(typed) {
        if store::spend_code(&state.db, id, &second_factor::digest(typed)).await? {
            state.gate.proved(&caller);
            let left = store::get(&state.db, id).await?.map_or(0, |factor| factor.codes_left);
            return Ok(Taken::RecoveryCode { left });
        }
    } else if let Some(key) = state.secrets.get(&store::key_name(id)).await.map_err(WebError::internal)?
        && let Some(step) = second_factor::step_of(&key, typed, context.now())
        && store::spend_step(&state.db, id, step, second_factor::step_at(context.now())).await?
    {
        state.gate.proved(&caller);
        return Ok(Taken::Code);
    }
    Ok(wrong(context, &caller).await)
}

/// The step of a code that proves a new key to be in an app; counted like other codes.
pub async fn check_new(
    context: &Context,
    administrator: &Administrator,
    key: &Secret,
    typed: &str,
) -> Result<u64, Taken> {
    let name = counted_as(administrator);
    let caller = caller(context, &name);
    if let Some(until) = context.state.gate.blocked(&caller, Some(&LIMITS)) {
        return Err(Taken::Blocked(human::duration(until.since(context.now()))));
    }
    match second_factor::step_of(key, typed, context.now()) {
        Some(step) => Ok(step),
        None => Err(wrong(context, &caller).await),
    }
}

/// Keys shown to their owners that wait for a first code.
#[derive(Clone, Debug, Default)]
pub struct Enrolling(Arc<Mutex<HashMap<String, (Secret, Timestamp)>>>);

impl Enrolling {
    /// How long a key waits.
    pub const LIFE: Duration = Duration::from_mins(15);
    /// Keys that wait.
    const KEYS_MAX: usize = 1_000;

    /// A key for the browser with that mark, replacing one that waits.
    pub fn begin(&self, mark: &str, key: Secret, now: Timestamp) {
        let mut waiting = lock(&self.0);
        waiting.retain(|_, (_, at)| now.since(*at) < Self::LIFE);
        if waiting.len() < Self::KEYS_MAX {
            waiting.insert(mark.to_owned(), (key, now));
        }
    }

    /// The key that waits for that browser.
    pub fn key(&self, mark: &str, now: Timestamp) -> Option<Secret> {
        let waiting = lock(&self.0);
        waiting.get(mark).filter(|(_, at)| now.since(*at) < Self::LIFE).map(|(key, _)| key.clone())
    }

    /// It no longer waits.
    pub fn end(&self, mark: &str) {
        lock(&self.0).remove(mark);
    }
}
