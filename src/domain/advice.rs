//! Texts for a partner about a refusal: what happened, and what they can do. In their terms: nothing about how the
//! server is set up, and nothing that tells a stranger whether a name exists.

use super::refusal::Rule;

/// What the partner can do about a refusal by `rule`.
pub const fn advice(rule: Rule) -> &'static str {
    match rule {
        Rule::AbortedByAdministrator => "We ended this session on our side; please sign in again.",
        Rule::ActiveModeOff => "Please switch your client to passive mode (PASV or EPSV).",
        Rule::AddressBlocked => {
            "Too many sign-ins failed; please check user name and password and try again in a while."
        }
        Rule::AddressNotAllowed => "We know other addresses of yours; please tell us the address you connect from.",
        Rule::AlreadyTakenOver => "We have taken the file over already; please upload it again under the right name.",
        Rule::AppendRefused => "Please upload whole files (STOR) and do not append (APPE).",
        Rule::BeforeSend => "The file is not released yet; please try again later, and tell us if it stays so.",
        Rule::BrokenOff => "The connection ended before the file was complete; please upload it again or resume it.",
        Rule::ClientCertificate => "Please check which certificate your client presents, and send us its fingerprint.",
        Rule::ConnectorDisabled | Rule::ConnectorExpired | Rule::ConnectorNotYetValid => {
            "Your access is not open at the moment; please ask us when it will be."
        }
        Rule::DataConnectionNotOpened => {
            "Your client did not open the data connection; please use passive mode and let your firewall reach our data \
             ports."
        }
        Rule::DataConnectionWrongAddress => {
            "Control and data connection came from different addresses; please use one address for both."
        }
        Rule::DeflateRatio | Rule::NotDeflated => "Please send the file without compression on the way (MODE S).",
        Rule::DiskFull | Rule::StorageFailing => "The trouble is on our side; please try again later.",
        Rule::Draining => "The server was just stopping; please try again in a moment.",
        Rule::FileExists => "A file of this name is there already; please use another name.",
        Rule::FileTooLarge => "The file is larger than we agreed on; please send smaller ones, or ask us first.",
        Rule::Idle => "Nothing was asked for a while; please sign in again, and sign out when you are done.",
        Rule::NameEncoding => "The name has characters we could not read; please switch your client to UTF-8.",
        Rule::NameFilter => "We do not accept files of this name; please check its name and extension.",
        Rule::NameNotStorable => "The name cannot be stored here; please choose a shorter or plainer one.",
        Rule::NoPassivePort => {
            "All our data ports were taken; please use fewer connections at a time, or try again later."
        }
        Rule::NoRead => "Nothing can be read in this folder; what we have for you is in Send.",
        Rule::NoWrite => "Nothing can be changed in this folder; please upload to Receive.",
        Rule::OutsideFolders => "Please change to the folder Receive to upload, and to Send to download.",
        Rule::ProtectionNotSupported => {
            "Please let your client keep TLS to the end (no CCC) and encrypt data (PROT P)."
        }
        Rule::ProxyHeader => "The trouble is on the way to our server; we look at it.",
        Rule::Quota => "There is no room left for your files; we look at it, please try again later.",
        Rule::SessionNotReused => {
            "Please let your client reuse the TLS session for data connections; FileZilla, curl and WinSCP do."
        }
        Rule::Stalled => "No more bytes arrived; please check your connection and resume the file.",
        Rule::TlsEndUnsigned => "Your client did not close TLS in order; please use a newer version of it.",
        Rule::TlsHandshakeFailed => "Please use a client with TLS 1.2 or 1.3, and check how it is to encrypt.",
        Rule::TlsRequiredData => "Please let your client encrypt data connections too (PROT P).",
        Rule::TlsRequiredLogin => "Please use FTP over TLS; plain FTP is not accepted.",
        Rule::TooManyForConnector | Rule::TooManyFromAddress | Rule::TooManyNotLoggedIn => {
            "Too many connections at a time; please close some, or let your client use fewer."
        }
        Rule::TooManySessions => "Our server was full; please try again in a few minutes.",
        Rule::TypeNotSupported => "Please transfer in binary (TYPE I), stream mode.",
        Rule::UnknownUser | Rule::WrongPassword => {
            "Please check user name and password; if they are as we gave them to you, ask us for a new password."
        }
    }
}

/// What they did, in their words: `Your upload of a.edi`.
pub fn deed(command: &str) -> String {
    let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
    let of = |what: &str| if rest.is_empty() { format!("Your {what}") } else { format!("Your {what} of {rest}") };
    match verb.to_ascii_uppercase().as_str() {
        "" => "Your connection".to_owned(),
        "STOR" | "STOU" | "APPE" => of("upload"),
        "RETR" => of("download"),
        "LIST" | "NLST" | "MLSD" | "MLST" | "STAT" => of("listing"),
        "RNFR" | "RNTO" => of("renaming"),
        "DELE" | "RMD" | "XRMD" => of("removal"),
        "USER" | "PASS" | "AUTH" | "ACCT" => "Your sign-in".to_owned(),
        _ => format!("Your command {command}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_advice_that_gives_no_name_away() {
        for rule in Rule::ALL {
            let advice = advice(rule);
            assert!(advice.ends_with('.') && advice.len() > 40, "{}", rule.name());
            assert!(!advice.contains("connector") && !advice.contains("Waybill"), "{}", rule.name());
        }
        assert_eq!(advice(Rule::UnknownUser), advice(Rule::WrongPassword));
    }

    #[test]
    fn what_they_did_is_called_as_they_would() {
        let said = ["STOR a b.edi", "retr x", "LIST", "PASS ****", "PORT 1,2", ""].map(deed);
        assert_eq!(
            said.join("|"),
            "Your upload of a b.edi|Your download of x|Your listing|Your sign-in|Your command PORT 1,2|Your connection"
        );
    }
}
