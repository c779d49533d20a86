//! The FTP server's settings (PRODUCT section 3), parsed.

use super::filter::Filter;
use super::setting::{Mistake, Texts};
use super::value::{
    AddressExceptions, CertificateNames, DiskReserve, FolderText, FtpOverTls, HostOrAddress, ListenAddress, LogLevel,
    Networks, PortRange, RequireTls, SessionReuse, TlsEnd, TlsVersions, Welcome, Whole,
};
use crate::settings;

settings! {
    /// The settings of the FTP server as a whole.
    pub struct Profile {
        port: Whole<1, 65_535> = "8021", "Port",
            "Where clients connect. Below 1024 needs permission from the system.";
        listen_address: ListenAddress = "::", "Listen Address",
            "The local address to listen on. :: is every address.";
        ftp_over_tls: FtpOverTls = "explicit", "FTP Over TLS",
            "How encryption starts when a client connects.";
        explicit_port: Option<Whole<1, 65_535>> = "", "Explicit port beside Implicit",
            "With Implicit, a second port for clients that start with AUTH TLS. Empty has none.";
        require_tls: RequireTls = "login_and_data", "Require TLS",
            "Refuse logins, or logins and transfers, in clear text.";
        certificates: CertificateNames = "", "Server TLS Certificate",
            "Presented to every client; of several, the one that fits the name the client asks for. Empty is the \
             one by ACME if there is one, then the self-signed one made at first start.";
        tls_protocols: TlsVersions = "1.2,1.3", "TLS Enabled Protocols",
            "SSL and TLS 1.0 and 1.1 are not offered: they have been broken for years.";
        tls_session_reuse: SessionReuse = "log", "TLS session reuse on data connections",
            "Whether a data connection must prove that it belongs to its control connection. Some clients cannot.";
        tls_end: TlsEnd = "strict", "TLS end of upload",
            "Whether an upload over TLS must be closed by TLS, which proves that nothing was cut off.";
        welcome_message: Welcome = "File exchange. Authorised use only.", "Welcome Message",
            "Shown as the 220 greeting, before login. Don't name the product or its version.";
        root_directory: FolderText = "partners", "Root Directory",
            "Each connector gets a folder here that holds Send and Receive. A relative path lies below the data \
             folder. Moving it copies nothing: move the files first.";
        allowed_files_filter: Filter = "", "Allowed Files Filter",
            "Patterns with * and ?, separated by commas. A minus in front excludes. Empty accepts every name. A \
             connector can replace this with its own.";
        active_mode: bool = "off", "Active Mode",
            "Also let the server connect back to the client (PORT and EPRT), only to the address the client signed \
             in from.";
        inactivity_timeout_s: Whole<0, 86_400> = "300", "Inactivity Timeout",
            "Seconds without a command or a moving transfer before a session is closed. 0 never closes it.";
        passive_port_range: Option<PortRange> = "", "Passive Port Range",
            "start-end, or start- for that port and above. Open the same range in the firewall. Empty uses any free \
             port.";
        passive_address: Option<HostOrAddress> = "", "Passive Address",
            "The IPv4 address, or a name that resolves to one, handed to clients. Empty uses the local address, which \
             only works inside your network.";
        passive_address_exceptions: AddressExceptions = "", "Passive Address exceptions",
            "Another address for the clients of a network, one a line: 10.0.0.0/8=10.0.4.12.";
        mode_z: bool = "off", "MODE Z",
            "Let clients deflate listings and files on the way. An upload that inflates to more than 250 times its size \
             is refused.";
        sessions_max: Whole<1, 100_000> = "1000", "Sessions in all",
            "Most sessions at a time. One more is answered with 421.";
        sessions_per_address_max: Whole<1, 100_000> = "200", "Sessions per address",
            "Most sessions at a time from one address.";
        sessions_per_connector_max: Whole<1, 100_000> = "50", "Sessions per connector",
            "Most sessions at a time of one connector; a connector can have its own number.";
        block_after_failures: Whole<1, 10_000> = "10", "Block after failures",
            "A name that keeps failing from an address waits after so many failures.";
        block_window_s: Whole<1, 86_400> = "300", "Failures counted over",
            "Seconds within which the failures must happen.";
        block_for_s: Whole<1, 2_592_000> = "900", "Blocked for",
            "Seconds that a block lasts.";
        guard_allow: Networks = "", "Never blocked",
            "Addresses and ranges that are never delayed or blocked, one a line.";
        proxy_protocol_from: Networks = "", "PROXY protocol from",
            "Addresses and ranges of load balancers that tell the client's address, one a line. Empty has none.";
        disk_reserve: DiskReserve = "", "Disk reserve",
            "What stays free on the disk: bytes, such as 2 GiB, or a share, such as 5%. Empty is the smaller of 256 \
             MiB and 1%.";
        unfinished_keep_h: Whole<1, 87_600> = "24", "Unfinished uploads kept",
            "Hours after which an upload that was not finished is removed.";
        log_level: LogLevel = "info", "Log Level",
            "How much of what happens is logged. Passwords never are.";
        log_keep_days: Whole<0, 3_650> = "30", "Transcripts kept",
            "Days that the records of sessions, what was said in them and the transcripts of refusals are kept. 0 keeps none.";
    }
}

