//! One order (RFC 8555, section 7.4): the authority is told the host names, verifies that they lead here, gets the
//! request and returns the certificate.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, NewOrder, Order, OrderStatus, Problem, RetryPolicy,
};

use super::answer::Answers;
use crate::access::certificate::{self, Material};
use crate::base::clock::Timestamp;
use crate::domain::acme::Wish;
use crate::domain::value::AcmeChallenge;

/// How long the authority may take to verify, and again to sign.
const WITHIN: Duration = Duration::from_mins(2);
/// Characters of an error that are kept: authorities can be verbose.
const WORDS_MAX: usize = 500;

/// Gets a certificate; its key is new.
pub(super) async fn place(account: &Account, wish: &Wish, now: Timestamp) -> Result<Material, String> {
    let identifiers: Vec<_> = wish.hosts.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await.map_err(words)?;
    prove(&mut order, wish).await?;
    let request = certificate::csr(&wish.hosts)?;
    order.finalize_csr(&request.der).await.map_err(words)?;
    let chain = order.poll_certificate(&patience()).await.map_err(words)?;
    certificate::read_with(&[chain.as_bytes()], None, Some(request.key), now)
}

/// Answers for the names that the authority has not verified lately.
async fn prove(order: &mut Order, wish: &Wish) -> Result<(), String> {
    let kind = kind(wish.challenge);
    let mut answers = Answers::new(wish.challenge);
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(words)?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let host = authorization.identifier().to_string();
        let challenge = authorization.challenge(kind.clone()).ok_or_else(|| {
            format!("The authority does not look at {host} by {}: choose another challenge", name(wish.challenge))
        })?;
        answers.add(&host, &challenge.token, &challenge.key_authorization())?;
    }
    let answering = answers.give(wish.at).await?;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(words)?;
        if authorization.status != AuthorizationStatus::Valid
            && let Some(mut challenge) = authorization.challenge(kind.clone())
        {
            challenge.set_ready().await.map_err(words)?;
        }
    }
    let seen = order.poll_ready(&patience()).await;
    drop(answering);
    match seen {
        Ok(OrderStatus::Ready) => Ok(()),
        // The error is with the name that it concerns.
        Ok(_) | Err(Error::Api(_)) => Err(refused(order).await),
        Err(error) => Err(words(error)),
    }
}

/// Why the authority refused, name by name.
async fn refused(order: &mut Order) -> String {
    let mut why = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if authorization.refresh().await.is_err() {
            continue;
        }
        let host = authorization.identifier().to_string();
        let said = authorization.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        why.extend(said.map(|problem| format!("{host}: {}", detail(problem))));
    }
    if why.is_empty() {
        return "The authority refused the order and did not say why".to_owned();
    }
    short(format!("The authority could not see that the names lead here. {}", why.join("; ")))
}

/// An error in words.
pub(super) fn words(error: Error) -> String {
    short(match error {
        Error::Api(problem) => format!("The authority refused: {}", detail(&problem)),
        Error::Timeout(_) => format!("The authority did not come to an end within {} s", WITHIN.as_secs()),
        Error::Other(other) => other.to_string(),
        Error::Json(_) => "What answered there is no authority that speaks ACME".to_owned(),
        other => other.to_string(),
    })
}

fn detail(problem: &Problem) -> String {
    let kind = problem.r#type.as_deref().and_then(|kind| kind.rsplit(':').next()).unwrap_or("no type");
    match &problem.detail {
        Some(detail) => format!("{detail} ({kind})"),
        None => kind.to_owned(),
    }
}

fn short(words: String) -> String {
    match words.char_indices().nth(WORDS_MAX) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}

fn patience() -> RetryPolicy {
    RetryPolicy::new().backoff(1.5).timeout(WITHIN)
}

const fn kind(challenge: AcmeChallenge) -> ChallengeType {
    match challenge {
        AcmeChallenge::Http01 => ChallengeType::Http01,
        AcmeChallenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
    }
}

const fn name(challenge: AcmeChallenge) -> &'static str {
    match challenge {
        AcmeChallenge::Http01 => "HTTP-01",
        AcmeChallenge::TlsAlpn01 => "TLS-ALPN-01",
    }
}
