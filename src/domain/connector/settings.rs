//! The settings of one partner.

use crate::domain::command::{Arguments, ProgramName};
use crate::domain::filter::{Filter, TempExtensions};
use crate::domain::profile::Profile;
use crate::domain::scheme::Scheme;
use crate::domain::setting::{Mistake, Texts, Value};
use crate::domain::value::{
    AlertsFrom, Alias, AppendRule, AsProfile, AsciiUploads, ByteCount, CertificateMatch, ClientCertificate,
    ConnectorTls, ConnectorType, EncodingName, FileMode, FolderScheme, FolderText, FtpOverTls, KeepDays, Label,
    LogLevel, MailAddresses, Networks, Overwrite, PartnerAlertKinds, RequireTls, SessionReuse, StartFolder, Subject,
    Switch, TlsEnd, ValidityDate, WebAddress, WebhookBody, Whole, ZoneName,
};
use crate::settings;

settings! {
    /// The settings of one connector.
    pub struct ConnectorSettings {
        r#type: ConnectorType = "ftp_server", "Type",
            "What stands behind the connector: a partner that signs in over FTP.";
        description: Label = "", "Description",
            "Who this partner is and what it exchanges; for you only.";
        group: Label = "", "Group",
            "A label by which the Flows page bands and filters connectors.";
        enabled: bool = "on", "Connector enabled",
            "Off refuses new logins and ends the live sessions.";
        valid_from: Option<ValidityDate> = "", "Valid from",
            "The first day, in UTC, or the moment from which the partner may sign in. Empty is now.";
        valid_until: Option<ValidityDate> = "", "Valid until",
            "The last day, in UTC, or the moment until which the partner may sign in. Empty is for ever.";
        password_overlap_h: Whole<0, 8_760> = "0", "Older password stays valid",
            "Hours that the older password is taken after a new one is set, so that the partner can change over.";
        start_folder: StartFolder = "/", "Start folder",
            "Where a login lands. /Receive suits devices that upload without changing folder.";
        send_alias: Alias = "", "Alias of Send",
            "Another name for Send, for scripts that say cd outbox. It is not listed.";
        receive_alias: Alias = "", "Alias of Receive",
            "Another name for Receive, for scripts that say cd inbox. It is not listed.";
        name_encoding: EncodingName = "utf-8", "Name encoding",
            "The encoding in which the partner's client writes file names, such as windows-1252 or shift_jis.";
        list_time_zone: ZoneName = "UTC", "List time zone",
            "The time zone of the times in LIST. Clients that use MLSD don't need it.";
        send_read: bool = "on", "Send: read",
            "Let the partner list and download the files you leave for it.";
        send_write: bool = "off", "Send: write",
            "Let the partner upload, rename and delete in Send.";
        receive_read: bool = "on", "Receive: read",
            "Let the partner list and download what it uploaded. Without it Receive is a drop box.";
        receive_write: bool = "on", "Receive: write",
            "Let the partner upload, rename and delete in Receive.";
        delete_collected: bool = "on", "Delete what was collected",
            "Let the partner delete a Send file that it has wholly collected, even without Write.";
        allowed_addresses: Networks = "", "Allowed addresses",
            "One address or CIDR range a line. Empty means from anywhere. Sessions from elsewhere end after their transfer.";
        require_tls: ConnectorTls = "as_profile", "Encryption for this partner",
            "What is refused in clear text. Plain is allowed only from the Allowed addresses.";
        tls_session_reuse: AsProfile<SessionReuse> = "as_profile", "TLS session reuse on data connections",
            "Whether a data connection must prove that it belongs to its control connection.";
        tls_end: AsProfile<TlsEnd> = "as_profile", "TLS end of upload",
            "Tolerant is for a client that never closes TLS in order; a cut-off file may then pass as whole.";
        active_mode: AsProfile<Switch> = "as_profile", "Active Mode",
            "Let the server connect back to this partner's client (PORT and EPRT).";
        client_certificate: ClientCertificate = "none", "Client certificate",
            "Whether the partner signs in with a certificate, a password, or both.";
        client_certificate_match: Option<CertificateMatch> = "", "Client certificate match",
            "Which certificate is the partner's: sha256: and its fingerprint, or ca:NAME subject: and its subject.";
        input_folder: FolderText = "", "Input Folder (Send)",
            "Where the partner downloads from. Empty is the connector's own Send folder; a relative path lies below \
             the Root Directory.";
        output_folder: FolderText = "", "Output Folder (Receive)",
            "Where uploads land. Empty is the connector's own Receive folder; a relative path lies below the Root \
             Directory.";
        received_file_mode: FileMode = "0640", "Mode of received files",
            "Permission bits that a received file has from the moment it appears, in octal.";
        allowed_files_filter: AsProfile<Filter> = "as_profile", "Allowed Files Filter",
            "Which file names pass. An own filter replaces the profile's; * accepts every name.";
        remove_file_after_send: bool = "off", "Remove File After Send",
            "Remove a file after a complete download; a broken one keeps the file.";
        temp_receive_extensions: TempExtensions = ".tmp,.part,.partial,.filepart,.in.*",
            "Temp Receive Extensions",
            "Files with these names are not recorded and make no event until they are renamed. name* is a beginning.";
        timeout_s: Whole<1, 3_600> = "60", "Timeout",
            "Seconds the server waits for the client's data connection and its handshake.";
        stall_timeout_s: Whole<1, 86_400> = "300", "Stall timeout",
            "Seconds without a byte moving, through the partner's doing, before a transfer is ended.";
        save_subfolder: bool = "off", "Save Subfolder",
            "Adds a SubFolder header to the receipt: the path of the file under Receive.";
        local_file_scheme: Scheme = "%Filename%", "Local File Scheme",
            "How a received file is named, with macros such as %FilenameNoExt%, %ShortDate% and %Seq%.";
        overwrite: Overwrite = "replace", "Overwrite",
            "What an upload does when its name is taken. The old file stays whole until the new one is.";
        append: AppendRule = "each", "Append",
            "Whether APPE may go on with a complete file; each time makes a receipt.";
        ascii_uploads: AsciiUploads = "keep", "ASCII uploads",
            "What happens to the line ends of uploads in TYPE A.";
        settle_s: Whole<0, 3_600> = "2", "Settle",
            "Seconds between a receipt and the delivery of its event; a rename meanwhile changes the name it carries.";
        send_settle_s: Whole<0, 3_600> = "2", "Send settle",
            "Seconds a file that another program puts into Send must rest before the partner sees it.";
        sessions_max: Option<Whole<1, 100_000>> = "", "Sessions",
            "Most sessions of this partner at a time. Empty is as in the FTP Server profile.";
        upload_bytes_per_s: Option<ByteCount> = "", "Upload limit",
            "Bytes a second the partner may upload, all its sessions together, such as 10 MiB. Empty is no limit.";
        download_bytes_per_s: Option<ByteCount> = "", "Download limit",
            "Bytes a second the partner may download, all its sessions together, such as 10 MiB. Empty is no limit.";
        file_bytes_max: Option<ByteCount> = "", "Largest file",
            "The largest upload, such as 2 GiB, counted while writing. Empty is no limit.";
        quota_bytes: Option<ByteCount> = "", "Quota in bytes",
            "What Receive may hold in all, counted while writing. Empty is no limit.";
        quota_files: Option<Whole<1, 1_000_000_000>> = "", "Quota in files",
            "How many files Receive may hold. Empty is no limit.";
        save_to_sent_folder: bool = "off", "Save to Sent Folder",
            "Keep a copy of what the partner collected.";
        sent_folder_scheme: FolderScheme = "monthly", "Sent Folder Scheme",
            "How the copies are sorted into dated folders.";
        log_level: LogLevel = "info", "Log Level",
            "How much of this partner’s sessions is kept: those with trouble, all, or all with every command and reply.";
        log_subfolder_scheme: FolderScheme = "weekly", "Log Subfolder Scheme",
            "How those copies are sorted into dated folders.";
        log_messages: bool = "off", "Log Messages",
            "Keep a copy of each file that was received, below the connector’s folder in Log, as long as transcripts are kept. \
             Where the disk cannot share blocks it takes the room twice.";
        receipts_keep_days: KeepDays = "", "Receipts kept",
            "Days this connector’s rows of the Receive table are kept, or forever. Empty is as in Settings.";
        transfers_keep_days: KeepDays = "", "Transfers kept",
            "Days the records of this connector’s uploads and downloads are kept, or forever. Empty is as in Settings.";
        sent_keep_days: KeepDays = "", "Sent copies kept",
            "Days the copies in this connector’s Sent folder are kept, or forever. Empty is as in Settings.";
        folder: FolderText = "", "Folder",
            "Where files land that are passed along to it. Empty is a folder of the connector’s name; a relative path \
             lies below the Root Directory.";
        keep_days: Option<Whole<1, 36_500>> = "", "Files kept",
            "Days a file that was passed along to this folder stays there. Empty keeps it for ever.";
        keep_order: bool = "on", "Keep order",
            "Deliver files in the order they came: one that cannot be delivered holds up those behind it.";
        url: Option<WebAddress> = "", "Address",
            "Where each file or event is posted to, such as https://erp.example.com/inbound.";
        alerts: AlertsFrom = "global", "Alerts of this connector",
            "Whether what is set below counts. Alerts that concern no partner, such as a full disk, stay as in Profiles, Mail.";
        alert_subject: Option<Subject> = "", "Subject begins with",
            "What the subject of this connector’s alerts begins with. Empty: as in Profiles, Mail.";
        alert_to: MailAddresses = "", "Recipients of alerts",
            "Who is told when something is wrong with this connector, separated by commas. Empty: as in Profiles, Mail.";
        alert_on: PartnerAlertKinds = "delivery_failed,action_failed,sla_at_risk,sla_violated,sla_late,refusals_many,partner_not_seen,storage_failing", "Alerts",
            "What somebody is told of by mail: once for each change.";
        alert_refusals_per_hour: Option<Whole<1, 1_000_000>> = "", "Refusals in an hour",
            "More than so many refusals of this partner in an hour are told, once. Empty: as in Profiles, Mail.";
        alert_not_seen_days: Option<Whole<1, 3_650>> = "", "Not seen for",
            "Tell when this partner has not signed in for longer than so many days. Empty: as in Profiles, Mail.";
        body: WebhookBody = "event", "Body",
            "What is posted. A receiver of events fetches the file by other means.";
        program: Option<ProgramName> = "", "Program",
            "The file to run, directly in the folder of programs that was given at start.";
        arguments: Arguments = "", "Arguments",
            "Separated by blanks or lines; quotes hold one together. {path} is a copy of the file for this run; macros \
             such as %Filename% and %ConnectorId% as in the Local File Scheme. No shell reads them.";
    }
}

