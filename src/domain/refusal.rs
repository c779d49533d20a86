//! The rules that say no: a closed list with names that never change, each with its meaning and remedy.

use crate::base::words::words;

macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident = $name:literal, $label:literal, $setting:expr, $explain:literal;)+) => {
        words! {
            /// A rule that refuses.
            pub enum Rule { $(#[doc = $explain] $rule = $name, $label;)+ }
        }

        impl Rule {
            /// Its meaning and remedy.
            pub const fn explain(self) -> &'static str {
                match self { $(Self::$rule => $explain,)+ }
            }

            /// Where it is set: `profile`, `connector` or `settings`, and the key; none if there is nothing to set.
            pub const fn setting_key(self) -> Option<(&'static str, &'static str)> {
                match self { $(Self::$rule => $setting,)+ }
            }
        }
    };
}

rules! {
    AbortedByAdministrator = "aborted_by_administrator", "Disconnected by an administrator", None,
        "An administrator disconnected this session. The partner can sign in again.";
    ActiveModeOff = "active_mode_off", "Active mode is off", Some(("profile", "active_mode")),
        "The client asked the server to connect back (PORT or EPRT). It should use passive mode, or Active Mode can be \
         allowed in the profile or for this partner.";
    AddressBlocked = "address_blocked", "Blocked after failures", Some(("profile", "block_after_failures")),
        "Too many logins failed with this name or from this address, so it waits for a while. The block ends by \
         itself, or can be lifted; addresses in Never blocked are left alone.";
    AddressNotAllowed = "address_not_allowed", "Address not allowed", Some(("connector", "allowed_addresses")),
        "The client came from an address that is not among the connector's Allowed addresses. Add it there if it is \
         the partner's.";
    AlreadyTakenOver = "already_taken_over", "Already taken over", Some(("connector", "settle_s")),
        "The file was received and its delivery has begun, so it can no longer be renamed or taken back. Upload it \
         again under the right name, or rename within the Settle time.";
    AppendRefused = "append_refused", "Append not allowed", Some(("connector", "append")),
        "The connector refuses APPE. The client should upload whole files with STOR, or Append can be allowed.";
    BeforeSend = "before_send", "Held back by an action", None,
        "An action that is asked before a file is sent did not agree: its program ended with another status than 0, or \
         its receiver answered with something other than 2xx, or in time with nothing. It is on the connector's \
         Automation tab.";
    BrokenOff = "broken_off", "Broken off by the client", None,
        "The connection ended before the upload was complete, so nothing was received. What arrived is kept as \
         unfinished for the partner to resume.";
    ClientCertificate = "client_certificate", "Client certificate not the partner's",
        Some(("connector", "client_certificate_match")),
        "The partner signs in with a certificate, and the client presented none, another one, or one that is no longer \
         valid. If what it presented is the partner's, put its sha256:… into Client certificate match.";
    ConnectorDisabled = "connector_disabled", "Connector disabled", Some(("connector", "enabled")),
        "The connector is switched off. Enable it to let the partner sign in.";
    ConnectorExpired = "connector_expired", "Connector expired", Some(("connector", "valid_until")),
        "The last day on which the partner may sign in has passed. Choose a later one in Valid until, or leave it \
         empty.";
    ConnectorNotYetValid = "connector_not_yet_valid", "Connector not yet valid", Some(("connector", "valid_from")),
        "The first day on which the partner may sign in has not come. Choose an earlier one in Valid from, or leave it \
         empty.";
    DataConnectionNotOpened = "data_connection_not_opened", "Data connection not opened",
        Some(("profile", "passive_port_range")),
        "The client did not open the data connection in time. Usually a firewall holds back the Passive Port Range, or \
         the Passive Address is one that the client cannot reach.";
    DataConnectionWrongAddress = "data_connection_wrong_address", "Data connection from another address", None,
        "A data connection came from, or was to go to, another address than the client's own, or a port below 1024. \
         Clients behind several addresses must use one for both connections.";
    DeflateRatio = "deflate_ratio", "Inflates beyond measure", Some(("profile", "mode_z")),
        "The upload came in MODE Z and became more than 250 times as large when it was inflated, as data made to fill a \
         disk does. The client should send such a file in MODE S, or MODE Z can be turned off.";
    DiskFull = "disk_full", "Disk reserve reached", Some(("profile", "disk_reserve")),
        "The disk has less free space than the Disk reserve wants to keep. Make room, or choose a smaller reserve.";
    Draining = "draining", "Closing down", None,
        "The server was about to stop and took no new sessions. The partner can try again in a moment.";
    FileExists = "file_exists", "File exists", Some(("connector", "overwrite")),
        "A file of this name is there, and the connector refuses to replace it. The partner should choose another \
         name, or Overwrite can replace or keep both.";
    FileTooLarge = "file_too_large", "File too large", Some(("connector", "file_bytes_max")),
        "The upload is larger than the connector's Largest file. Raise it, or the partner should send smaller files.";
    Idle = "idle", "Idle for too long", Some(("profile", "inactivity_timeout_s")),
        "No command came for longer than the Inactivity Timeout, so the session was closed. The partner can sign in \
         again.";
    NameEncoding = "name_encoding", "Name in another encoding", Some(("connector", "name_encoding")),
        "A file name was not in the encoding that the connector expects. Choose the one that the partner's client \
         writes in Name encoding.";
    NameFilter = "name_filter", "Name not accepted", Some(("connector", "allowed_files_filter")),
        "The Allowed Files Filter does not accept this file name. Change the filter of the connector or the profile, \
         or ask the partner for another name.";
    NameNotStorable = "name_not_storable", "Name cannot be stored", None,
        "The name is too long, has a control character or is one of Waybill's own. The partner should choose another.";
    NoPassivePort = "no_passive_port", "No port for a data connection", Some(("profile", "passive_port_range")),
        "The client asked for a passive port and got none: all of the Passive Port Range are in use, or its address \
         holds half of them, which is the most that one may. Choose a wider range, and open it in the firewall.";
    NoRead = "no_read", "No Read in this folder", Some(("connector", "send_read")),
        "The connector has no Read in this folder, so nothing there can be listed or downloaded. Allow Read for Send \
         or Receive on the connector.";
    NoWrite = "no_write", "No Write in this folder", Some(("connector", "receive_write")),
        "The connector has no Write in this folder, so nothing there can be uploaded, renamed or deleted. The partner \
         uploads to Receive; allow Write for Send or Receive on the connector.";
    NotDeflated = "not_deflated", "Not a zlib stream", Some(("profile", "mode_z")),
        "The client chose MODE Z and then sent something that is not one whole zlib stream. It should use MODE S, or \
         MODE Z can be turned off.";
    OutsideFolders = "outside_folders", "Outside Send and Receive", Some(("connector", "start_folder")),
        "Files live in Send and Receive only, and renaming stays within one of them. The client should change to \
         Receive first, or Start folder can land its login there.";
    ProtectionNotSupported = "protection_not_supported", "Protection not supported", None,
        "The client wanted the control connection to go on in clear (CCC), or a level of protection that TLS does not \
         have (PROT S, PROT E). It should keep TLS to the end and use PROT P.";
    ProxyHeader = "proxy_header", "PROXY header missing or damaged", Some(("profile", "proxy_protocol_from")),
        "A connection came from an address in PROXY protocol from without a header that says whom it is for. Turn the \
         PROXY protocol on in the balancer (version 1 or 2), or take its address out of the setting.";
    Quota = "quota", "Quota reached", Some(("connector", "quota_bytes")),
        "Receive holds as many bytes or files as the connector's quota allows. Remove files, or raise the quota.";
    SessionNotReused = "session_not_reused", "TLS session not reused", Some(("profile", "tls_session_reuse")),
        "The data connection did not resume the TLS session of its control connection. The client should reuse TLS \
         sessions (some can do so again and again only by TLS 1.2), or TLS session reuse can be log for this partner.";
    Stalled = "stalled", "Stalled", Some(("connector", "stall_timeout_s")),
        "No byte of the transfer moved for longer than the Stall timeout, through the partner's doing. What arrived is \
         kept as unfinished for the partner to resume.";
    StorageFailing = "storage_failing", "Storage failing", None,
        "Writing or syncing failed on this side, so uploads are refused until a test write succeeds. Look at the disk \
         and the permissions of the connector's folders.";
    TlsEndUnsigned = "tls_end_unsigned", "Upload not closed by TLS", Some(("connector", "tls_end")),
        "The upload ended without the close of TLS that proves that nothing was cut off. If the client never sends it, \
         allow a tolerant TLS end of upload for this partner.";
    TlsHandshakeFailed = "tls_handshake_failed", "TLS handshake failed", Some(("profile", "tls_protocols")),
        "Client and server found no common TLS version or cipher, the client did not trust the certificate, its own \
         came without the key, or it spoke in clear to a port that expects TLS.";
    TlsRequiredData = "tls_required_data", "TLS required for data", Some(("profile", "require_tls")),
        "The client asked for a data connection in clear. It should send PBSZ 0 and PROT P, or this partner's \
         encryption can be login only.";
    TlsRequiredLogin = "tls_required_login", "TLS required to sign in", Some(("profile", "require_tls")),
        "The client tried to sign in in clear. It should use FTP over TLS: explicit with AUTH TLS, or implicit if the \
         profile says so.";
    TooManyForConnector = "too_many_for_connector", "Too many sessions of this connector",
        Some(("connector", "sessions_max")),
        "The connector has as many sessions as it may. The partner should close some, or Sessions can be raised.";
    TooManyFromAddress = "too_many_from_address", "Too many sessions from one address",
        Some(("profile", "sessions_per_address_max")),
        "As many sessions come from this address as one address may have. Raise Sessions per address if many partners \
         share it.";
    TooManyNotLoggedIn = "too_many_not_logged_in", "Too many who have not signed in", None,
        "50 connections from this address had not signed in, or 1,024 of a balancer had sent no PROXY header, and no \
         more may wait at a time. Each is closed by itself after 2 minutes at most. If they are one partner's, its \
         client connects and says nothing.";
    TooManySessions = "too_many_sessions", "Too many sessions", Some(("profile", "sessions_max")),
        "The server has as many sessions as it may. Raise Sessions in all if this is the usual load.";
    TypeNotSupported = "type_not_supported", "Type or structure not supported", None,
        "The client asked for a data type, structure or mode that is not offered, such as EBCDIC or records. It should \
         use TYPE I, STRU F and MODE S.";
    UnknownUser = "unknown_user", "Unknown user", None,
        "No connector has this name. The partner should check its user name, which is the Connector Id; the client is \
         told the same as for a wrong password.";
    WrongPassword = "wrong_password", "Wrong password", Some(("connector", "password")),
        "The password was wrong. The partner should check it, or set a new one on the connector.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::connector::ConnectorSettings;
    use crate::domain::profile::Profile;
    use crate::domain::value::CredentialKind;

    #[test]
    fn names_never_change() {
        let names: Vec<_> = Rule::ALL.iter().map(|rule| rule.name()).collect();
        assert_eq!(
            names.join(" "),
            "aborted_by_administrator active_mode_off address_blocked address_not_allowed already_taken_over \
             append_refused before_send broken_off client_certificate connector_disabled connector_expired connector_not_yet_valid \
             data_connection_not_opened data_connection_wrong_address deflate_ratio disk_full draining file_exists \
             file_too_large idle name_encoding name_filter name_not_storable no_passive_port no_read no_write \
             not_deflated outside_folders protection_not_supported proxy_header quota \
             session_not_reused stalled storage_failing tls_end_unsigned tls_handshake_failed tls_required_data \
             tls_required_login too_many_for_connector too_many_from_address too_many_not_logged_in too_many_sessions \
             type_not_supported unknown_user wrong_password"
        );
        for rule in Rule::ALL {
            assert_eq!(Rule::parse(rule.name()), Some(rule));
        }
        assert_eq!(Rule::parse("because"), None);
    }

    #[test]
    fn every_rule_is_explained_and_leads_to_a_setting_that_exists() {
        for rule in Rule::ALL {
            assert!(rule.explain().ends_with('.') && rule.explain().len() > 60, "{}", rule.name());
            assert!(!rule.label().ends_with('.') && rule.label().len() < 40, "{}", rule.name());
            let known = match rule.setting_key() {
                None => true,
                Some(("profile", key)) => Profile::setting(key).is_some(),
                Some(("connector", key)) => {
                    ConnectorSettings::setting(key).is_some() || key == CredentialKind::Password.name()
                }
                Some(_) => false,
            };
            assert!(known, "{} leads nowhere", rule.name());
        }
    }
}
