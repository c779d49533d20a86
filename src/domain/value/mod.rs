//! The values of settings: each is read from the text an administrator types, and returns that text.
//!
//! Always: the text from [`Value::text`](crate::domain::setting::Value::text) reads back as the same value, and a
//! refused text is answered with a sentence that begins with it and says what would be right.

mod calendar;
mod choice;
mod events;
mod keep;
mod mail;
mod network;
mod number;
mod port;
mod since;
mod text;
mod time;
mod tls;
mod typed;
mod web;

pub use calendar::{DaysOff, TimeOfDay, Weekdays};
pub use choice::{
    AcmeChallenge, ActionKind, ActionMoment, AlertsFrom, AppendRule, AsProfile, AsciiUploads, ClientCertificate,
    ConnectorTls, ConnectorType, CredentialKind, EventChoice, FolderScheme, FtpOverTls, LogLevel, LogTarget, MailTls,
    Overridable, Overwrite, RequireTls, SessionReuse, Switch, TlsEnd, TokenScope, WebhookBody,
};
pub use events::EventKinds;
pub use keep::KeepDays;
pub use mail::{AlertKinds, MailAddress, MailAddresses, PartnerAlertKinds, Subject};
pub use network::{AddressExceptions, HostNames, HostOrAddress, ListenAddress, Networks};
pub use number::{ByteCount, DiskReserve, FileMode, Whole};
pub use port::PortRange;
pub use since::Since;
pub use text::{Alias, EncodingName, FolderText, Label, StartFolder, Welcome};
pub use time::{ValidityDate, ZoneName};
pub use tls::{CertificateMatch, CertificateName, CertificateNames, TlsVersions};
pub use typed::{list, typed};
pub use web::WebAddress;
