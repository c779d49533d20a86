//! How much is in a partner's folder, shown beside the setting that names it.

use std::time::Duration;

use crate::base::human;
use crate::domain::connector::Connector;
use crate::domain::place::Folder;
use crate::store::live::Snapshot;
use crate::web::context::Context;
use crate::workspace::listing::files_below;

/// Files counted; a page says if there are more.
const FILES_MAX: u64 = 2_000;
/// Folders searched.
const FOLDERS_MAX: usize = 200;
/// How long a page waits for the count.
const WITHIN: Duration = Duration::from_millis(200);

/// The contents of a folder, in words: counted on disk, as far as a page can wait.
pub async fn words(context: &Context, (snapshot, connector): (&Snapshot, &Connector), side: Folder) -> String {
    let workspace = context.state.depot.workspaces.get(&snapshot.profile, connector);
    let Ok(workspace) = workspace else { return String::new() };
    let counting = tokio::task::spawn_blocking(move || {
        let (mut files, mut bytes) = (0, 0_u64);
        let all = files_below(workspace.folder(side), FOLDERS_MAX, |_, version| {
            let counts = files < FILES_MAX;
            if counts {
                files += 1;
                bytes = bytes.saturating_add(version.size_bytes);
            }
            counts
        });
        all.map(|all| (files, bytes, all))
    });
    match tokio::time::timeout(WITHIN, counting).await {
        Ok(Ok(Ok(counted))) => holds(counted),
        // An unreadable folder is reported where it matters: on the Send tab, by an event.
        Ok(_) => String::new(),
        Err(_) => "What it holds takes longer to count than this page waits.".to_owned(),
    }
}

fn holds((files, bytes, all): (u64, u64, bool)) -> String {
    match (files, all) {
        (0, true) => "It is empty.".to_owned(),
        (_, true) => format!("It holds {}, {}.", human::count(files, "file", "files"), human::size(bytes)),
        (_, false) => {
            format!("It holds more than {}, {}.", human::count(files, "file", "files"), human::size(bytes))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_counted_to_the_end_is_said_so() {
        assert_eq!(holds((0, 0, true)), "It is empty.");
        assert_eq!(holds((1, 5, true)), "It holds 1 file, 5 bytes.");
        assert_eq!(holds((2_000, 3_400_000, false)), "It holds more than 2,000 files, 3.4 MB.");
    }
}
