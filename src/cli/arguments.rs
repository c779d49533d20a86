//! The arguments as people type them, and their meaning. Bad usage ends the process with status 2, as in clap.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::domain::event::EventKind;
use crate::domain::value::Since;

/// Where the web interface listens unless told otherwise.
const WEB_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8020);

/// The request.
#[derive(Debug)]
pub enum Invocation {
    /// Run the appliance.
    Serve(ServeOptions),
    /// Do one thing and end.
    Verb {
        /// What to do.
        verb: Verb,
        /// The data folder to do it in.
        data: PathBuf,
        /// The folder of programs for Commands, if it was given.
        commands: Option<PathBuf>,
    },
}

/// Where things are; everything else is in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeOptions {
    /// The data folder.
    pub data: PathBuf,
    /// Where the web interface listens; port 0 takes any free one.
    pub web: SocketAddr,
    /// Whether the web interface may explicitly be reached from elsewhere without encryption.
    pub web_plain: bool,
    /// The folder of programs that Command connectors may run.
    pub commands: Option<PathBuf>,
}

#[derive(Debug, Parser)]
#[command(
    name = "waybill",
    version,
    about = "A managed-file-transfer appliance: an FTP server for trading partners, administered in the browser",
    long_about = "A managed-file-transfer appliance: an FTP server for trading partners, administered in the \
                  browser.\n\nWithout a verb it serves. Every other verb works on the data folder of a running or a \
                  stopped appliance, with the same checks and the same audit as the pages; a running appliance \
                  follows at once.",
    after_help = "Exit status: 0 done, 1 could not be done (the reason is on standard error), 2 bad usage."
)]
struct Arguments {
    /// The folder that holds everything: database, keys, partners' folders. Made and migrated if need be.
    #[arg(long, global = true, env = "WAYBILL_DATA", default_value = "./waybill-data", value_name = "DIR")]
    data: PathBuf,

    /// The folder of the programs that Command connectors may run; without it there are no Commands. Verbs know the one
    /// that Waybill was last started with.
    #[arg(long, global = true, env = "WAYBILL_COMMANDS", value_name = "DIR")]
    commands: Option<OsString>,

    /// Where the web interface listens; port 0 takes any free one. Default: 127.0.0.1:8020.
    #[arg(long, env = "WAYBILL_WEB", value_name = "ADDRESS:PORT", value_parser = parse_web)]
    web: Option<SocketAddr>,

    /// Lets the web interface listen beyond this machine without encryption.
    #[arg(long)]
    web_plain: bool,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the appliance. The same as no verb at all.
    Serve(ServeArguments),
    #[command(flatten)]
    Verb(Verb),
}

#[derive(Debug, Args)]
struct ServeArguments {
    /// Where the web interface listens (also `WAYBILL_WEB`); port 0 takes any free one. Default: 127.0.0.1:8020.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse_web)]
    web: Option<SocketAddr>,

    /// Lets the web interface listen beyond this machine without encryption.
    #[arg(long)]
    web_plain: bool,
}

/// One thing to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Tell whether the FTP and the web listener answer: exit status 0 when both do.
    Health,
    /// Show or set the appliance's own settings.
    #[command(subcommand)]
    Settings(GroupVerb),
    /// Show or set the FTP server's settings. A running server follows at once.
    #[command(subcommand)]
    Profile(GroupVerb),
    /// List, show, add, change and remove connectors: one for each trading partner.
    #[command(subcommand)]
    Connector(ConnectorVerb),
    /// List, draw and remove arrows: files received by one connector are passed along to the next.
    #[command(subcommand)]
    Flow(FlowVerb),
    /// List, show, add, change and remove actions: what a partner's files set off besides being passed along.
    #[command(subcommand)]
    Action(ActionVerb),
    /// List, show, add, change and remove event targets: who is told of events by webhook.
    #[command(subcommand)]
    EventTarget(EventTargetVerb),
    /// List received files, oldest first.
    Receipts(ReceiptsVerb),
    /// List what happened, oldest first.
    Events(EventsVerb),
    /// List, add and repair administrators of the web interface.
    #[command(subcommand)]
    Admin(AdminVerb),
    /// List, add, make, replace and remove the certificates that servers present.
    #[command(subcommand)]
    Certificate(CertificateVerb),
    /// Print all settings, connectors and arrows as one text (TOML). No password and no secret is in it.
    Export,
    /// Read such a text in, all or nothing: it changes what is here and adds what is missing; what it leaves out stays.
    Import(ImportVerb),
    /// Make, list and try backups: the database and its keys in one encrypted file.
    #[command(subcommand)]
    Backup(BackupVerb),
    /// Put a backup back while no server runs. What the data folder held goes aside, nothing is removed.
    Restore {
        /// The file of the backup.
        file: PathBuf,
        /// Read the passphrase from the first line of standard input.
        #[arg(long, required = true)]
        passphrase_stdin: bool,
    },
}