/// The shortest Inactivity Timeout, if it is on.
const INACTIVITY_S_MIN: u64 = 10;
/// With fewer passive ports than this, clients soon wait for each other.
const PASSIVE_PORTS_FEW: u32 = 10;

impl Profile {
    /// Reads and checks all of it, including rules across values.
    pub fn parse(texts: &Texts) -> Result<Self, Vec<Mistake>> {
        let profile = Self::read(texts)?;
        let mistakes = profile.mistakes();
        if mistakes.is_empty() { Ok(profile) } else { Err(mistakes) }
    }

    /// Violations of rules across values.
    fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        let mut wrong = |key, message: String| mistakes.push(Mistake::new(key, message));
        if self.ftp_over_tls == FtpOverTls::None && self.require_tls != RequireTls::None {
            wrong(
                "require_tls",
                format!(
                    "{} cannot be met while FTP Over TLS is None; choose None here, or Explicit or Implicit there",
                    self.require_tls.short()
                ),
            );
        }
        let explicit = self.explicit_port.map(Whole::port);
        if explicit.is_some_and(|_| self.ftp_over_tls != FtpOverTls::Implicit) {
            let message = format!(
                "{} is for FTP Over TLS Implicit only; leave it empty while that is {}",
                explicit.unwrap_or_default(),
                self.ftp_over_tls.short()
            );
            wrong("explicit_port", message);
        }
        if explicit == Some(self.port.port()) {
            let other = if self.port.get() == 8021 { 8022 } else { 8021 };
            let message = format!("{} is the Port already; choose another, such as {other}", self.port.get());
            wrong("explicit_port", message);
        }
        let seconds = self.inactivity_timeout_s.get();
        if (1..INACTIVITY_S_MIN).contains(&seconds) {
            let message = format!("{seconds} is too short; write 0 for never, or {INACTIVITY_S_MIN} to 86400 seconds");
            wrong("inactivity_timeout_s", message);
        }
        if self.root_directory.is_empty() {
            wrong("root_directory", "An empty value is no folder; the usual one is partners".to_owned());
        }
        for own in [Some(self.port.port()), explicit].into_iter().flatten() {
            if let Some(range) = self.passive_port_range.filter(|range| range.contains(own)) {
                let message = format!(
                    "{}-{} holds port {own}, where clients connect; choose a range without it, such as 50000-50199",
                    range.first, range.last
                );
                wrong("passive_port_range", message);
            }
        }
        mistakes
    }

    /// Settings that may be intended, but seldom are.
    pub fn warnings(&self) -> Vec<Mistake> {
        let mut warnings = Vec::new();
        let mut warn = |key, message: String| warnings.push(Mistake::new(key, message));
        if self.require_tls == RequireTls::None {
            let message = if self.ftp_over_tls == FtpOverTls::None {
                "None: all passwords and files cross the network in clear text"
            } else {
                "None: clients that don't ask for TLS send passwords and files in clear text"
            };
            warn("require_tls", message.to_owned());
        }
        if let Some(range) = self.passive_port_range
            && range.count() < PASSIVE_PORTS_FEW
        {
            let count = range.count();
            let message =
                format!("Each listing and transfer needs a port, and there are {count}; 10 or more are usual");
            warn("passive_port_range", message);
        }
        if let Some(told) = self.welcome_message.lines().find_map(product_or_version) {
            let message = format!("{told} tells strangers what runs here; leave out product and version");
            warn("welcome_message", message);
        }
        if self.allowed_files_filter.accepts_nothing() {
            let message = format!("{} excludes every file", super::setting::Value::text(&self.allowed_files_filter));
            warn("allowed_files_filter", message);
        }
        for (key, max) in [
            ("sessions_per_address_max", self.sessions_per_address_max.get()),
            ("sessions_per_connector_max", self.sessions_per_connector_max.get()),
        ] {
            let all = self.sessions_max.get();
            if max > all {
                warn(key, format!("{max} is never reached: {all} sessions are allowed in all"));
            }
        }
        warnings
    }
}

