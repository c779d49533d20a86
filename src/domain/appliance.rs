//! The settings of the appliance as a whole (PRODUCT section 13).

use super::setting::{Mistake, Texts};
use super::value::{CertificateNames, HostNames, HostOrAddress, Whole, ZoneName};
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
        receipts_keep_days: Option<Whole<1, 36_500>> = "", NotYet, "Receipts kept",
            "Days a row of the Receive table is kept. Empty keeps it for ever.";
        transfers_keep_days: Option<Whole<1, 36_500>> = "90", NotYet, "Transfers kept",
            "Days the record of an upload or download is kept. Empty keeps it for ever.";
        events_keep_days: Option<Whole<1, 36_500>> = "90", NotYet, "Events kept",
            "Days an event and its deliveries are kept. Empty keeps them for ever.";
        sent_keep_days: Option<Whole<1, 36_500>> = "90", NotYet, "Sent copies kept",
            "Days a copy in the Sent folder is kept. Empty keeps it for ever.";
    }
}

impl ApplianceSettings {
    /// Reads and checks all of it.
    pub fn parse(texts: &Texts) -> Result<Self, Vec<Mistake>> {
        Self::read(texts)
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
             sent_keep_days=90"
        );
        let defaults = ApplianceSettings::default();
        assert_eq!(ApplianceSettings::parse(&defaults.texts()), Ok(defaults));
    }
}
