//! Settings with a closed list of values, and those of a connector that may follow the profile's.

use super::typed;
use crate::base::words::words;
use crate::domain::setting::{Input, Value, nearest};

/// The text of [`AsProfile::AsProfile`].
const AS_PROFILE: &str = "as_profile";

/// A setting of the profile that a connector may override.
pub trait Overridable: Value {
    /// The input for a connector, including *as profile*.
    const OWN_INPUT: Input;

    /// The text that means *none* in a connector, where an empty text means *as profile*.
    const OWN_EMPTY: &'static str = "";

    /// Reads a connector's own value; an error offers *as profile* too, if there are few choices.
    fn parse_own(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

/// Why `text` is not among `known`.
fn none_of(text: &str, known: &[(&'static str, &'static str)]) -> String {
    let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
    let near = nearest(&text.trim().to_lowercase(), names.iter().copied())
        .map(|near| format!("; did you mean {near}?"))
        .unwrap_or_default();
    format!("{} isn't one of {}{near}", typed(text), names.join(", "))
}

/// A setting with a closed list of values; an `overridable` one can be *as profile* in a connector.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal, $label:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every value, in the order on the pages.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its text, as typed and stored.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Words for people.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }

            /// The first of these, as a sentence names it.
            pub fn short(self) -> &'static str {
                let label = self.label();
                label.split_once(": ").map_or(label, |(short, _)| short)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl Value for $name {
            const INPUT: Input = Input::Choice(&[$(($text, $label),)+]);

            fn parse(text: &str) -> Result<Self, String> {
                let typed = text.trim();
                Self::ALL
                    .iter()
                    .copied()
                    .find(|value| value.name().eq_ignore_ascii_case(typed))
                    .ok_or_else(|| none_of(text, &[$(($text, $label),)+]))
            }

            fn text(&self) -> String {
                self.name().to_owned()
            }
        }
    };
    ($(#[$doc:meta])* overridable $name:ident {
        $($(#[$vdoc:meta])* $variant:ident = $text:literal, $label:literal;)+
    }) => {
        choice! { $(#[$doc])* $name { $($(#[$vdoc])* $variant = $text, $label;)+ } }

        impl Overridable for $name {
            const OWN_INPUT: Input =
                Input::Choice(&[(AS_PROFILE, "As in the FTP Server profile"), $(($text, $label),)+]);

            fn parse_own(text: &str) -> Result<Self, String> {
                Self::parse(text).map_err(|_| none_of(text, &[(AS_PROFILE, ""), $(($text, $label),)+]))
            }
        }
    };
}

choice! {
    /// How encryption starts when a client connects.
    FtpOverTls {
        /// Never: all in clear.
        None = "none", "None: passwords and files cross the network in clear text";
        /// With AUTH TLS, after a greeting in clear.
        Explicit = "explicit", "Explicit: plain greeting, then AUTH TLS; what most partners expect";
        /// From the first byte.
        Implicit = "implicit", "Implicit: TLS from the first byte, usually on port 990";
    }
}

choice! {
    /// What is refused in clear; each level includes the previous ones.
    RequireTls {
        /// Nothing.
        None = "none", "None: clear text is allowed";
        /// Logins.
        Login = "login", "Login: passwords are never sent in clear text";
        /// Logins and data connections.
        LoginAndData = "login_and_data", "Login and data: neither passwords nor files in clear text";
    }
}

choice! {
    /// Whether a data connection must resume the TLS session of its control connection.
    overridable SessionReuse {
        /// Not looked at.
        Off = "off", "Off";
        /// A data connection without it goes on and is noted.
        Log = "log", "Log: noted, never refused";
        /// A data connection without it is refused.
        Require = "require", "Require: refused with 522";
    }
}

choice! {
    /// Whether an upload over TLS must end with `close_notify`.
    overridable TlsEnd {
        /// Without it the upload is not complete.
        Strict = "strict", "Strict: an upload must be closed by TLS";
        /// An orderly end of TCP is enough.
        Tolerant = "tolerant", "Tolerant: an orderly end of TCP is enough";
    }
}

choice! {
    /// How much is logged; each level includes the previous ones.
    LogLevel {
        /// Nothing.
        None = "none", "None";
        /// What failed.
        Error = "error", "Error: what failed";
        /// Also what may fail soon.
        Warning = "warning", "Warning: also what may fail soon";
        /// Also logins, transfers and refusals.
        Info = "info", "Info: also logins, transfers, refusals";
        /// Also every command and reply.
        Debug = "debug", "Debug: also every command and reply";
        /// Everything.
        Trace = "trace", "Trace: everything";
    }
}

choice! {
    /// Where the log goes.
    LogTarget {
        /// To whatever collects a service's output.
        Stderr = "stderr", "Standard error: for what collects a service’s output";
        /// A file a day.
        File = "file", "Files: one a day in the folder logs of the data folder";
        /// Both.
        Both = "both", "Both";
    }
}

impl LogLevel {
    /// Whether the record of a session is kept. `trouble`: something in it was refused, failed or cut off.
    pub fn keeps_session(self, trouble: bool) -> bool {
        match self {
            Self::None => false,
            Self::Error | Self::Warning => trouble,
            Self::Info | Self::Debug | Self::Trace => true,
        }
    }

    /// Whether the transcript is kept with it.
    pub fn keeps_transcript(self, trouble: bool) -> bool {
        self.keeps_session(trouble) && (trouble || matches!(self, Self::Debug | Self::Trace))
    }
}

choice! {
    /// What an upload does if its stored name is taken.
    Overwrite {
        /// It replaces the old file once it is complete.
        Replace = "replace", "Replace the old file once the new one is whole";
        /// It is refused.
        Refuse = "refuse", "Refuse with 553";
        /// It is stored under the next free numbered name.
        KeepBoth = "keep_both", "Keep both, as name-1.ext";
    }
}

choice! {
    /// What APPE does.
    AppendRule {
        /// Each makes a file and a receipt.
        Each = "each", "Each append makes a receipt";
        /// It is refused.
        Refuse = "refuse", "Refuse with 550";
    }
}

choice! {
    /// What happens to the line ends of uploads in TYPE A.
    AsciiUploads {
        /// The bytes stay as sent.
        Keep = "keep", "Keep the bytes as sent";
        /// CRLF becomes LF.
        ToLf = "to_lf", "Turn CRLF into LF";
    }
}

choice! {
    /// How dated folders are made below a folder.
    FolderScheme {
        /// None.
        None = "none", "None";
        /// One a day.
        Daily = "daily", "Daily";
        /// One a week.
        Weekly = "weekly", "Weekly";
        /// One a month.
        Monthly = "monthly", "Monthly";
        /// One a year.
        Yearly = "yearly", "Yearly";
    }
}

choice! {
    /// What a partner's client certificate counts for.
    ClientCertificate {
        /// Nothing.
        None = "none", "None: password only";
        /// It or the password.
        OrPassword = "or_password", "Certificate or password";
        /// It and the password.
        AndPassword = "and_password", "Certificate and password";
        /// It alone.
        Only = "only", "Certificate only";
    }
}

choice! {
    /// What is refused in clear to this partner.
    ConnectorTls {
        /// As in the profile.
        AsProfile = "as_profile", "As in the FTP Server profile";
        /// Logins.
        Login = "login", "Login: passwords are never sent in clear text";
        /// Logins and data connections.
        LoginAndData = "login_and_data", "Login and data: neither passwords nor files in clear text";
        /// Nothing, but only from the allowed addresses.
        PlainAllowed = "plain_allowed", "Plain allowed: from the allowed addresses only";
    }
}

choice! {
    /// On or off, where a connector may follow the profile.
    overridable Switch {
        /// On.
        On = "on", "On";
        /// Off.
        Off = "off", "Off";
    }
}

impl From<bool> for Switch {
    fn from(on: bool) -> Self {
        if on { Self::On } else { Self::Off }
    }
}

impl Switch {
    /// Whether it is on.
    pub const fn is_on(self) -> bool {
        matches!(self, Self::On)
    }
}

choice! {
    /// The type of a connector.
    ConnectorType {
        /// A partner that signs in over FTP.
        FtpServer = "ftp_server", "FTP Server";
        /// A folder of this host.
        Folder = "folder", "Folder";
        /// An address that files or events are posted to.
        Webhook = "webhook", "Webhook";
        /// A program of this host.
        Command = "command", "Command";
    }
}

impl ConnectorType {
    /// One of them: `a Folder`.
    pub fn one(self) -> String {
        let article = if self == Self::FtpServer { "an" } else { "a" };
        format!("{article} {}", self.label())
    }
}

words! {
    /// What a connector's other side proves itself with, by the key it is written under.
    pub enum CredentialKind {
        /// Stored as its hash.
        Password = "password";
        /// Signed with: sealed, never shown again.
        Secret = "secret";
    }
}

choice! {
    /// What sets an action off.
    ActionMoment {
        /// A file was received.
        AfterReceive = "after_receive", "After receive: a file of the partner is here";
        /// A file is asked for.
        BeforeSend = "before_send", "Before send: the partner asks for a file, and a no holds it back";
        /// A file was collected.
        AfterSend = "after_send", "After send: the partner has collected a file";
        /// A file was given up.
        DeliveryFailed = "delivery_failed", "Delivery failed: a received file could not be passed along";
    }
}

choice! {
    /// What an action does.
    ActionKind {
        /// A signed post.
        Webhook = "webhook", "Webhook: a signed post to an address of the web";
        /// A run of a program.
        Command = "command", "Command: a program of this host is run";
        /// A letter.
        Mail = "mail", "Mail: a letter by the server of Profiles, Mail";
    }
}

choice! {
    /// Which events are posted to an event target.
    EventChoice {
        /// Every one.
        All = "all", "All events";
        /// Those that somebody is alerted of.
        Alerts = "alerts", "Alerts: what is chosen in Profiles, Mail";
        /// Chosen ones.
        Chosen = "chosen", "Those chosen below";
    }
}

choice! {
    /// What a connector's alerts follow.
    AlertsFrom {
        /// The settings of the appliance.
        Global = "global", "As in Profiles, Mail";
        /// Its own.
        Own = "own", "Own: as set below";
    }
}

choice! {
    /// How mail is encrypted on its way to the mail server.
    MailTls {
        /// In clear at first, then encrypted; otherwise not sent.
        Starttls = "starttls", "STARTTLS: encrypted after the greeting, usually on port 587";
        /// From the first byte.
        Implicit = "implicit", "Implicit: encrypted from the first byte, usually on port 465";
        /// Never.
        None = "none", "None: mail and password cross the network in clear text";
    }
}

impl ConnectorType {
    /// What its other side proves itself with, or checks ours with: made when the connector is added, shown once.
    pub const fn credential(self) -> Option<CredentialKind> {
        match self {
            Self::FtpServer => Some(CredentialKind::Password),
            Self::Webhook => Some(CredentialKind::Secret),
            Self::Folder | Self::Command => None,
        }
    }

    /// Whether files it received may be passed along; the other types are ends.
    pub const fn passes_on(self) -> bool {
        matches!(self, Self::FtpServer | Self::Folder)
    }
}

choice! {
    /// How an authority verifies that a host name is this server's.
    AcmeChallenge {
        /// RFC 8555, section 8.3.
        Http01 = "http-01", "HTTP-01: the authority asks by http on port 80";
        /// RFC 8737.
        TlsAlpn01 = "tls-alpn-01", "TLS-ALPN-01: the authority shakes hands on port 443";
    }
}

choice! {
    /// What a webhook sends.
    WebhookBody {
        /// What happened, as JSON.
        Event = "event", "The event, as JSON";
        /// The file itself.
        File = "file", "The file itself";
    }
}

choice! {
    /// What a token of the API covers, within its owner's role.
    TokenScope {
        /// Everything that can be read.
        Read = "read", "Read: everything its owner sees, nothing is changed";
        /// Connectors and flows.
        Connectors = "connectors", "Connectors: reads and changes connectors and flows, and nothing else";
        /// What happened.
        Activity = "activity", "Activity: reads receipts, events and the like, fires and stops deliveries";
        /// All of it.
        All = "all", "All: whatever its owner may";
    }
}

/// A connector's own value, or the profile's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AsProfile<T> {
    /// The profile's.
    AsProfile,
    /// Its own, which replaces the profile's.
    Own(T),
}

impl<T> AsProfile<T> {
    /// The value in force: its own, or the `profile`'s.
    pub const fn or<'a>(&'a self, profile: &'a T) -> &'a T {
        match self {
            Self::AsProfile => profile,
            Self::Own(own) => own,
        }
    }

    /// Its own value, if it has one.
    pub const fn own(&self) -> Option<&T> {
        match self {
            Self::AsProfile => None,
            Self::Own(own) => Some(own),
        }
    }
}

impl AsProfile<Switch> {
    /// Whether it is on, where the profile has `profile`.
    pub fn is_on(&self, profile: bool) -> bool {
        self.or(&profile.into()).is_on()
    }
}

impl<T: Overridable> Value for AsProfile<T> {
    const INPUT: Input = T::OWN_INPUT;

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "" => Ok(Self::AsProfile),
            word if word.eq_ignore_ascii_case(AS_PROFILE) => Ok(Self::AsProfile),
            own => T::parse_own(own).map(Self::Own),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::AsProfile => AS_PROFILE.to_owned(),
            Self::Own(own) => Some(own.text()).filter(|text| !text.is_empty()).unwrap_or(T::OWN_EMPTY.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every<T: Value + Copy + PartialEq + std::fmt::Debug>(all: &[T], texts: &str) {
        assert_eq!(all.iter().map(T::text).collect::<Vec<_>>().join(" "), texts);
        for value in all {
            assert_eq!(T::parse(&value.text()), Ok(*value));
            assert_eq!(T::parse(&format!(" {} ", value.text().to_uppercase())), Ok(*value));
        }
        assert!(T::parse("").is_err());
    }

    #[test]
    fn each_choice_has_the_words_of_the_command_line() {
        every(FtpOverTls::ALL, "none explicit implicit");
        every(RequireTls::ALL, "none login login_and_data");
        every(SessionReuse::ALL, "off log require");
        every(TlsEnd::ALL, "strict tolerant");
        every(LogLevel::ALL, "none error warning info debug trace");
        every(LogTarget::ALL, "stderr file both");
        every(Overwrite::ALL, "replace refuse keep_both");
        every(AppendRule::ALL, "each refuse");
        every(AsciiUploads::ALL, "keep to_lf");
        every(FolderScheme::ALL, "none daily weekly monthly yearly");
        every(ClientCertificate::ALL, "none or_password and_password only");
        every(ConnectorTls::ALL, "as_profile login login_and_data plain_allowed");
        every(Switch::ALL, "on off");
        every(ConnectorType::ALL, "ftp_server folder webhook command");
        every(WebhookBody::ALL, "event file");
        every(MailTls::ALL, "starttls implicit none");
        every(ActionMoment::ALL, "after_receive before_send after_send delivery_failed");
        every(ActionKind::ALL, "webhook command mail");
        every(EventChoice::ALL, "all alerts chosen");
        every(AlertsFrom::ALL, "global own");
        every(AcmeChallenge::ALL, "http-01 tls-alpn-01");
        every(TokenScope::ALL, "read connectors activity all");
    }

    #[test]
    fn a_wrong_word_is_answered_with_the_right_ones() {
        assert_eq!(
            FtpOverTls::parse("explict"),
            Err("explict isn't one of none, explicit, implicit; did you mean explicit?".to_owned())
        );
        assert_eq!(TlsEnd::parse("lenient-ish"), Err("lenient-ish isn't one of strict, tolerant".to_owned()));
    }

    #[test]
    fn as_profile_follows_until_there_is_an_own_value() {
        let follows = AsProfile::<TlsEnd>::parse("As_Profile").unwrap();
        assert_eq!(follows.or(&TlsEnd::Tolerant), &TlsEnd::Tolerant);
        assert_eq!(AsProfile::<TlsEnd>::parse(""), Ok(AsProfile::AsProfile));
        let own = AsProfile::<TlsEnd>::parse("strict").unwrap();
        assert_eq!((own.or(&TlsEnd::Tolerant), own.own()), (&TlsEnd::Strict, Some(&TlsEnd::Strict)));
        assert_eq!((follows.text(), own.text()), ("as_profile".to_owned(), "strict".to_owned()));
        let wrong = AsProfile::<TlsEnd>::parse("as_profil").unwrap_err();
        assert!(wrong.ends_with("isn't one of as_profile, strict, tolerant; did you mean as_profile?"), "{wrong}");
        assert!(AsProfile::<Switch>::AsProfile.is_on(true) && !AsProfile::Own(Switch::Off).is_on(true));
    }
}
