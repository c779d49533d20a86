//! The partner sheet: everything a partner needs to connect, except its password. Pure; the forms for people, a
//! terminal and FileZilla are views of the same value.

use std::fmt::Write as _;

use super::connector::Connector;
use super::profile::Profile;
use super::setting::Value;
use super::value::{ConnectorTls, EncodingName, FtpOverTls, RequireTls};

/// How the server proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The hosts that the certificate is for.
    pub names: Vec<String>,
    /// Its last day: `29 March 2027`.
    pub valid_to: String,
    /// SHA-256 of its DER form: `AB:CD:…`.
    pub sha256: String,
    /// Whether it is self-signed.
    pub self_signed: bool,
}

/// One example of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The client.
    pub client: &'static str,
    /// What to type or to write into a script.
    pub text: String,
}

/// Everything a partner needs to connect, except its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sheet {
    /// The host to connect to.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How encryption starts.
    pub tls: FtpOverTls,
    /// The user name.
    pub user: String,
    /// The encoding of file names.
    pub name_encoding: EncodingName,
    /// Labels and values, in order.
    pub facts: Vec<(&'static str, String)>,
    /// The certificate; none without TLS.
    pub proof: Option<Proof>,
    /// Habits that make the exchange go well.
    pub habits: Vec<String>,
    /// Examples for common clients.
    pub examples: Vec<Example>,
}

impl Sheet {
    /// The sheet of a connector. `host` is what partners connect to.
    pub fn new(profile: &Profile, connector: &Connector, host: &str, proof: Option<Proof>) -> Self {
        let settings = &connector.settings;
        let plain = profile.ftp_over_tls == FtpOverTls::None || may_be_plain(profile, connector);
        let protocol = match (profile.ftp_over_tls, plain) {
            (FtpOverTls::None, _) => "FTP, without encryption",
            (FtpOverTls::Explicit, false) => "FTP, explicit TLS (FTPES)",
            (FtpOverTls::Explicit, true) => "FTP, explicit TLS (FTPES), not required",
            (FtpOverTls::Implicit, _) => "FTP, implicit TLS (FTPS)",
        };
        let passive = match profile.passive_port_range {
            Some(range) => format!("Passive, ports {}", range.text()),
            None => "Passive, ports 1024-65535".to_owned(),
        };
        let mut facts = vec![
            ("Host", host.to_owned()),
            ("Port", profile.port.text()),
            ("Protocol", protocol.to_owned()),
            ("User", connector.id.to_string()),
            ("Password", "sent separately".to_owned()),
            ("Data connections", passive),
        ];
        if let Some(port) = profile.explicit_port.filter(|_| profile.ftp_over_tls == FtpOverTls::Implicit) {
            facts.push(("Explicit TLS instead", format!("port {}", port.text())));
        }
        if settings.receive_write {
            facts.push(("You upload to", "/Receive".to_owned()));
        }
        if settings.send_read {
            facts.push(("You download from", "/Send".to_owned()));
        }
        let filter = connector.filter(profile);
        if !filter.is_empty() {
            facts.push(("Accepted names", filter.text()));
        }
        if !settings.name_encoding.is_utf8() {
            facts.push(("Names are written in", settings.name_encoding.text()));
        }
        if let Some(largest) = &settings.file_bytes_max {
            facts.push(("Largest file", largest.text()));
        }
        if !settings.allowed_addresses.is_empty() {
            facts.push(("Connect from", settings.allowed_addresses.text()));
        }
        let mut sheet = Self {
            host: host.to_owned(),
            port: profile.port.port(),
            tls: profile.ftp_over_tls,
            user: connector.id.to_string(),
            name_encoding: settings.name_encoding.clone(),
            facts,
            proof: proof.filter(|_| profile.ftp_over_tls != FtpOverTls::None),
            habits: habits(profile, connector),
            examples: Vec::new(),
        };
        // Curl goes on from the folder that a login lands in, unless the path begins with another slash.
        let root = if settings.start_folder.path().names().is_empty() { "" } else { "/" };
        sheet.examples = sheet.make_examples(settings.receive_write, root, &example_name(profile, connector));
        sheet
    }

    fn make_examples(&self, uploads: bool, root: &str, name: &str) -> Vec<Example> {
        let Self { host, port, user, .. } = self;
        let (scheme, curl, lftp, winscp) = match self.tls {
            FtpOverTls::None => ("ftp", "", "set ftp:ssl-allow false", "ftp"),
            FtpOverTls::Explicit => {
                ("ftp", "--ssl-reqd ", "set ftp:ssl-force true; set ftp:ssl-protect-data true", "ftpes")
            }
            FtpOverTls::Implicit => ("ftps", "", "set ftp:ssl-protect-data true", "ftps"),
        };
        let lftp_host = if self.tls == FtpOverTls::Implicit { format!("ftps://{host}") } else { host.clone() };
        let (curl_does, lftp_does, winscp_does) = if uploads {
            (
                format!("--upload-file {name} {scheme}://{host}:{port}/{root}Receive/"),
                format!("cd /Receive; put {name}"),
                format!("put {name} /Receive/"),
            )
        } else {
            (
                format!("--remote-name {scheme}://{host}:{port}/{root}Send/{name}"),
                format!("cd /Send; get {name}"),
                format!("get /Send/{name}"),
            )
        };
        vec![
            Example { client: "curl", text: format!("curl {curl}--user {user} {curl_does}") },
            Example {
                client: "lftp",
                text: format!("lftp -e \"{lftp}; {lftp_does}; bye\" -u {user} -p {port} {lftp_host}"),
            },
            Example {
                client: "WinSCP script",
                text: format!("open {winscp}://{user}@{host}:{port}/\n{winscp_does}\nexit"),
            },
        ]
    }

