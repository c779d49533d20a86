//! The words of a receipt: one row of the Receive table.

use crate::base::words::words;

words! {
    /// Where a received file is now.
    pub enum Status {
        /// In the connector's Receive folder.
        InReceive = "in_receive", "In Receive";
        /// Waiting for a target.
        Waiting = "waiting", "Waiting";
        /// Every target has it.
        PassedAlong = "passed_along", "Passed along";
        /// Deleted by the partner or an administrator.
        Removed = "removed", "Removed";
        /// A later upload took its name.
        Replaced = "replaced", "Replaced";
        /// No longer there, though Waybill did not remove it.
        Gone = "gone", "Gone";
        /// The bytes were lost before the partner was told 226.
        Lost = "lost", "Lost before 226";
    }
}

words! {
    /// How the data connection of an upload ended (PRODUCT 5.3).
    pub enum Ending {
        /// Orderly: `close_notify`, or in clear a FIN while the control connection lives.
        Closed = "closed", "Closed in order";
        /// TLS without `close_notify`.
        Unsigned = "unsigned", "TLS not closed in order";
        /// Reset, or a FIN inside a record or with the control connection gone; or this side ended the session.
        Cut = "cut", "Cut off";
        /// The client sent ABOR.
        Aborted = "aborted", "Aborted by the client";
        /// No byte moved for too long.
        Stalled = "stalled", "Stalled";
        /// A limit was hit on the way.
        Refused = "refused", "Refused on the way";
        /// Writing or reading failed on our side.
        Failed = "failed", "Failed on this side";
    }
}

words! {
    /// How sure it is that the file is what the partner meant to send.
    pub enum Proof {
        /// The client confirmed digest or size afterwards.
        A = "A", "Client confirmed it";
        /// Closed by TLS.
        B = "B", "Closed by TLS";
        /// Closed by TCP.
        C = "C", "Closed by TCP";
        /// Not signed.
        D = "D", "Not signed";
    }
}
