//! The settings of the appliance as a whole (PRODUCT section 13).

use std::net::IpAddr;

use super::acme::Wish;
use super::flow::Retries;
use super::setting::{Mistake, Texts};
use super::value::{
    AcmeChallenge, AlertKinds, CertificateNames, FolderText, HostNames, HostOrAddress, Label, ListenAddress, LogTarget,
    MailAddress, MailAddresses, MailTls, Networks, Subject, TimeOfDay, WebAddress, Whole, ZoneName,
};
use crate::settings;

settings! {
    /// The settings of the appliance as a whole.
    pub struct ApplianceSettings {
        public_host: Option<HostOrAddress> = "", "Host name shown to partners",
            "What partners connect to, on partner sheets and in connection details. Empty shows this host's own name.";
        time_zone: ZoneName = "UTC", "Time zone",
            "Whose clock dates in stored names, in folders of copies and of nightly backups are of, such as Europe/Berlin. Pages \
             show UTC or the browser’s zone, as each reader chooses.";
        web_hosts: HostNames = "", "Web host names",
            "Host names and addresses the web interface answers to, besides the ones it listens on. One a line.";
        web_https: bool = "off", "HTTPS for the web interface",
            "Browsers come by https:// then, and sign in anew. Needed where pages are read from other machines.";
        web_certificates: CertificateNames = "", "Certificates of the web interface",
            "Names of certificates of the store, the first presented when no other fits. Empty takes the FTP server's.";
        acme: bool = "off", "Certificate by ACME",
            "An authority issues the certificate named acme and renews it, over and over. Turning it on agrees to the \
             authority's terms.";
        acme_hosts: HostNames = "", "ACME host names",
            "What partners connect to; the authority must reach each of them. One a line. Empty takes the host name shown \
             to partners.";
        acme_directory: WebAddress = "https://acme-v02.api.letsencrypt.org/directory", "Directory of the authority",
            "Let's Encrypt, or another that speaks RFC 8555; this machine must trust its certificate.";
        acme_contact: Option<MailAddress> = "", "Contact",
            "Whom the authority writes to about its certificates. Many do without.";
        acme_challenge: AcmeChallenge = "http-01", "Challenge",
            "How the authority sees that the names lead here.";
        acme_listen_address: ListenAddress = "::", "Answer on address",
            "The local address on which the authority is answered, only while it asks. :: is every address.";
        acme_port: Option<Whole<1, 65_535>> = "", "Answer on port",
            "Where port 80 or 443 is led on to, if it is led on. Empty is that port itself.";
        receipts_keep_days: Option<Whole<1, 36_500>> = "", "Receipts kept",
            "Days a row of the Receive table is kept; the file itself stays, but counts for no quota any more. Empty keeps it \
             for ever.";
        transfers_keep_days: Option<Whole<1, 36_500>> = "90", "Transfers kept",
            "Days the record of an upload or download is kept. Empty keeps it for ever.";
        events_keep_days: Option<Whole<1, 36_500>> = "90", "Events kept",
            "Days events and refusals are kept. Empty keeps them for ever.";
        sent_keep_days: Option<Whole<1, 36_500>> = "90", "Sent copies kept",
            "Days a copy in the Sent folder is kept. Empty keeps it for ever.";
        log_target: LogTarget = "stderr", "Log goes to",
            "Lines of the application log, as Activity, Logs shows the last of them. Files of the last 30 days stay.";
        backup_at: Option<TimeOfDay> = "", "Every night at",
            "When a backup is made by itself, on the clock of the appliance's time zone, such as 02:30. Empty makes none.";
        backup_keep: Whole<1, 1_000> = "14", "Backups kept",
            "How many backups stay; the oldest goes when a new one is whole.";
        backup_folder: FolderText = "backups", "Folder of backups",
            "Where they lie. A relative path lies below the data folder; another disk is better.";
        delivery_retries: Whole<0, 1_000> = "10", "Retries",
            "How often a delivery that failed is tried again before it is given up.";
        delivery_retry_first_s: Whole<1, 86_400> = "60", "First retry",
            "Seconds between a failed delivery and its first retry; each next wait is twice as long.";
        delivery_retry_longest_s: Whole<1, 604_800> = "3600", "Longest wait",
            "Seconds the wait between two retries grows to.";
        webhook_networks: Networks = "", "Networks that webhooks may reach",
            "Loopback, private and link-local addresses that webhooks may post to, such as 10.1.2.0/24. One a line.";
        mail_host: Option<HostOrAddress> = "", "Mail server",
            "Where mail is handed in by SMTP. Empty: no mail is sent.";
        mail_port: Whole<1, 65_535> = "587", "Port",
            "587 with STARTTLS, 465 with implicit TLS.";
        mail_tls: MailTls = "starttls", "Encryption",
            "A mail server that cannot encrypt gets no mail, unless none is chosen.";
        mail_user: Label = "", "User",
            "Whom the mail server knows this appliance as. Empty: it is not asked for.";
        mail_from: Option<MailAddress> = "", "Sender",
            "The address mail comes from, such as waybill@example.com.";
        mail_to: MailAddresses = "", "Recipients",
            "Who is told, separated by commas. A connector can have recipients of its own.";
        alert_on: AlertKinds = "delivery_failed,action_failed,sla_at_risk,sla_violated,sla_late,refusals_many,partner_not_seen,storage_failing,disk_low,listener_not_bound,certificate_expiring,certificate_failed,backup_failed", "Alerts",
            "What somebody is told of by mail: once for each change.";
        alert_subject: Subject = "Waybill:", "Subject begins with",
            "What the subject of an alert begins with, so that it can be sorted.";
        alerts_per_hour_max: Whole<1, 1_000> = "20", "Letters an hour",
            "At most so many alerts; what comes beyond goes together in the next one.";
        alert_refusals_per_hour: Option<Whole<1, 1_000_000>> = "100", "Refusals in an hour",
            "More than so many refusals of one partner in an hour are told, once. Empty: however many.";
        alert_not_seen_days: Option<Whole<1, 3_650>> = "", "Not seen for",
            "An enabled partner that has not signed in for longer than so many days is told, once. Empty: however long.";
    }
}

