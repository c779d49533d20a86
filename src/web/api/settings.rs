//! The appliance's settings and the FTP server's profile.

use axum::Json;
use axum::response::{IntoResponse, Response};

use crate::domain::appliance::ApplianceSettings;
use crate::domain::profile::Profile;
use crate::store::{exported, profile};
use crate::web::context::Context;
use crate::web::error::WebError;

/// The appliance's settings.
pub async fn show(context: Context) -> Result<Response, WebError> {
    let stored = profile::load_appliance(&context.state.db).await?;
    Ok(Json(exported::Group::of(&stored, ApplianceSettings::SETTINGS)).into_response())
}

/// The FTP server's.
pub async fn show_profile(context: Context) -> Result<Response, WebError> {
    let stored = profile::load(&context.state.db).await?;
    Ok(Json(exported::Group::of(&stored, Profile::SETTINGS)).into_response())
}