impl ConnectorSettings {
    /// These settings, if the connector has alerts of its own.
    pub fn own_alerts(&self) -> Option<&Self> {
        (self.alerts == AlertsFrom::Own).then_some(self)
    }

    /// Reads and checks all of it, including rules across values.
    pub fn parse(texts: &Texts) -> Result<Self, Vec<Mistake>> {
        let settings = Self::read(texts)?;
        let mistakes = settings.mistakes();
        if mistakes.is_empty() { Ok(settings) } else { Err(mistakes) }
    }

    /// Violations of rules across values.
    fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        let mut wrong = |key, message: String| mistakes.push(Mistake::new(key, message));
        if self.r#type == ConnectorType::Command && self.program.is_none() {
            let message = "A Command needs the name of the program it runs, such as import-orders";
            wrong("program", message.to_owned());
        }
        if self.r#type == ConnectorType::Webhook && self.url.is_none() {
            let message = "A Webhook needs the address it posts to, such as https://erp.example.com/inbound";
            wrong("url", message.to_owned());
        }
        if self.require_tls == ConnectorTls::PlainAllowed && self.allowed_addresses.is_empty() {
            wrong(
                "require_tls",
                "Plain allowed needs Allowed addresses: clear text is taken from known addresses only".to_owned(),
            );
        }
        if self.client_certificate != ClientCertificate::None && self.client_certificate_match.is_none() {
            let message = "An empty value is no certificate; write sha256:… or ca:NAME subject:…, which says which one is the \
                           partner’s, or choose None in Client certificate";
            wrong("client_certificate_match", message.to_owned());
        }
        if let (Some(send), Some(receive)) = (self.send_alias.name(), self.receive_alias.name())
            && self.send_alias.matches(receive.as_str())
        {
            wrong("receive_alias", format!("{receive} is the alias of Send too ({send}); choose another"));
        }
        if let (Some(from), Some(until)) = (self.valid_from, self.valid_until)
            && from.start() >= until.end()
        {
            let message = format!("{} lies before Valid from, {}; choose a later day", until.text(), from.text());
            wrong("valid_until", message);
        }
        let (input, output) = (&self.input_folder, &self.output_folder);
        if !input.is_empty() && !output.is_empty() && FolderText::overlap(input.as_str(), output.as_str()) {
            let message = format!(
                "{} is, holds or lies in the Input Folder, {}; Send and Receive need folders of their own",
                output.as_str(),
                input.as_str()
            );
            wrong("output_folder", message);
        }
        mistakes
    }

    /// Settings that may be intended, but seldom are.
    pub fn warnings(&self, profile: &Profile) -> Vec<Mistake> {
        let mut warnings = self.encryption_warnings(profile);
        let mut warn = |key, message: String| warnings.push(Mistake::new(key, message));
        if !self.receive_write {
            warn("receive_write", "Receive has no Write: nobody can upload to it".to_owned());
        }
        if !(self.send_read || self.send_write || self.receive_read || self.receive_write) {
            warn("send_read", "Nothing is allowed in either folder: the partner can sign in and do nothing".to_owned());
        }
        if self.allowed_files_filter.own().is_some_and(Filter::accepts_nothing) {
            let message = format!("{} excludes every file", self.allowed_files_filter.text());
            warn("allowed_files_filter", message);
        }
        if self.local_file_scheme.is_constant() && self.overwrite == Overwrite::Replace {
            let message = format!(
                "{} gives every file the same name, and each replaces the one before; add a macro such as %Seq%",
                self.local_file_scheme.text()
            );
            warn("local_file_scheme", message);
        }
        warnings
    }

    fn encryption_warnings(&self, profile: &Profile) -> Vec<Mistake> {
        let own = match self.require_tls {
            ConnectorTls::AsProfile => return Vec::new(),
            ConnectorTls::Login => RequireTls::Login,
            ConnectorTls::LoginAndData => RequireTls::LoginAndData,
            ConnectorTls::PlainAllowed => RequireTls::None,
        };
        let message = if own != RequireTls::None && profile.ftp_over_tls == FtpOverTls::None {
            let own = own.short();
            format!("{own} keeps this partner out while FTP Over TLS is None in the FTP Server profile")
        } else if own < profile.require_tls {
            format!(
                "{} is weaker than {} of the FTP Server profile, for this partner only",
                self.require_tls.short(),
                profile.require_tls.short()
            )
        } else {
            return Vec::new();
        };
        vec![Mistake::new("require_tls", message)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(pairs: &[(&str, &str)]) -> Texts {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn said(pairs: &[(&str, &str)]) -> Vec<String> {
        ConnectorSettings::parse(&texts(pairs)).unwrap_err().iter().map(ToString::to_string).collect()
    }

    fn warned(profile: &[(&str, &str)], pairs: &[(&str, &str)]) -> Vec<String> {
        let profile = Profile::parse(&texts(profile)).unwrap();
        let settings = ConnectorSettings::parse(&texts(pairs)).unwrap();
        settings.warnings(&profile).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_keys_and_defaults_are_those_of_the_command_line() {
        let table: Vec<_> = ConnectorSettings::SETTINGS.iter().map(|s| format!("{}={}", s.key, s.default)).collect();
        assert_eq!(
            table.join(" "),
            "type=ftp_server description= group= enabled=on valid_from= valid_until= password_overlap_h=0 \
             start_folder=/ send_alias= receive_alias= name_encoding=utf-8 list_time_zone=UTC send_read=on \
             send_write=off receive_read=on receive_write=on delete_collected=on allowed_addresses= \
             require_tls=as_profile tls_session_reuse=as_profile tls_end=as_profile active_mode=as_profile \
             client_certificate=none client_certificate_match= input_folder= output_folder= received_file_mode=0640 \
             allowed_files_filter=as_profile remove_file_after_send=off \
             temp_receive_extensions=.tmp,.part,.partial,.filepart,.in.* timeout_s=60 stall_timeout_s=300 \
             save_subfolder=off local_file_scheme=%Filename% overwrite=replace append=each ascii_uploads=keep \
             settle_s=2 send_settle_s=2 sessions_max= upload_bytes_per_s= download_bytes_per_s= file_bytes_max= \
             quota_bytes= quota_files= save_to_sent_folder=off sent_folder_scheme=monthly log_level=info \
             log_subfolder_scheme=weekly log_messages=off receipts_keep_days= transfers_keep_days= \
             sent_keep_days= folder= keep_days= keep_order=on url= alerts=global alert_subject= alert_to= \
             alert_on=delivery_failed,action_failed,sla_at_risk,sla_violated,sla_late,refusals_many,partner_not_seen,storage_failing \
             alert_refusals_per_hour= alert_not_seen_days= body=event \
             program= arguments="
        );
    }

    #[test]
    fn the_defaults_are_whole_quiet_and_read_back() {
        let defaults = ConnectorSettings::default();
        assert_eq!(ConnectorSettings::parse(&Texts::new()).as_ref(), Ok(&defaults));
        assert_eq!(ConnectorSettings::parse(&defaults.texts()).as_ref(), Ok(&defaults));
        assert_eq!(defaults.warnings(&Profile::default()), []);
        for setting in ConnectorSettings::SETTINGS {
            assert!(setting.hint.len() > 20 && setting.hint.ends_with('.'), "{} needs a hint", setting.key);
            assert_eq!(defaults.texts()[setting.key], setting.default, "{}", setting.key);
        }
    }

    #[test]
    fn the_password_is_no_setting_that_is_stored() {
        assert!(ConnectorSettings::setting("password").is_none());
        assert_eq!(said(&[("password", "x")]), ["password: There is no setting password."]);
    }

    #[test]
    fn the_folder_filter_and_certificate_rules_are_told_with_the_words_of_the_form() {
        let plain = said(&[("require_tls", "plain_allowed")]);
        assert!(plain[0].starts_with("require_tls: Plain allowed needs Allowed addresses"));
        let certificate = said(&[("client_certificate", "only")]);
        assert!(certificate[0].starts_with("client_certificate_match: An empty value is no certificate"));
        let aliases = said(&[("send_alias", "box"), ("receive_alias", "BOX")]);
        assert_eq!(aliases, ["receive_alias: BOX is the alias of Send too (box); choose another"]);
        let dates = said(&[("valid_from", "2026-02-01"), ("valid_until", "2026-01-31")]);
        assert!(dates[0].contains("2026-01-31 lies before Valid from, 2026-02-01"));
        let folders = said(&[("input_folder", "a"), ("output_folder", "a/b/")]);
        assert!(folders[0].starts_with("output_folder: a/b is, holds or lies in the Input Folder, a;"));
        for fine in [
            &[("require_tls", "plain_allowed"), ("allowed_addresses", "10.0.0.0/8")][..],
            &[("client_certificate", "only"), ("client_certificate_match", "ca:x subject:CN=acme")],
            &[("valid_from", "2026-02-01"), ("valid_until", "2026-02-01")],
            &[("input_folder", "a/Send"), ("output_folder", "a/Receive")],
        ] {
            assert!(ConnectorSettings::parse(&texts(fine)).is_ok(), "{fine:?}");
        }
    }

    #[test]
    fn what_is_seldom_meant_is_warned_of() {
        assert!(warned(&[], &[("receive_write", "off")])[0].contains("nobody can upload"));
        let nothing = warned(&[], &[("receive_write", "off"), ("receive_read", "off"), ("send_read", "off")]);
        assert!(nothing[1].contains("do nothing"));
        assert!(warned(&[], &[("require_tls", "login")])[0].contains("Login is weaker than Login and data"));
        let plain = warned(&[], &[("require_tls", "plain_allowed"), ("allowed_addresses", "10.0.0.0/8")]);
        assert!(plain[0].contains("Plain allowed is weaker"));
        let clear = [("ftp_over_tls", "none"), ("require_tls", "none")];
        assert!(warned(&clear, &[("require_tls", "login")])[0].contains("keeps this partner out"));
        assert_eq!(warned(&[("require_tls", "none")], &[("require_tls", "login")]), [""; 0]);
        assert!(warned(&[], &[("allowed_files_filter", "-*")])[0].contains("excludes every file"));
        assert!(warned(&[], &[("local_file_scheme", "orders.edi")])[0].contains("the same name"));
        assert_eq!(warned(&[], &[("local_file_scheme", "orders.edi"), ("overwrite", "keep_both")]), [""; 0]);
    }

    #[test]
    fn an_own_filter_replaces_the_profiles_and_reads_back() {
        let settings = ConnectorSettings::parse(&texts(&[("allowed_files_filter", "*")])).unwrap();
        assert_eq!(settings.texts()["allowed_files_filter"], "*");
        assert!(settings.allowed_files_filter.own().is_some());
        let empty = ConnectorSettings::parse(&texts(&[("allowed_files_filter", "")])).unwrap();
        assert_eq!(empty.texts()["allowed_files_filter"], "as_profile");
    }

    /// For each key, a few values that an administrator may type.
    const TYPED: &[(&str, &[&str])] = &[
        ("description", &["Acme, orders", "Ünïcode = fine"]),
        ("enabled", &["off", "yes"]),
        ("valid_from", &["2026-01-01", "2026-01-01T12:00:00+01:00"]),
        ("valid_until", &["2027-01-01", "2026-12-01T12:00:00.5Z"]),
        ("start_folder", &["receive/in", "/Send"]),
        ("send_alias", &["Outbox"]),
        ("receive_alias", &["Inbox", "in box"]),
        ("name_encoding", &["latin1", "UTF8"]),
        ("list_time_zone", &["europe/berlin"]),
        ("allowed_addresses", &["10.0.0.1/8\n2001:db8::1", "192.0.2.1"]),
        ("tls_session_reuse", &["require", "as_profile", ""]),
        ("active_mode", &["on", "off"]),
        ("client_certificate_match", &["ca:Partners subject:CN=acme"]),
        ("input_folder", &["/srv/send/", "a//Send"]),
        ("output_folder", &["/srv/receive/", "a/./Receive"]),
        ("received_file_mode", &["660", "0600"]),
        ("allowed_files_filter", &["*", "*.{x12,edi} , -draft*", "\\-x,[a,b]"]),
        ("temp_receive_extensions", &["", "tmp,*.part,.in.*"]),
        ("local_file_scheme", &["%Seq%-%Filename%", "%DateFormat:yyyyMMdd%%%%Ext%"]),
        ("program", &["import.sh"]),
        ("arguments", &["--in {path} '%Filename% x'\r\n--id %MessageId%", ""]),
        ("sessions_max", &["1", "100000"]),
        ("sent_keep_days", &["7", "Forever", ""]),
        ("file_bytes_max", &["10mib", "1000", "1536 KiB"]),
    ];

    proptest! {
        #[test]
        fn what_is_typed_reads_back_from_its_text(picks in prop::collection::vec(any::<Option<usize>>(), TYPED.len())) {
            let picked = TYPED.iter().zip(picks).filter_map(|((key, values), pick)| {
                Some(((*key).to_owned(), values[pick? % values.len()].to_owned()))
            });
            let settings = ConnectorSettings::parse(&picked.collect()).unwrap();
            prop_assert_eq!(ConnectorSettings::parse(&settings.texts()), Ok(settings));
        }
    }
}
