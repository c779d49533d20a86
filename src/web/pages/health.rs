//! Whether the web interface answers, for `waybill health`.

/// `ok`.
pub async fn show() -> &'static str {
    "ok\n"
}
