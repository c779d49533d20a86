//! Which setting stands where, and how wide: the order of the forms. What a setting means is the domain's to say.

/// A part of a form.
#[derive(Clone, Copy, Debug)]
pub struct SectionSpec {
    /// Its id.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// A sentence below it; empty for none.
    pub intro: &'static str,
    /// Its settings.
    pub keys: &'static [&'static str],
    /// Shown folded.
    pub folded: bool,
}

const fn section(
    id: &'static str,
    title: &'static str,
    intro: &'static str,
    keys: &'static [&'static str],
) -> SectionSpec {
    SectionSpec { id, title, intro, keys, folded: false }
}

/// Profiles, FTP Server.
pub const PROFILE: &[SectionSpec] = &[
    section(
        "server",
        "Server",
        "",
        &[
            "port",
            "listen_address",
            "ftp_over_tls",
            "explicit_port",
            "require_tls",
            "certificates",
            "welcome_message",
            "root_directory",
            "allowed_files_filter",
        ],
    ),
    section(
        "data",
        "Data connections",
        "FTP opens a second connection for every listing and file. These settings decide where.",
        &["active_mode", "passive_port_range", "passive_address", "passive_address_exceptions", "mode_z"],
    ),
    section(
        "timeouts",
        "Time-outs and TLS versions",
        "",
        &["inactivity_timeout_s", "tls_protocols", "tls_session_reuse", "tls_end"],
    ),
    section(
        "limits",
        "Limits",
        "",
        &[
            "sessions_max",
            "sessions_per_address_max",
            "sessions_per_connector_max",
            "disk_reserve",
            "unfinished_keep_h",
        ],
    ),
    section(
        "guard",
        "Guard",
        "Names and addresses that keep failing wait. A partner cannot be locked out from elsewhere.",
        &["block_after_failures", "block_window_s", "block_for_s", "guard_allow", "proxy_protocol_from"],
    ),
    section("logging", "Logging", "", &["log_level", "log_keep_days"]),
];

/// Connector, Settings.
pub const CONNECTOR_SETTINGS: &[SectionSpec] = &[
    section(
        "login",
        "User",
        "What the partner signs in with. Changes apply from the next login; a session already open keeps going.",
        &["description", "group", "password_overlap_h"],
    ),
    section(
        "permissions",
        "Permissions",
        "From the partner's side: Read lets them list and download, Write lets them upload, rename and delete.",
        &["send_read", "send_write", "receive_read", "receive_write", "delete_collected"],
    ),
    section(
        "access",
        "Access",
        "",
        &[
            "enabled",
            "valid_from",
            "valid_until",
            "require_tls",
            "allowed_addresses",
            "client_certificate",
            "client_certificate_match",
        ],
    ),
];

/// Connector, Advanced.
pub const CONNECTOR_ADVANCED: &[SectionSpec] = &[
    section("folders", "Folders", "", &["input_folder", "output_folder", "received_file_mode"]),
    section(
        "files",
        "Files",
        "",
        &[
            "allowed_files_filter",
            "temp_receive_extensions",
            "local_file_scheme",
            "save_subfolder",
            "overwrite",
            "append",
            "ascii_uploads",
            "remove_file_after_send",
        ],
    ),
    section("times", "Times", "", &["timeout_s", "stall_timeout_s", "settle_s", "send_settle_s"]),
    section(
        "limits",
        "Limits",
        "Counted while writing. Empty is no limit.",
        &["sessions_max", "upload_bytes_per_s", "download_bytes_per_s", "file_bytes_max", "quota_bytes", "quota_files"],
    ),
    section("data", "Data connections", "", &["tls_session_reuse", "tls_end", "active_mode"]),
    section("sent", "Sent folder", "", &["save_to_sent_folder", "sent_folder_scheme"]),
    SectionSpec {
        id: "older",
        title: "For older clients",
        intro: "What scripts and devices of this partner expect.",
        keys: &["start_folder", "send_alias", "receive_alias", "name_encoding", "list_time_zone"],
        folded: true,
    },
    section("logging", "Logging", "", &["log_level", "log_subfolder_scheme", "log_messages"]),
];

/// Width and face of a control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The classes of the control.
    pub class: &'static str,
    /// Lines of an area.
    pub lines: u8,
}

/// How the control of a setting looks.
pub fn look(key: &str) -> Look {
    let class = match key {
        "description" => "",
        "group" | "time_zone" => "w-m",
        "passive_port_range"
        | "received_file_mode"
        | "valid_from"
        | "valid_until"
        | "disk_reserve"
        | "name_encoding"
        | "list_time_zone"
        | "upload_bytes_per_s"
        | "download_bytes_per_s"
        | "file_bytes_max"
        | "quota_bytes" => "mono w-s",
        "listen_address" | "passive_address" | "send_alias" | "receive_alias" | "start_folder" => "mono w-m",
        _ => "mono",
    };
    let lines = if key == "welcome_message" { 3 } else { 2 };
    Look { class, lines }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::connector::ConnectorSettings;
    use crate::domain::profile::Profile;
    use crate::domain::setting::Setting;

    fn sorted<'a>(keys: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        let mut keys: Vec<_> = keys.collect();
        keys.sort_unstable();
        keys
    }

    fn all(settings: &'static [Setting]) -> Vec<&'static str> {
        sorted(settings.iter().map(|setting| setting.key).filter(|key| *key != "type"))
    }

    #[test]
    fn every_setting_stands_on_exactly_one_page() {
        let of = |layouts: &[&'static [SectionSpec]]| {
            sorted(layouts.iter().flat_map(|layout| layout.iter()).flat_map(|section| section.keys).copied())
        };
        assert_eq!(of(&[PROFILE]), all(Profile::SETTINGS));
        assert_eq!(of(&[CONNECTOR_SETTINGS, CONNECTOR_ADVANCED]), all(ConnectorSettings::SETTINGS));
    }
}
