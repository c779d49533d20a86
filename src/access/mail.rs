//! Mail over SMTP: encrypted unless set otherwise, with sign-in if a user is set.

use std::error::Error;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use rustls::CertificateError;

use super::certificate::provider;
use super::secrets::Secrets;
use crate::base::secret::Secret;
use crate::base::unseen::marked;
use crate::domain::appliance::ApplianceSettings;
use crate::domain::value::{MailAddress, MailTls};

/// How long one step of the conversation may take.
pub const WITHIN: Duration = Duration::from_secs(30);
/// The name of the password among the secrets.
pub const PASSWORD: &str = "mail";
/// RFC 4954: wrong user or password.
const WRONG_PASSWORD: u16 = 535;
/// RFC 4954: sign-in required.
const SIGN_IN_FIRST: u16 = 530;
/// RFC 5321, section 4.2.3: what a server may answer about one recipient.
const REFUSED_RECIPIENT: [u16; 9] = [450, 451, 452, 501, 550, 551, 552, 553, 555];
/// The library's words if the server offers no known way of signing in.
const NO_MECHANISM: &str = "No compatible authentication mechanism";

/// The server that letters are handed to.
#[derive(Clone, Debug)]
pub struct MailServer {
    host: String,
    port: u16,
    tls: MailTls,
    user: String,
    password: Option<Secret>,
    from: MailAddress,
}

/// One letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Its recipients.
    pub to: Vec<MailAddress>,
    /// Its subject, on one line.
    pub subject: String,
    /// Its text.
    pub text: String,
    /// The same at each attempt: a mailbox that gets it twice shows it once.
    pub id: String,
}

/// The text with unseen characters shown: letters contain names from outside.
fn shown(text: &str) -> String {
    text.split('\n').map(marked).collect::<Vec<_>>().join("\n")
}

impl MailServer {
    /// From the settings; the error tells in words why there is none.
    pub async fn of(settings: &ApplianceSettings, secrets: &Secrets) -> Result<Self, String> {
        let Some(host) = &settings.mail_host else { return Err("No mail server is set, in Profiles, Mail".to_owned()) };
        let Some(from) = &settings.mail_from else { return Err("Mail has no sender, in Profiles, Mail".to_owned()) };
        let user = settings.mail_user.as_str().to_owned();
        let password =
            if user.is_empty() { None } else { secrets.get(PASSWORD).await.map_err(|error| error.to_string())? };
        let port = u16::try_from(settings.mail_port.get()).unwrap_or(587);
        Ok(Self { host: host.to_string(), port, tls: settings.mail_tls, user, password, from: from.clone() })
    }

    /// Hands a letter in; returns the server's answer, or why it did not accept the letter. A refused recipient does
    /// not keep it from the others.
    pub async fn send(&self, letter: &Letter) -> Result<String, String> {
        match self.send_to(letter, &letter.to).await {
            Ok(answer) => Ok(answer),
            Err(no) if no.is_of_one && letter.to.len() > 1 => self.send_to_each(letter).await,
            Err(no) => Err(no.words),
        }
    }

    async fn send_to_each(&self, letter: &Letter) -> Result<String, String> {
        let (mut taken, mut refused) = (None, Vec::new());
        for to in &letter.to {
            match self.send_to(letter, std::slice::from_ref(to)).await {
                Ok(answer) => taken = Some(answer),
                Err(no) => refused.push(format!("{}: {}", to.as_str(), no.words)),
            }
        }
        let refused = refused.join("; ");
        match taken {
            Some(answer) if refused.is_empty() => Ok(answer),
            Some(answer) => Ok(format!("{answer}. It was not taken for {refused}")),
            None => Err(refused),
        }
    }

