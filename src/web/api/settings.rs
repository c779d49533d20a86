//! The appliance's settings and the FTP server's profile.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::answer::ApiError;
use super::body::{Body, whole};
use crate::access::usable::{self, Passphrase};
use crate::domain::appliance::ApplianceSettings;
use crate::domain::profile::Profile;
use crate::domain::setting::Texts;
use crate::store::listener::{self, Listener, ListenerState};
use crate::store::{exported, profile};
use crate::web::context::Context;
use crate::web::pages::profiles::wait_for_listener;
use crate::web::pages::settings::shut_out;

/// The appliance's settings.
pub async fn show(context: Context) -> Result<Response, ApiError> {
    let stored = profile::load_appliance(&context.state.db).await?;
    Ok(Json(exported::Group::of(&stored, ApplianceSettings::SETTINGS)).into_response())
}

/// Changes the given ones.
pub async fn change(context: Context, mut body: Body) -> Result<Response, ApiError> {
    let (values, version) = (body.settings(), body.version());
    body.done()?;
    save(context, values, version).await
}

/// Replaces all of them.
pub async fn put(context: Context, mut body: Body) -> Result<Response, ApiError> {
    let (values, version) = (whole(body.all_settings(), ApplianceSettings::SETTINGS), body.version());
    body.done()?;
    save(context, values, version).await
}

async fn save(context: Context, values: Texts, version: Option<i64>) -> Result<Response, ApiError> {
    if let Some(mistake) = shut_out(&context, &values).await? {
        return Err(ApiError::Mistakes(vec![mistake]));
    }
    let db = &context.state.db;
    usable::appliance(db, &values, Passphrase::Stored).await?;
    context.changing(async |change| profile::save_appliance(db, &values, version, change).await).await?;
    context.state.live.refresh().await?;
    show(context).await
}

#[derive(Serialize)]
struct OfListener {
    state: &'static str,
    address: String,
    message: String,
    since: String,
}

#[derive(Serialize)]
struct WithListener<'a> {
    #[serde(flatten)]
    group: exported::Group<'a>,
    listener: OfListener,
}

async fn profile_with(context: &Context, ftp: ListenerState) -> Result<Response, ApiError> {
    let stored = profile::load(&context.state.db).await?;
    let listener = OfListener {
        state: ftp.state.name(),
        address: ftp.address,
        message: ftp.message,
        since: ftp.since.to_string(),
    };
    Ok(Json(WithListener { group: exported::Group::of(&stored, Profile::SETTINGS), listener }).into_response())
}

/// The FTP server's settings, and whether it listens.
pub async fn show_profile(context: Context) -> Result<Response, ApiError> {
    let ftp = listener::get(&context.state.db, Listener::Ftp).await?;
    profile_with(&context, ftp).await
}

/// Changes the given settings of the FTP server.
pub async fn change_profile(context: Context, mut body: Body) -> Result<Response, ApiError> {
    let (values, version) = (body.settings(), body.version());
    body.done()?;
    save_profile(&context, &values, version).await
}

/// Replaces all settings of the FTP server.
pub async fn put_profile(context: Context, mut body: Body) -> Result<Response, ApiError> {
    let (values, version) = (whole(body.all_settings(), Profile::SETTINGS), body.version());
    body.done()?;
    save_profile(&context, &values, version).await
}

/// Saves, then waits for a moment to report the listener's state.
async fn save_profile(context: &Context, values: &Texts, version: Option<i64>) -> Result<Response, ApiError> {
    let db = &context.state.db;
    usable::profile(db, values).await?;
    context.changing(async |change| profile::save(db, values, version, change).await).await?;
    context.state.live.refresh().await?;
    profile_with(context, wait_for_listener(context).await?).await
}
