//! The settings of the appliance as a whole (PRODUCT section 13).

use super::flow::Retries;
use super::setting::{Mistake, Texts};
use super::value::{CertificateNames, HostNames, HostOrAddress, Networks, Whole, ZoneName};
use crate::settings;

settings! {
    /// The settings of the appliance as a whole.
    pub struct ApplianceSettings {
        public_host: Option<HostOrAddress> = "", InForce, "Host name shown to partners",
            "What partners connect to, on partner sheets and in connection details. Empty shows this host's own name.";
        time_zone: ZoneName = "UTC", InForce, "Time zone",
            "Dates in stored names and on pages, such as Europe/Berlin.";
        web_hosts: HostNames = "", InForce, "Web host names",
            "Host names and addresses the web interface answers to, besides the ones it listens on. One a line.";
        web_https: bool = "off", InForce, "HTTPS for the web interface",
            "Browsers come by https:// then, and sign in anew. Needed where pages are read from other machines.";
        web_certificates: CertificateNames = "", InForce, "Certificates of the web interface",
            "Names of certificates of the store, the first presented when no other fits. Empty takes the FTP server's.";
        receipts_keep_days: Option<Whole<1, 36_500>> = "", InForce, "Receipts kept",
            "Days a row of the Receive table is kept; the file itself stays, but counts for no quota any more. Empty keeps it \
             for ever.";
        transfers_keep_days: Option<Whole<1, 36_500>> = "90", InForce, "Transfers kept",
            "Days the record of an upload or download is kept. Empty keeps it for ever.";
        events_keep_days: Option<Whole<1, 36_500>> = "90", InForce, "Events kept",
            "Days events and refusals are kept. Empty keeps them for ever.";
        sent_keep_days: Option<Whole<1, 36_500>> = "90", InForce, "Sent copies kept",
            "Days a copy in the Sent folder is kept. Empty keeps it for ever.";
        delivery_retries: Whole<0, 1_000> = "10", InForce, "Retries",
            "How often a delivery that failed is tried again before it is given up.";
        delivery_retry_first_s: Whole<1, 86_400> = "60", InForce, "First retry",
            "Seconds between a failed delivery and its first retry; each next wait is twice as long.";
        delivery_retry_longest_s: Whole<1, 604_800> = "3600", InForce, "Longest wait",
            "Seconds the wait between two retries grows to.";
        webhook_networks: Networks = "", InForce, "Networks that webhooks may reach",
            "Loopback, private and link-local addresses that webhooks may post to, such as 10.1.2.0/24. One a line.";
    }
}

impl ApplianceSettings {
    /// Reads and checks all of it.
    pub fn parse(texts: &Texts) -> Result<Self, Vec<Mistake>> {
        Self::read(texts)
    }

    /// When deliveries are tried again.
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
            "public_host= time_zone=UTC web_hosts= web_https=off web_certificates= receipts_keep_days= transfers_keep_days=90 events_keep_days=90 \
             sent_keep_days=90 delivery_retries=10 delivery_retry_first_s=60 delivery_retry_longest_s=3600 webhook_networks="
        );
        let defaults = ApplianceSettings::default();
        assert_eq!(ApplianceSettings::parse(&defaults.texts()), Ok(defaults));
    }
}