    async fn send_to(&self, letter: &Letter, recipients: &[MailAddress]) -> Result<String, No> {
        let mailbox = |address: &MailAddress| -> Result<Mailbox, String> {
            Ok(Mailbox::new(None, address.as_str().parse().map_err(|error| format!("{}: {error}", address.as_str()))?))
        };
        let mut message = Message::builder()
            .from(mailbox(&self.from)?)
            .subject(marked(&letter.subject))
            .message_id(Some(format!("<{}@waybill.invalid>", letter.id)))
            .header(lettre::message::header::ContentType::TEXT_PLAIN);
        for to in recipients {
            message = message.to(mailbox(to)?);
        }
        let message = message.body(shown(&letter.text)).map_err(|error| error.to_string())?;
        let transport = self.transport().map_err(|error| error.to_string())?;
        let no = |error: lettre::transport::smtp::Error| {
            let is_of_one = error.status().is_some_and(|code| REFUSED_RECIPIENT.contains(&u16::from(code)));
            No { words: self.words(&error), is_of_one }
        };
        let sent = transport.send(message).await.map_err(no)?;
        Ok(format!("{} {}", sent.code(), sent.message().collect::<Vec<_>>().join(" ")))
    }

    fn words(&self, error: &lettre::transport::smtp::Error) -> String {
        let refused = causes(error).find_map(|cause| match cause.downcast_ref::<rustls::Error>() {
            Some(rustls::Error::InvalidCertificate(why)) => Some(certificate_words(&self.host, why)),
            _ => None,
        });
        let told = refused.unwrap_or_else(|| told(error));
        let status = error.status().map(u16::from);
        match (status, self.password.is_some()) {
            (Some(WRONG_PASSWORD), true) => format!(
                "The mail server {} does not accept the password of {}; set both in Profiles, Mail. It says: {told}",
                self.host, self.user
            ),
            (Some(SIGN_IN_FIRST), false) => format!(
                "The mail server {} wants a user and a password; set them in Profiles, Mail. It says: {told}",
                self.host
            ),
            (None, true) if told.contains(NO_MECHANISM) => format!(
                "The mail server {} offers no way of signing in that is known here, PLAIN or LOGIN; empty User in Profiles, \
                 Mail, or take the port for sending, often 587",
                self.host
            ),
            _ => told,
        }
    }

    fn transport(&self) -> Result<AsyncSmtpTransport<Tokio1Executor>, lettre::transport::smtp::Error> {
        // The library uses the process's default. If one is installed already, it is this one.
        let _ = provider().install_default();
        let tls = match self.tls {
            MailTls::None => Tls::None,
            MailTls::Starttls => Tls::Required(TlsParameters::new(self.host.clone())?),
            MailTls::Implicit => Tls::Wrapper(TlsParameters::new(self.host.clone())?),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&self.host)
            .port(self.port)
            .timeout(Some(WITHIN))
            .tls(tls);
        if let Some(password) = &self.password {
            builder = builder.credentials(Credentials::new(self.user.clone(), password.reveal().to_owned()));
        }
        Ok(builder.build())
    }
}

/// Why a letter was not accepted.
struct No {
    words: String,
    /// Whether it may concern only one of its recipients.
    is_of_one: bool,
}

impl From<String> for No {
    fn from(words: String) -> Self {
        Self { words, is_of_one: false }
    }
}

/// Why it was not sent, the innermost reason last.
fn told(error: &lettre::transport::smtp::Error) -> String {
    let mut words = error.to_string();
    for inner in causes(error) {
        let inner_words = inner.to_string();
        if !words.contains(&inner_words) {
            words = format!("{words}: {inner_words}");
        }
    }
    words
}

/// An error's chain of causes.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |inner: &&'a (dyn Error + 'static)| -> Option<&'a (dyn Error + 'static)> {
        let inner: &'a (dyn Error + 'static) = *inner;
        match inner.downcast_ref::<std::io::Error>() {
            // The error inside an I/O error is not its source.
            Some(carrying) => carrying.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            None => inner.source(),
        }
    })
}

/// What is wrong with a certificate, and what would be right.
fn certificate_words(host: &str, error: &CertificateError) -> String {
    let why = match error {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("is not for {host}; set Mail server to a name that it is for")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "has expired; its administrator has to renew it".to_owned()
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "was not issued by an authority that this system trusts; add that authority to the system’s".to_owned()
        }
        other => format!("is not accepted: {other}"),
    };
    format!("The certificate of the mail server {host} {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_tells_what_nobody_sees_in_a_name() {
        assert_eq!(shown("Received a\u{202e}fdp.exe\n\nat 07:00\n"), "Received a[U+202E]fdp.exe\n\nat 07:00\n");
    }
}