    /// The setting in FileZilla's Site Manager, in words.
    pub const fn filezilla_words(&self) -> &'static str {
        match self.tls {
            FtpOverTls::None => "Encryption “Only use plain FTP (insecure)”",
            FtpOverTls::Explicit => "Encryption “Require explicit FTP over TLS”",
            FtpOverTls::Implicit => "Encryption “Require implicit FTP over TLS”",
        }
    }

    /// The sheet as plain text, for a mail.
    pub fn text(&self) -> String {
        let mut text = format!("File exchange with {}\n\n", self.host);
        let width = self.facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
        for (name, value) in &self.facts {
            let _ = writeln!(text, "{name:width$}{value}");
        }
        if let Some(proof) = &self.proof {
            let _ = write!(text, "\nCheck that it is really us\n{}\nSHA-256 {}\n", proof.words(), proof.sha256);
        }
        text.push_str("\nGood habits\n");
        for habit in &self.habits {
            let _ = writeln!(text, "- {habit}");
        }
        text.push_str("\nTry it\n");
        for example in &self.examples {
            let _ = write!(text, "\n{}:\n{}\n", example.client, example.text);
        }
        let _ = write!(text, "\nFileZilla: Site Manager, New site, Protocol FTP, {}, ", self.filezilla_words());
        text.push_str("Logon type “Ask for password”.\n");
        text
    }

    /// A site for FileZilla's File, Import. It asks for the password.
    pub fn filezilla(&self) -> String {
        let protocol = match self.tls {
            FtpOverTls::None => 0,
            FtpOverTls::Explicit => 4,
            FtpOverTls::Implicit => 3,
        };
        let (host, user) = (escaped(&self.host), escaped(&self.user));
        let encoding = if self.name_encoding.is_utf8() {
            "<EncodingType>UTF-8</EncodingType>".to_owned()
        } else {
            let name = self.name_encoding.as_str();
            format!("<EncodingType>Custom</EncodingType>\n      <CustomEncoding>{name}</CustomEncoding>")
        };
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<FileZilla3>\n  <Servers>\n    <Server>\n      \
             <Host>{host}</Host>\n      <Port>{}</Port>\n      <Protocol>{protocol}</Protocol>\n      <Type>0</Type>\n      \
             <User>{user}</User>\n      <Logontype>2</Logontype>\n      <PasvMode>MODE_PASSIVE</PasvMode>\n      \
             {encoding}\n      <Name>{user} at {host}</Name>\n    </Server>\n  </Servers>\n\
             </FileZilla3>\n",
            self.port
        )
    }
}

impl Proof {
    /// Which hosts it is for, until when, and whether clients will ask.
    pub fn words(&self) -> String {
        let mut words = format!("Certificate for {}, valid to {}.", self.names.join(", "), self.valid_to);
        if self.self_signed {
            words.push_str(
                " It is self-signed: your client asks once; accept it if this fingerprint is the one it shows. Clients that \
                 do not ask, such as curl and lftp, refuse it until they are told to trust it.",
            );
        }
        words
    }
}

/// Whether the partner may transfer in clear.
fn may_be_plain(profile: &Profile, connector: &Connector) -> bool {
    match connector.settings.require_tls {
        ConnectorTls::PlainAllowed => true,
        ConnectorTls::AsProfile => profile.require_tls == RequireTls::None,
        ConnectorTls::Login | ConnectorTls::LoginAndData => false,
    }
}

fn habits(profile: &Profile, connector: &Connector) -> Vec<String> {
    let settings = &connector.settings;
    let mut habits = Vec::new();
    let temporary = settings.temp_receive_extensions.text();
    let temporary = temporary.split(',').map(str::trim).find(|one| one.starts_with('.') && !one.ends_with('*'));
    if let Some(extension) = temporary.filter(|_| settings.receive_write) {
        habits.push(format!(
            "Upload under a temporary name that ends in {extension}, then rename: we take a file up only after the rename."
        ));
    }
    if settings.receive_write {
        habits.push("The answer 226 means that your file is safe with us. Without it, send the file again.".to_owned());
    }
    if settings.send_read && settings.remove_file_after_send {
        habits.push("Files in /Send disappear once you have downloaded them completely.".to_owned());
    } else if settings.send_read && settings.delete_collected {
        habits.push("You may delete a file in /Send once you have downloaded it completely.".to_owned());
    }
    if profile.ftp_over_tls != FtpOverTls::None && !may_be_plain(profile, connector) {
        habits.push("Encrypt data connections too (PROT P), and let your client reuse TLS sessions.".to_owned());
    }
    habits.push("Use passive mode; your firewall must let the ports above out.".to_owned());
    habits
}

