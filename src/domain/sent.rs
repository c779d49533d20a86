//! The Sent Folder Scheme: into which dated folder a copy goes (PRODUCT section 4).

use super::value::{FolderScheme, ZoneName};
use crate::base::clock::Timestamp;

/// Where copies of what a partner collected are kept, below the connector's folder.
pub const FOLDER: &str = "Sent";

/// The dated folder for `at`, by the clocks of `zone`: `2026`, `2026-11`, `2026-W48`, `2026-11-25`. Empty: none.
pub fn folder(scheme: FolderScheme, at: Timestamp, zone: &ZoneName) -> String {
    let date = at.calendar().to_zoned(zone.zone().clone()).date();
    match scheme {
        FolderScheme::None => String::new(),
        FolderScheme::Daily => format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day()),
        FolderScheme::Weekly => {
            // The year of an ISO week is not always the year of its days.
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

    fn folders(at: &str, zone: &str) -> String {
        let at = Timestamp::parse_rfc3339(at).unwrap();
        let zone = ZoneName::parse(zone).unwrap();
        let folders: Vec<_> = FolderScheme::ALL.iter().map(|scheme| folder(*scheme, at, &zone)).collect();
        folders.join(" ")
    }

    #[test]
    fn each_scheme_has_its_form() {
        assert_eq!(folders("2026-11-25T12:00:00Z", "UTC"), " 2026-11-25 2026-W48 2026-11 2026");
        // Friday, 1 January 2027 belongs to the last week of 2026; in Berlin it is that day already.
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