impl ApplianceSettings {
    /// Reads and checks all of it.
    pub fn parse(texts: &Texts) -> Result<Self, Vec<Mistake>> {
        let settings = Self::read(texts)?;
        match Wish::of(&settings) {
            Err(mistake) if settings.acme => Err(vec![mistake]),
            _ => Ok(settings),
        }
    }

    /// What to request from an authority; `None` while ACME is off.
    pub fn acme_wish(&self) -> Option<Wish> {
        Wish::of(self).ok().filter(|_| self.acme)
    }

    /// Whether the web interface answers to `host`, without its port. Addresses always pass: only names can be pointed
    /// elsewhere.
    pub fn answers_to(&self, host: &str) -> bool {
        self.web_hosts.contains(host)
            || self.public_host.as_ref().is_some_and(|public| public.to_string().eq_ignore_ascii_case(host))
            || host.eq_ignore_ascii_case("localhost")
            || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
    }

    /// When deliveries are retried.
    pub fn retries(&self) -> Retries {
        Retries {
            most: u32::try_from(self.delivery_retries.count()).unwrap_or(u32::MAX),
            first: self.delivery_retry_first_s.seconds(),
            longest: self.delivery_retry_longest_s.seconds(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_and_defaults_are_those_of_the_command_line() {
        let table: Vec<_> = ApplianceSettings::SETTINGS.iter().map(|s| format!("{}={}", s.key, s.default)).collect();
        assert_eq!(
            table.join(" "),
            "public_host= time_zone=UTC web_hosts= web_https=off web_certificates= acme=off acme_hosts= \
             acme_directory=https://acme-v02.api.letsencrypt.org/directory acme_contact= acme_challenge=http-01 \
             acme_listen_address=:: acme_port= receipts_keep_days= transfers_keep_days=90 events_keep_days=90 \
             sent_keep_days=90 log_target=stderr backup_at= backup_keep=14 backup_folder=backups delivery_retries=10 delivery_retry_first_s=60 delivery_retry_longest_s=3600 webhook_networks= mail_host= mail_port=587 mail_tls=starttls mail_user= mail_from= mail_to= \
             alert_on=delivery_failed,action_failed,sla_at_risk,sla_violated,sla_late,refusals_many,partner_not_seen,storage_failing,disk_low,listener_not_bound,certificate_expiring,certificate_failed,backup_failed \
             alert_subject=Waybill: alerts_per_hour_max=20 alert_refusals_per_hour=100 alert_not_seen_days="
        );
        let defaults = ApplianceSettings::default();
        assert_eq!(ApplianceSettings::parse(&defaults.texts()), Ok(defaults));
    }

    #[test]
    fn it_answers_to_its_names_and_to_every_address() {
        let texts = [("public_host", "ftp.example.com"), ("web_hosts", "mft.example.com")];
        let texts = texts.map(|(key, text)| (key.to_owned(), text.to_owned()));
        let settings = ApplianceSettings::parse(&Texts::from(texts)).unwrap();
        for host in ["FTP.example.com", "mft.EXAMPLE.com", "localhost", "192.0.2.7", "[2001:db8::7]"] {
            assert!(settings.answers_to(host), "{host}");
        }
        for host in ["", "evil.example", "mft.example.com:80@evil.example", "192.0.2.7.evil.example"] {
            assert!(!settings.answers_to(host), "{host}");
        }
    }
}
