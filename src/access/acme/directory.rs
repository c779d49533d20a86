//! Talks to an authority: only https, no redirect, no proxy, bounded in time and size.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use reqwest::redirect::Policy;

use crate::access::outbound::{self, words};

/// How long an authority may take for one answer.
const WITHIN: Duration = Duration::from_secs(30);
/// Bytes of one answer: a chain of certificates has a few thousand.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Talks to authorities.
#[derive(Clone, Debug)]
pub(super) struct Client(reqwest::Client);

impl Client {
    /// Trusts the authorities that this machine trusts.
    pub fn new() -> Result<Self, String> {
        let tls = outbound::tls("Authorities that issue certificates").map_err(|error| error.to_string())?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .https_only(true)
            .redirect(Policy::none())
            .referer(false)
            .timeout(WITHIN)
            // Required by RFC 8555, section 6.1.
            .user_agent("Waybill")
            .tls_backend_preconfigured(tls)
            .build();
        Ok(Self(client.map_err(|error| error.to_string())?))
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: http::Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.0.clone();
        Box::pin(async move { ask(&client, request).await.map_err(|words| Error::Other(words.into())) })
    }
}

async fn ask(client: &reqwest::Client, request: http::Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, String> {
    let request = reqwest::Request::try_from(request.map(reqwest::Body::wrap)).map_err(|error| words(&error))?;
    let mut answer = client.execute(request).await.map_err(|error| words(&error))?;
    let (mut parts, ()) = http::Response::new(()).into_parts();
    parts.status = answer.status();
    parts.headers = answer.headers().clone();
    let mut body = BytesMut::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| words(&error))? {
        if body.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(format!("The authority's answer is longer than {ANSWER_BYTES_MAX} bytes"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(BytesResponse { parts, body: Box::new(body.freeze()) })
}
