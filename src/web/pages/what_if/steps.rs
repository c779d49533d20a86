//! The steps from the connection to the last byte, in the FTP server's order, each with the rules by which it may say
//! no. *What if* walks along them and a refusal's page shows how far a client got: one list for both.

use super::action::Action;
use crate::domain::refusal::Rule;

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Whether there is room for one more.
    Connection,
    /// The handshake of the control connection.
    ControlTls,
    /// Whether a name may be given in clear.
    SignInEncryption,
    /// The address.
    Address,
    /// The user.
    User,
    /// Password or certificate.
    Proof,
    /// Whether the connector is enabled and valid today.
    Valid,
    /// How many sessions the connector has.
    Sessions,
    /// Whether data may go in clear.
    DataEncryption,
    /// Whether it is a valid path.
    Path,
    /// What the partner may do in that folder.
    Permission,
    /// Whether the name is acceptable.
    Name,
    /// [`Step::Permission`] and [`Step::Name`] for a command that checks them more than once.
    PermissionAndName,
    /// What exists on disk.
    WhatLiesThere,
    /// Whether an action agrees.
    Consent,
    /// Whether there is room for the file.
    Room,
    /// The second connection.
    DataConnection,
    /// Its handshake.
    DataTls,
    /// The bytes, to the end.
    Bytes,
    /// The file in its place.
    Placed,
}

/// From the connection to the end of the login.
const SIGN_IN: [Step; 8] = [
    Step::Connection,
    Step::ControlTls,
    Step::SignInEncryption,
    Step::Address,
    Step::User,
    Step::Proof,
    Step::Valid,
    Step::Sessions,
];

impl Step {
    /// The steps of an action, from the connection on.
    pub fn of(action: Action) -> Vec<Self> {
        let own: &[Self] = match action {
            Action::SignIn => &[],
            Action::Store | Action::Append => &[Self::Permission, Self::Name, Self::WhatLiesThere, Self::Room],
            Action::Retrieve => &[Self::Permission, Self::Name, Self::WhatLiesThere, Self::Consent],
            Action::Other(_) => &[Self::PermissionAndName, Self::WhatLiesThere],
        };
        let mut steps = SIGN_IN.to_vec();
        if action == Action::SignIn {
            return steps;
        }
        steps.extend(action.moves_data().then_some(Self::DataEncryption));
        steps.push(Self::Path);
        steps.extend(own);
        if action.moves_data() {
            steps.extend([Self::DataConnection, Self::DataTls, Self::Bytes]);
        }
        steps.extend(action.stores().then_some(Self::Placed));
        steps
    }

    /// Whether it belongs to the login.
    pub fn is_of_sign_in(self) -> bool {
        SIGN_IN.contains(&self)
    }

    /// Whether it comes after the 150 that announces the data connection.
    pub const fn is_after_150(self) -> bool {
        matches!(self, Self::DataTls | Self::Bytes | Self::Placed)
    }

    /// Its short name.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Connection => "Room for a session",
            Self::ControlTls => "Handshake of TLS, if any",
            Self::SignInEncryption => "Encryption of the sign-in",
            Self::Address => "Address",
            Self::User => "User",
            Self::Proof => "Proof of who it is",
            Self::Valid => "Enabled and valid now",
            Self::Sessions => "Its sessions and folders",
            Self::DataEncryption => "Encryption of the data",
            Self::Path => "Path",
            Self::Permission => "Permission in this folder",
            Self::Name => "Name against the filter",
            Self::PermissionAndName => "Permission and name",
            Self::WhatLiesThere => "What lies there",
            Self::Consent => "Action before it is sent",
            Self::Room => "Disk reserve and quota",
            Self::DataConnection => "Data connection",
            Self::DataTls => "TLS of the data connection, if any",
            Self::Bytes => "The bytes, to the end",
            Self::Placed => "Its place and name",
        }
    }

    /// The rules by which it may say no.
    pub const fn rules(self) -> &'static [Rule] {
        use Rule as R;
        match self {
            Self::Connection => &[R::ProxyHeader, R::TooManySessions, R::TooManyFromAddress, R::TooManyNotLoggedIn],
            Self::ControlTls => &[R::TlsHandshakeFailed],
            Self::SignInEncryption => &[R::TlsRequiredLogin],
            Self::Address => &[R::AddressNotAllowed, R::AddressBlocked],
            Self::User => &[R::UnknownUser],
            Self::Proof => &[R::WrongPassword, R::ClientCertificate],
            Self::Valid => &[R::ConnectorDisabled, R::ConnectorNotYetValid, R::ConnectorExpired],
            Self::Sessions => &[R::TooManyForConnector, R::StorageFailing],
            Self::DataEncryption => &[R::TlsRequiredData],
            Self::Path => &[R::NameNotStorable],
            Self::Permission => &[R::OutsideFolders, R::NoRead, R::NoWrite],
            Self::Name => &[R::NameFilter],
            Self::PermissionAndName => &[R::OutsideFolders, R::NoRead, R::NoWrite, R::NameFilter, R::NameNotStorable],
            Self::WhatLiesThere => {
                &[R::StorageFailing, R::FileExists, R::AppendRefused, R::AlreadyTakenOver, R::TypeNotSupported]
            }
            Self::Consent => &[R::BeforeSend],
            Self::Room => &[R::DiskFull, R::Quota],
            Self::DataConnection => &[R::DataConnectionNotOpened, R::DataConnectionWrongAddress],
            Self::DataTls => &[R::TlsHandshakeFailed, R::SessionNotReused],
            Self::Bytes => &[
                R::BrokenOff,
                R::DeflateRatio,
                R::DiskFull,
                R::FileTooLarge,
                R::NotDeflated,
                R::Quota,
                R::Stalled,
                R::StorageFailing,
                R::TlsEndUnsigned,
            ],
            Self::Placed => &[R::FileExists, R::NameNotStorable],
        }
    }
}
