//! Events: a closed list with names that never change. Table, page, log and webhook are views of the same value.

use crate::base::words::words;

words! {
    /// What happened.
    pub enum EventKind {
        /// A file was received: complete, synced, recorded.
        AfterReceive = "after_receive";
        /// A partner collected a file from Send.
        AfterSend = "after_send";
        /// The work of an action was given up after its last retry.
        ActionFailed = "action_failed";
        /// A partner asks for a file, and an action is asked whether it may be sent.
        BeforeSend = "before_send";
        /// An administrator signed in.
        AdministratorSignedIn = "administrator_signed_in";
        /// An administrator's sign-in failed.
        AdministratorSignInFailed = "administrator_sign_in_failed";
        /// A backup could not be made.
        BackupFailed = "backup_failed";
        /// A backup was made.
        BackupMade = "backup_made";
        /// A certificate in use expires soon, or has expired.
        CertificateExpiring = "certificate_expiring";
        /// An authority did not issue a requested certificate.
        CertificateFailed = "certificate_failed";
        /// An authority issued a certificate, and it is in the store.
        CertificateIssued = "certificate_issued";
        /// A delivery was given up after its last retry.
        DeliveryFailed = "delivery_failed";
        /// Free disk space nears the disk reserve, below which uploads are refused.
        DiskLow = "disk_low";
        /// Records or copies past their retention were removed.
        Expired = "expired";
        /// The listener's state changed: bound, stopped.
        ListenerChanged = "listener_changed";
        /// The listener could not be bound.
        ListenerNotBound = "listener_not_bound";
        /// A partner's login failed.
        LoginFailed = "login_failed";
        /// An enabled partner has not signed in for longer than it may.
        PartnerNotSeen = "partner_not_seen";
        /// The host name of the Passive Address could not be resolved.
        PassiveAddressUnresolved = "passive_address_unresolved";
        /// What recovery at start found and did.
        Recovered = "recovered";
        /// A partner was refused more often in an hour than is usual.
        RefusalsMany = "refusals_many";
        /// A window of an SLA lacks files and ends soon.
        SlaAtRisk = "sla_at_risk";
        /// A window of an SLA got its files in the grace after its end.
        SlaLate = "sla_late";
        /// A window of an SLA that was at risk has its files.
        SlaMet = "sla_met";
        /// A window of an SLA ended without its files.
        SlaViolated = "sla_violated";
        /// Storage fails: a write or a sync failed.
        StorageFailing = "storage_failing";
        /// A macro of a Local File Scheme found nothing, so a file is stored under a name without that part.
        StoredNameIncomplete = "stored_name_incomplete";
        /// An administrator asked for an event, to test its delivery.
        Test = "test";
        /// An unfinished upload was removed to make room for another: that folder has too many.
        UnfinishedDropped = "unfinished_dropped";
        /// Unfinished uploads past their retention were removed.
        UnfinishedPurged = "unfinished_purged";
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
