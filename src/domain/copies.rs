//! Copies kept of collected and received files: where they go (PRODUCT section 4).

use super::stored_name::storable;
use super::value::{FolderScheme, ZoneName};
use crate::base::clock::Timestamp;
use crate::base::id::ReceiptId;

/// Where copies of collected files are kept, below the connector's folder.
pub const SENT: &str = "Sent";
/// Where copies of received files are kept, beside the records of the sessions.
pub const LOG: &str = "Log";

/// The name of the copy of a received file: its receipt tells what it was.
pub fn logged(receipt: &ReceiptId, name: &str) -> String {
    storable(&format!("{receipt} {name}")).map_or_else(|| receipt.to_string(), |name| name.to_string())
}

/// The dated folder for `at`, in the time zone `zone`: `2026`, `2026-11`, `2026-W48`, `2026-11-25`. Empty: none.
pub fn folder(scheme: FolderScheme, at: Timestamp, zone: &ZoneName) -> String {
    let date = at.calendar().to_zoned(zone.zone().clone()).date();
    match scheme {
        FolderScheme::None => String::new(),
        FolderScheme::Daily => format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day()),
        FolderScheme::Weekly => {
            // The year of an ISO week may differ from that of its days.
            let week = date.iso_week_date();
            format!("{:04}-W{:02}", week.year(), week.week())
        }
        FolderScheme::Monthly => format!("{:04}-{:02}", date.year(), date.month()),
        FolderScheme::Yearly => format!("{:04}", date.year()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::path::Name;
    use crate::domain::setting::Value;
    use proptest::prelude::*;

    #[test]
    fn the_copy_of_a_received_file_begins_with_its_receipt() {
        let id = ReceiptId::parse("019d0aa3-cc00-7011-8000-000000000012").unwrap();
        assert_eq!(logged(&id, "po.edi"), format!("{id} po.edi"));
        let long = logged(&id, &format!("{}.edi", "x".repeat(250)));
        assert!(long.len() == 255 && long.starts_with(id.as_str()) && &long[251..] == ".edi");
    }

    fn folders(at: &str, zone: &str) -> String {
        let at = Timestamp::parse_rfc3339(at).unwrap();
        let zone = ZoneName::parse(zone).unwrap();
        let folders: Vec<_> = FolderScheme::ALL.iter().map(|scheme| folder(*scheme, at, &zone)).collect();
        folders.join(" ")
    }

    #[test]
    fn each_scheme_has_its_form() {
        assert_eq!(folders("2026-11-25T12:00:00Z", "UTC"), " 2026-11-25 2026-W48 2026-11 2026");
        // Friday, 1 January 2027 belongs to the last week of 2026; in Berlin it has already begun.
        assert_eq!(folders("2026-12-31T23:30:00Z", "Europe/Berlin"), " 2027-01-01 2026-W53 2027-01 2027");
        assert_eq!(folders("2026-12-31T23:30:00Z", "UTC"), " 2026-12-31 2026-W53 2026-12 2026");
    }

    proptest! {
        #[test]
        fn a_folder_is_always_one_name(us in any::<i64>()) {
            let zone = ZoneName::parse("Pacific/Auckland").unwrap();
            for scheme in FolderScheme::ALL.iter().copied() {
                let name = folder(scheme, Timestamp::from_us(us), &zone);
                prop_assert!(name.is_empty() == (scheme == FolderScheme::None));
                prop_assert!(name.is_empty() || Name::parse(&name).is_ok());
            }
        }
    }
}
