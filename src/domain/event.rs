//! Events: a closed list with names that never change. Table, page, log and webhook are views of the same value.

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A file was received: whole, synced, recorded.
    AfterReceive,
    /// A partner collected a file from Send.
    AfterSend,
    /// What an action does was given up after its last retry.
    ActionFailed,
    /// A partner asks for a file, and an action is asked whether it may be sent.
    BeforeSend,
    /// An administrator signed in.
    AdministratorSignedIn,
    /// An administrator's sign-in failed.
    AdministratorSignInFailed,
    /// A backup could not be made.
    BackupFailed,
    /// A backup was made.
    BackupMade,
    /// A certificate that servers present expires soon, or has.
    CertificateExpiring,
    /// An authority did not issue a certificate that was asked for.
    CertificateFailed,
    /// An authority issued a certificate, and it is in the store.
    CertificateIssued,
    /// A delivery was given up after its last retry.
    DeliveryFailed,
    /// The free room of the disk comes near the disk reserve, below which uploads are refused.
    DiskLow,
    /// Records or copies older than they are kept were removed.
    Expired,
    /// The listener's state changed: bound, stopped.
    ListenerChanged,
    /// The listener could not be bound.
    ListenerNotBound,
    /// A partner's login failed.
    LoginFailed,
    /// An enabled partner has not signed in for longer than it may.
    PartnerNotSeen,
    /// The host name of the Passive Address could not be resolved.
    PassiveAddressUnresolved,
    /// What recovery at start found and did.
    Recovered,
    /// A partner was refused more often in an hour than is usual.
    RefusalsMany,
    /// A window of an SLA lacks files and ends soon.
    SlaAtRisk,
    /// A window of an SLA got its files in the grace after its end.
    SlaLate,
    /// A window of an SLA that was at risk has its files.
    SlaMet,
    /// A window of an SLA ended without its files.
    SlaViolated,
    /// Storage fails: a write or a sync could not be done.
    StorageFailing,
    /// A macro of a Local File Scheme found nothing, and a file is stored under a name without that part.
    StoredNameIncomplete,
    /// An administrator asked for an event, to see whether it arrives.
    Test,
    /// An unfinished upload was removed to make room for another: there are too many in that folder.
    UnfinishedDropped,
    /// Unfinished uploads older than they may be were removed.
    UnfinishedPurged,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 30] = [
        Self::AfterReceive,
        Self::AfterSend,
        Self::ActionFailed,
        Self::BeforeSend,
        Self::AdministratorSignedIn,
        Self::AdministratorSignInFailed,
        Self::BackupFailed,
        Self::BackupMade,
        Self::CertificateExpiring,
        Self::CertificateFailed,
        Self::CertificateIssued,
        Self::DeliveryFailed,
        Self::DiskLow,
        Self::Expired,
        Self::ListenerChanged,
        Self::ListenerNotBound,
        Self::LoginFailed,
        Self::PartnerNotSeen,
        Self::PassiveAddressUnresolved,
        Self::Recovered,
        Self::RefusalsMany,
        Self::SlaAtRisk,
        Self::SlaLate,
        Self::SlaMet,
        Self::SlaViolated,
        Self::StorageFailing,
        Self::StoredNameIncomplete,
        Self::Test,
        Self::UnfinishedDropped,
        Self::UnfinishedPurged,
    ];

    /// Its stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AfterReceive => "after_receive",
            Self::AfterSend => "after_send",
            Self::ActionFailed => "action_failed",
            Self::BeforeSend => "before_send",
            Self::AdministratorSignedIn => "administrator_signed_in",
            Self::AdministratorSignInFailed => "administrator_sign_in_failed",
            Self::BackupFailed => "backup_failed",
            Self::BackupMade => "backup_made",
            Self::CertificateExpiring => "certificate_expiring",
            Self::CertificateFailed => "certificate_failed",
            Self::CertificateIssued => "certificate_issued",
            Self::DeliveryFailed => "delivery_failed",
            Self::DiskLow => "disk_low",
            Self::Expired => "expired",
            Self::ListenerChanged => "listener_changed",
            Self::ListenerNotBound => "listener_not_bound",
            Self::LoginFailed => "login_failed",
            Self::PartnerNotSeen => "partner_not_seen",
            Self::PassiveAddressUnresolved => "passive_address_unresolved",
            Self::Recovered => "recovered",
            Self::RefusalsMany => "refusals_many",
            Self::SlaAtRisk => "sla_at_risk",
            Self::SlaLate => "sla_late",
            Self::SlaMet => "sla_met",
            Self::SlaViolated => "sla_violated",
            Self::StorageFailing => "storage_failing",
            Self::StoredNameIncomplete => "stored_name_incomplete",
            Self::Test => "test",
            Self::UnfinishedDropped => "unfinished_dropped",
            Self::UnfinishedPurged => "unfinished_purged",
        }
    }

    /// Reads [`EventKind::name`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_never_change() {
        assert_eq!(
            EventKind::ALL.map(EventKind::name).join(" "),
            "after_receive after_send action_failed before_send administrator_signed_in administrator_sign_in_failed backup_failed backup_made certificate_expiring certificate_failed certificate_issued \
             delivery_failed disk_low expired \
             listener_changed listener_not_bound login_failed partner_not_seen passive_address_unresolved recovered refusals_many sla_at_risk sla_late sla_met sla_violated storage_failing stored_name_incomplete test unfinished_dropped unfinished_purged"
        );
    }
}