/// What can be done with backups.
#[derive(Debug, Subcommand)]
pub enum BackupVerb {
    /// List the backups in the folder, the newest first.
    List,
    /// Make one now.
    Now,
    /// Set the passphrase of backups made from now on.
    Passphrase {
        /// Read it from the first line of standard input.
        #[arg(long, required = true)]
        passphrase_stdin: bool,
    },
    /// Read a backup and compare it with what is in use; changes nothing.
    Try {
        /// The file of the backup, or the name of one in the folder of backups.
        file: PathBuf,
        /// Read its passphrase from the first line of standard input; without it the one that is set is taken.
        #[arg(long)]
        passphrase_stdin: bool,
    },
}

/// What can be done with a group of settings.
#[derive(Debug, Subcommand)]
pub enum GroupVerb {
    /// Print every setting as KEY=VALUE; a line end within a value is written \n.
    Show {
        /// Print one JSON object instead.
        #[arg(long)]
        json: bool,
    },
    /// Set one or more settings, all or nothing.
    Set {
        /// A setting and its value as a form would take it; an empty value means none.
        #[arg(required = true, value_name = "KEY=VALUE", value_parser = parse_pair)]
        pairs: Vec<Pair>,
    },
}

/// What can be done with connectors.
#[derive(Debug, Subcommand)]
pub enum ConnectorVerb {
    /// List every connector.
    List {
        /// Print one JSON object a line instead.
        #[arg(long)]
        json: bool,
    },
    /// Print every setting of one connector as KEY=VALUE.
    Show {
        /// The connector's id, which is the partner's user name.
        id: String,
        /// Print one JSON object instead.
        #[arg(long)]
        json: bool,
    },
    /// Add a connector. Without a password one is made and printed once.
    Add {
        /// The connector's id, which is the partner's user name.
        id: String,
        /// Settings that differ from their defaults; also `password`, or `secret` of a Webhook.
        #[arg(value_name = "KEY=VALUE", value_parser = parse_pair)]
        pairs: Vec<Pair>,
        /// Read the password from the first line of standard input: other users of this machine can read arguments.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Change settings of a connector, or its password: all or nothing.
    Set {
        /// The connector's id.
        id: String,
        /// Settings and their values; also `password`, or `secret` of a Webhook.
        #[arg(required_unless_present = "password_stdin", value_name = "KEY=VALUE", value_parser = parse_pair)]
        pairs: Vec<Pair>,
        /// Read a new password from the first line of standard input.
        #[arg(long)]
        password_stdin: bool,
        /// Disable it even if files wait for it.
        #[arg(long)]
        anyway: bool,
    },
    /// Remove a connector. Its files, receipts and events stay.
    Remove {
        /// The connector's id.
        id: String,
        /// Even if files wait to leave it or to come to it.
        #[arg(long)]
        anyway: bool,
    },
}

/// What can be done with arrows.
#[derive(Debug, Subcommand)]
pub enum FlowVerb {
    /// List every arrow.
    List {
        /// Print one JSON object a line instead.
        #[arg(long)]
        json: bool,
    },
    /// Pass files received by one connector along to another. Loops are refused.
    Connect {
        /// The connector that receives them.
        from: String,
        /// The connector they are passed along to.
        to: String,
        /// Only what another arrow of FROM has given up after its last retry.
        #[arg(long)]
        error: bool,
    },
    /// Remove an arrow. Files that wait for it stay in Receive.
    Disconnect {
        /// The connector that receives the files.
        from: String,
        /// The connector they were passed along to.
        to: String,
    },
}

/// What can be done with actions.
#[derive(Debug, Subcommand)]
pub enum ActionVerb {
    /// List every action, or those of one connector.
    List {
        /// Only this connector's.
        #[arg(long, value_name = "ID")]
        connector: Option<String>,
        /// Print one JSON object a line instead.
        #[arg(long)]
        json: bool,
    },
    /// Show every setting of an action.
    Show(ShowOne),
    /// Add an action of a partner. The secret that a webhook signs with is made and shown once.
    Add {
        /// Whose files it is about.
        connector: String,
        /// Settings, such as kind=mail and `mail_to=edi@example.com`.
        #[arg(value_name = "KEY=VALUE", required = true, value_parser = parse_pair)]
        pairs: Vec<Pair>,
    },
    /// Change an action.
    Set(SetOne),
    /// Remove an action. What waited for it stops.
    Remove {
        /// Its id, as the list has it.
        id: String,
    },
}

/// Which action or event target is shown, and how.
#[derive(Debug, Args)]
pub struct ShowOne {
    /// Its id, as the list has it.
    pub id: String,
    /// Print a JSON object instead.
    #[arg(long)]
    pub json: bool,
}

/// What is changed about an action or event target.
#[derive(Debug, Args)]
pub struct SetOne {
    /// Its id, as the list has it.
    pub id: String,
    /// Settings to change.
    #[arg(value_name = "KEY=VALUE", value_parser = parse_pair)]
    pub pairs: Vec<Pair>,
    /// Make a new secret to sign with, shown once.
    #[arg(long)]
    pub new_secret: bool,
}

/// What can be done with event targets.
#[derive(Debug, Subcommand)]
pub enum EventTargetVerb {
    /// List every event target.
    List {
        /// Print one JSON object a line instead.
        #[arg(long)]
        json: bool,
    },
    /// Show every setting of an event target.
    Show(ShowOne),
    /// Add an event target. The secret it signs with is made and shown once.
    Add {
        /// Settings, such as <url=https://siem.example.com/>.
        #[arg(value_name = "KEY=VALUE", required = true, value_parser = parse_pair)]
        pairs: Vec<Pair>,
    },
    /// Change an event target.
    Set(SetOne),
    /// Remove an event target. What waited for it stops.
    Remove {
        /// Its id, as the list has it.
        id: String,
    },
}

/// Which receipts.
#[derive(Debug, Args)]
pub struct ReceiptsVerb {
    /// Only this connector's.
    #[arg(long, value_name = "ID")]
    pub connector: Option<String>,
    /// Only files completed since then: 2026-11-25T09:00:00Z, or 10m, 2h, 3d ago.
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    pub since: Option<Since>,
    /// Print one JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// Which events.
#[derive(Debug, Args)]
pub struct EventsVerb {
    /// Only this kind.
    #[arg(long, value_name = "KIND", value_parser = parse_kind)]
    pub kind: Option<EventKind>,
    /// Only events since then: 2026-11-25T09:00:00Z, or 10m, 2h, 3d ago.
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    pub since: Option<Since>,
    /// Print one JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// What can be done with administrators.
#[derive(Debug, Subcommand)]
pub enum AdminVerb {
    /// List every administrator.
    List,
    /// Add an administrator. Without a password one is made and printed once.
    Add {
        /// The name to sign in with.
        name: String,
        /// Read the password from the first line of standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Set a new password and sign every browser of that administrator out.
    ResetPassword {
        /// The name to sign in with.
        name: String,
        /// Read the password from the first line of standard input; without it one is made and printed once.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Switch the second factor of an administrator off who has lost it.
    SecondFactorOff {
        /// The name to sign in with.
        name: String,
    },
}

/// What can be done with certificates.
#[derive(Debug, Subcommand)]
pub enum CertificateVerb {
    /// List the authorities whose client certificates partners can sign in with.
    Authorities {
        /// Print one JSON object a line instead.
        #[arg(long)]
        json: bool,
    },
    /// Add an authority of client certificates, or put its new certificate in place: PEM or DER, no key.
    AddAuthority {
        /// Its name, which a connector's `client_certificate_match` names: ca:NAME subject:…
        name: String,
        /// The file of its certificate.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Remove an authority that no connector names.
    RemoveAuthority {
        /// Its name.
        name: String,
    },
    /// List every certificate with its names, its end and its SHA-256.
    List {
        /// Print one JSON object a line instead.
        #[arg(long)]
        json: bool,
    },
    /// Add a certificate with its issuers and its private key: PEM or PKCS#12.
    Add {
        /// Its name in the store, which the profile's `certificates` names.
        name: String,
        /// The file of the certificate, its issuers and, unless --key is given, its key.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// The file of the key, if it is another.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// Read the password of the key from the first line of standard input.
        #[arg(long)]
        password_stdin: bool,
        /// Put it in the place of the certificate of that name, which is kept for 7 days.
        #[arg(long)]
        replace: bool,
    },
    /// Make a certificate that signs itself (ECDSA P-256, one year): it encrypts, and partners accept it by its SHA-256.
    SelfSigned {
        /// Its name in the store.
        name: String,
        /// A host name or address that it is for; may be given several times.
        #[arg(long = "host", value_name = "HOST", required = true)]
        hosts: Vec<String>,
        /// Put it in the place of the certificate of that name, which is kept for 7 days.
        #[arg(long)]
        replace: bool,
    },
    /// Put back the certificate that was replaced last, within 7 days.
    RollBack {
        /// Its name in the store.
        name: String,
    },
    /// Remove a certificate and its key. Refused while the profile names it.
    Remove {
        /// Its name in the store.
        name: String,
    },
}

/// What is read in.
#[derive(Debug, Args)]
pub struct ImportVerb {
    /// The file; - reads standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Only say what would change.
    #[arg(long)]
    pub dry_run: bool,
    /// Disable connectors even if files wait for them.
    #[arg(long)]
    pub anyway: bool,
}

/// `KEY=VALUE`, the value as typed. It does not show its value when printed: it may be a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The setting.
    pub key: String,
    /// Its value.
    pub value: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pair({}=..)", self.key)
    }
}

/// Reads this process's arguments; help, version and bad usage end it.
pub fn parse() -> Invocation {
    parse_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

/// Reads `arguments`, the first of which is the program's name.
pub fn parse_from(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, clap::Error> {
    let Arguments { data, commands, web, web_plain, command } = Arguments::try_parse_from(arguments)?;
    // A variable set to nothing, as scripts do, names no folder.
    let commands = commands.filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let (nearer_web, nearer_plain) = match command {
        Some(Command::Verb(verb)) => return Ok(Invocation::Verb { verb, data, commands }),
        Some(Command::Serve(serve)) => (serve.web, serve.web_plain),
        None => (None, false),
    };
    let web = nearer_web.or(web).unwrap_or(WEB_DEFAULT);
    Ok(Invocation::Serve(ServeOptions { data, web, web_plain: nearer_plain || web_plain, commands }))
}

fn parse_web(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write an IP address and a port, such as 127.0.0.1:8020 or [::1]:8020; no name".to_owned())
}

fn parse_pair(text: &str) -> Result<Pair, String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok(Pair { key: key.to_owned(), value: value.to_owned() }),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

fn parse_kind(text: &str) -> Result<EventKind, String> {
    EventKind::parse(text).ok_or_else(|| {
        let kinds: Vec<_> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
        format!("there is no such kind of event; there are {}", kinds.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn read(line: &str) -> Result<Invocation, clap::Error> {
        parse_from(std::iter::once("waybill").chain(line.split_whitespace()).map(OsString::from))
    }

    fn serve(line: &str) -> ServeOptions {
        match read(line).unwrap() {
            Invocation::Serve(options) => options,
            Invocation::Verb { verb, .. } => panic!("{verb:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn serving_is_the_default_and_takes_its_flags_on_either_side() {
        assert_eq!(serve("--data d").web, WEB_DEFAULT);
        assert_eq!(serve("serve --data d --web 127.0.0.1:0").data, PathBuf::from("d"));
        assert_eq!(serve("--web 127.0.0.1:1 serve").web.port(), 1);
        assert_eq!(serve("--web 127.0.0.1:1 serve --web 127.0.0.1:2").web.port(), 2);
        assert!(serve("serve --web 0.0.0.0:8020 --web-plain").web_plain);
        assert_eq!(serve("--web [::1]:8020").web.port(), 8020);
        for line in ["serve --commands bin", "--commands bin serve", "--commands bin"] {
            assert_eq!(serve(line).commands, Some(PathBuf::from("bin")), "{line}");
        }
        assert_eq!(serve("--commands=").commands, None);
    }

    #[test]
    fn bad_usage_says_what_is_expected() {
        for line in ["--web localhost:8020", "serve --web 8020"] {
            let refused = read(line).unwrap_err().to_string();
            assert!(refused.contains("write an IP address and a port, such as 127.0.0.1:8020"), "{refused}");
        }
        for (line, words) in [
            ("profile set port", "expected KEY=VALUE"),
            ("profile set =1", "expected KEY=VALUE"),
            ("profile set", "KEY=VALUE"),
            ("connector set acme", "KEY=VALUE"),
            ("receipts --since yesterday", "10m, 2h, 3d"),
            ("events --kind uploads", "after_receive"),
            ("conector list", "unrecognized subcommand"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.to_string().contains(words), "{line}: {error}");
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn a_value_may_hold_anything_and_is_never_printed() {
        let pair = parse_pair("password=a=b c").unwrap();
        assert_eq!((pair.key.as_str(), pair.value.as_str()), ("password", "a=b c"));
        assert!(!format!("{pair:?}").contains("a=b"));
        assert_eq!(parse_pair("description=").unwrap().value, "");
    }
}