/// A name that the filter accepts, for the examples.
fn example_name(profile: &Profile, connector: &Connector) -> String {
    let filter = connector.filter(profile);
    let extension = filter.first_extension().unwrap_or("txt");
    let name = format!("order.{extension}");
    if filter.accepts(&name) { name } else { "FILE".to_owned() }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::connector::{ConnectorId, ConnectorSettings};
    use crate::domain::setting::Texts;

    fn sheet(profile: &[(&str, &str)], connector: &[(&str, &str)]) -> Sheet {
        let texts = |pairs: &[(&str, &str)]| -> Texts {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let settings = ConnectorSettings::parse(&texts(connector)).unwrap();
        let connector = Connector { id: ConnectorId::parse("acme-edi").unwrap(), version: 1, settings };
        let proof = Proof {
            names: vec!["files.example.com".to_owned()],
            valid_to: "29 March 2027".to_owned(),
            sha256: "9F:2C".to_owned(),
            self_signed: true,
        };
        Sheet::new(&Profile::parse(&texts(profile)).unwrap(), &connector, "files.example.com", Some(proof))
    }

    fn fact<'a>(sheet: &'a Sheet, name: &str) -> Option<&'a str> {
        sheet.facts.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn each_way_of_encryption_has_its_own_commands() {
        let explicit = sheet(&[("passive_port_range", "50000-50199")], &[("allowed_files_filter", "*.x12,*.edi")]);
        assert_eq!(fact(&explicit, "Protocol"), Some("FTP, explicit TLS (FTPES)"));
        assert_eq!(fact(&explicit, "Data connections"), Some("Passive, ports 50000-50199"));
        assert_eq!(fact(&explicit, "Accepted names"), Some("*.x12,*.edi"));
        assert_eq!(
            explicit.examples[0].text,
            "curl --ssl-reqd --user acme-edi --upload-file order.x12 ftp://files.example.com:8021/Receive/"
        );
        assert!(
            explicit.filezilla().contains("<Protocol>4</Protocol>") && explicit.filezilla().contains("<Logontype>2<")
        );
        let implicit = sheet(&[("ftp_over_tls", "implicit"), ("port", "990"), ("explicit_port", "8021")], &[]);
        assert_eq!(fact(&implicit, "Explicit TLS instead"), Some("port 8021"));
        assert!(implicit.examples[0].text.contains("curl --user acme-edi --upload-file order.txt ftps://"));
        assert!(
            implicit.examples[1].text.ends_with("-p 990 ftps://files.example.com"),
            "{}",
            implicit.examples[1].text
        );
        assert!(implicit.filezilla().contains("<Protocol>3</Protocol>"));
        let plain = sheet(&[("ftp_over_tls", "none"), ("require_tls", "none")], &[]);
        assert!(plain.proof.is_none() && !plain.text().contains("SHA-256"));
        assert!(plain.examples[2].text.starts_with("open ftp://acme-edi@files.example.com:8021/\nput order.txt"));
        assert!(plain.filezilla().contains("<Protocol>0</Protocol>"));
    }

    #[test]
    fn what_the_partner_may_not_do_is_not_on_it() {
        let collects = sheet(&[], &[("receive_write", "off"), ("remove_file_after_send", "on")]);
        assert_eq!(fact(&collects, "You upload to"), None);
        assert!(collects.examples[0].text.contains("--remote-name ftp://files.example.com:8021/Send/order.txt"));
        assert!(collects.text().contains("Files in /Send disappear") && !collects.text().contains("226"));
        let drops = sheet(&[], &[("send_read", "off"), ("temp_receive_extensions", "")]);
        assert_eq!((fact(&drops, "You download from"), fact(&drops, "You upload to")), (None, Some("/Receive")));
        assert!(!drops.text().contains("/Send") && !drops.text().contains("temporary name"));
        let elsewhere = sheet(&[], &[("start_folder", "/Send")]);
        assert!(elsewhere.examples[0].text.ends_with("ftp://files.example.com:8021//Receive/"));
        assert!(elsewhere.text().contains("such as curl and lftp, refuse it until they are told to trust it"));
    }

    #[test]
    fn another_encoding_of_names_is_told() {
        let latin = sheet(&[], &[("name_encoding", "windows-1252")]);
        assert_eq!(fact(&latin, "Names are written in"), Some("windows-1252"));
        assert!(latin.filezilla().contains("<CustomEncoding>windows-1252</CustomEncoding>"));
        let usual = sheet(&[], &[]);
        assert_eq!(fact(&usual, "Names are written in"), None);
        assert!(usual.filezilla().contains("<EncodingType>UTF-8</EncodingType>"));
    }

    #[test]
    fn the_text_says_all_of_it() {
        let text = sheet(&[], &[]).text();
        for part in ["Host ", "acme-edi", "sent separately", "SHA-256 9F:2C", "self-signed", "ends in .tmp", "WinSCP"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