/// The word of a greeting that names such a product or looks like a version.
fn product_or_version(line: &str) -> Option<&str> {
    const PRODUCTS: [&str; 9] =
        ["waybill", "proftpd", "vsftpd", "pure-ftpd", "filezilla", "crushftp", "serv-u", "wu-ftpd", "sftpgo"];
    line.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_alphanumeric())).find(|word| {
        let lower = word.to_lowercase();
        let numbers: Vec<&str> = lower.trim_start_matches('v').split('.').collect();
        let numeric = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let version = (2..=3).contains(&numbers.len()) && numbers.iter().all(numeric);
        version || PRODUCTS.contains(&lower.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::setting::Input;
    use proptest::prelude::*;

    fn texts(pairs: &[(&str, &str)]) -> Texts {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn said(pairs: &[(&str, &str)]) -> Vec<String> {
        Profile::parse(&texts(pairs)).unwrap_err().iter().map(ToString::to_string).collect()
    }

    fn warned(pairs: &[(&str, &str)]) -> Vec<String> {
        Profile::parse(&texts(pairs)).unwrap().warnings().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_keys_and_defaults_are_those_of_the_command_line() {
        let table: Vec<_> = Profile::SETTINGS.iter().map(|s| format!("{}={}", s.key, s.default)).collect();
        assert_eq!(
            table.join(" "),
            "port=8021 listen_address=:: ftp_over_tls=explicit explicit_port= require_tls=login_and_data \
             certificates= tls_protocols=1.2,1.3 tls_session_reuse=log tls_end=strict \
             welcome_message=File exchange. Authorised use only. root_directory=partners allowed_files_filter= \
             active_mode=off inactivity_timeout_s=300 passive_port_range= passive_address= \
             passive_address_exceptions= mode_z=off sessions_max=1000 sessions_per_address_max=200 \
             sessions_per_connector_max=50 block_after_failures=10 block_window_s=300 block_for_s=900 guard_allow= \
             proxy_protocol_from= disk_reserve= unfinished_keep_h=24 log_level=info log_keep_days=30"
        );
    }

    #[test]
    fn the_defaults_are_whole_quiet_and_read_back() {
        let defaults = Profile::default();
        assert_eq!(Profile::parse(&Texts::new()).as_ref(), Ok(&defaults));
        assert_eq!(Profile::parse(&defaults.texts()).as_ref(), Ok(&defaults));
        assert_eq!(defaults.warnings(), []);
        assert_eq!(defaults.texts().len(), Profile::SETTINGS.len());
        for setting in Profile::SETTINGS {
            assert!(setting.hint.len() > 20 && setting.hint.ends_with('.'), "{} needs a hint", setting.key);
            assert_eq!(defaults.texts()[setting.key], setting.default, "{}", setting.key);
        }
    }

    #[test]
    fn a_setting_is_found_with_its_unit() {
        let setting = Profile::setting("inactivity_timeout_s").unwrap();
        assert_eq!(setting.input, Input::Number("seconds"));
        assert_eq!(Profile::setting("unfinished_keep_h").unwrap().input, Input::Number("hours"));
        assert_eq!(Profile::setting("log_keep_days").unwrap().input, Input::Number("days"));
        assert_eq!(Profile::setting("port").unwrap().input, Input::Number(""));
        assert!(Profile::setting("colour").is_none());
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let said = said(&[("port", "70000"), ("prot", "1"), ("active_mode", "maybe")]);
        assert_eq!(
            said,
            [
                "prot: There is no setting prot. Did you mean port?",
                "port: 70000 isn't a whole number from 1 to 65535",
                "active_mode: maybe is neither on nor off",
            ]
        );
    }

    #[test]
    fn what_values_must_fulfil_together_is_checked() {
        assert_eq!(
            said(&[("ftp_over_tls", "none")]),
            ["require_tls: Login and data cannot be met while FTP Over TLS is None; choose None here, or Explicit or \
              Implicit there"]
        );
        assert!(said(&[("explicit_port", "2121")])[0].contains("FTP Over TLS Implicit only"));
        assert!(said(&[("ftp_over_tls", "implicit"), ("explicit_port", "8021")])[0].ends_with("such as 8022"));
        assert!(Profile::parse(&texts(&[("ftp_over_tls", "implicit"), ("explicit_port", "2121")])).is_ok());
        assert!(said(&[("inactivity_timeout_s", "9")])[0].contains("write 0 for never"));
        for fine in ["0", "10"] {
            assert!(Profile::parse(&texts(&[("inactivity_timeout_s", fine)])).is_ok());
        }
        assert!(said(&[("root_directory", "")])[0].contains("partners"));
        assert!(said(&[("passive_port_range", "1024-")])[0].contains("1024-65535 holds port 8021"));
        assert_eq!(said(&[("ftp_over_tls", "none"), ("inactivity_timeout_s", "1")]).len(), 2);
    }

    #[test]
    fn what_is_seldom_meant_is_warned_of() {
        assert!(warned(&[("require_tls", "none")])[0].contains("clear text"));
        assert!(warned(&[("require_tls", "none"), ("ftp_over_tls", "none")])[0].contains("all passwords"));
        assert!(warned(&[("passive_port_range", "50000-50008")])[0].contains("there are 9"));
        assert_eq!(warned(&[("passive_port_range", "50000-50009")]), [""; 0]);
        assert!(warned(&[("welcome_message", "Welcome to ProFTPD!")])[0].contains("ProFTPD tells"));
        assert!(warned(&[("welcome_message", "Exchange\nserver v1.3.5")])[0].contains("v1.3.5 tells"));
        assert_eq!(warned(&[("welcome_message", "This is 203.0.113.80, open 9 to 17.")]), [""; 0]);
        assert!(warned(&[("allowed_files_filter", "-*")])[0].contains("excludes every file"));
        assert!(
            warned(&[("sessions_max", "20"), ("sessions_per_address_max", "10")])[0].contains("50 is never reached")
        );
    }

    /// For each key, a few values that an administrator may type.
    const TYPED: &[(&str, &[&str])] = &[
        ("port", &["2121", " 21 "]),
        ("listen_address", &["0.0.0.0", "[::1]"]),
        ("ftp_over_tls", &["IMPLICIT"]),
        ("require_tls", &["none", "login"]),
        ("certificates", &["files, other,files"]),
        ("tls_protocols", &["1.3", "1.3,1.2"]),
        ("welcome_message", &["", "One\r\nTwo\r\n"]),
        ("root_directory", &["/srv/partners/", "a/b"]),
        ("allowed_files_filter", &["*.x12, *.edi", "-*.tmp"]),
        ("inactivity_timeout_s", &["0", "86400"]),
        ("passive_port_range", &["50000-", "50000-50199", "50000"]),
        ("passive_address", &["203.0.113.80", "Files.Example.com."]),
        ("passive_address_exceptions", &["10.0.0.0/8 = 10.0.4.12\n192.0.2.7=10.0.4.13"]),
        ("guard_allow", &["::ffff:10.0.0.0/104", "192.0.2.7"]),
        ("disk_reserve", &["5 %", "2048MiB", "0"]),
        ("log_level", &["trace"]),
    ];

    proptest! {
        #[test]
        fn what_is_typed_reads_back_from_its_text(picks in prop::collection::vec(any::<Option<usize>>(), TYPED.len())) {
            let picked = TYPED.iter().zip(picks).filter_map(|((key, values), pick)| {
                Some(((*key).to_owned(), values[pick? % values.len()].to_owned()))
            });
            let profile = Profile::parse(&picked.collect()).unwrap();
            prop_assert_eq!(Profile::parse(&profile.texts()), Ok(profile));
        }
    }
}
