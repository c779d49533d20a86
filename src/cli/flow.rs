//! `flow`: which connector passes files along to which.

use super::arguments::FlowVerb;
use super::follow;
use super::output;
use super::verb::{Desk, Failure};
use crate::store::arrow::Stopped;
use crate::store::{arrow, exported};

pub(super) async fn run(desk: &mut Desk<'_>, verb: &FlowVerb) -> Result<(), Failure> {
    match verb {
        FlowVerb::List { json } => list(desk, *json).await,
        FlowVerb::Connect { from, to, error } => {
            arrow::connect(&desk.db, (from, to), *error, &desk.change()).await?;
            let map = arrow::map(&desk.db).await?;
            let (from, to) = (map.written(from), map.written(to));
            let words = if *error {
                format!("What {from} cannot pass along goes to {to} after the last retry.")
            } else {
                format!("Files received by {from} are passed along to {to}.")
            };
            follow::saved(desk, &words).await.map(drop)
        }
        FlowVerb::Disconnect { from, to } => {
            let map = arrow::map(&desk.db).await?;
            let (from_id, to_id) = (map.written(from), map.written(to));
            let Some(Stopped { waited, gone }) = arrow::disconnect(&desk.db, from, to, &desk.change()).await? else {
                return Err(Failure::Failed(format!("{from_id} passes nothing along to {to_id}")));
            };
            let count = |count| crate::base::human::thousands(count);
            let stays = match waited.saturating_sub(gone) {
                0 => String::new(),
                1 => " One file that waited for it stays.".to_owned(),
                more => format!(" {} files that waited for it stay.", count(more)),
            };
            let goes = match gone {
                0 => String::new(),
                1 => " One that waited had left Receive, and is not kept any more.".to_owned(),
                more => format!(" {} that waited had left Receive, and are not kept any more.", count(more)),
            };
            let words = format!("{from_id} passes nothing along to {to_id} any more.{stays}{goes}");
            follow::saved(desk, &words).await.map(drop)
        }
    }
}

async fn list(desk: &mut Desk<'_>, json: bool) -> Result<(), Failure> {
    let map = arrow::map(&desk.db).await?;
    if !json && map.arrows.is_empty() {
        let words = "Nothing is passed along yet. Pass files along: waybill flow connect FROM TO";
        return Ok(writeln!(desk.out, "{words}")?);
    }
    let arrows = exported::Arrow::all(&map);
    if json {
        return Ok(arrows.iter().try_for_each(|arrow| output::json_line(desk.out, arrow))?);
    }
    let rows: Vec<_> = arrows
        .iter()
        .map(|arrow| [&*arrow.from, &*arrow.to, if arrow.on_error { "on error" } else { "" }].map(output::printable))
        .collect();
    Ok(output::columns(desk.out, ["FROM", "TO", ""], &rows)?)
}

#[cfg(test)]
mod tests {
    use crate::cli::verb::tests::{refused, say};
    use crate::store::{Db, audit};

    #[tokio::test]
    async fn arrows_are_drawn_listed_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let said = async |line: &str| say(data, &line.split(' ').collect::<Vec<_>>(), "").await.unwrap();
        let no = async |line: &str| refused(data, &line.split(' ').collect::<Vec<_>>()).await;
        assert!(said("flow list").await.starts_with("Nothing is passed along yet."));
        said("connector add Acme password=long-enough-indeed").await;
        assert_eq!(said("connector add archive type=folder keep_days=90").await, "Added connector archive.\n");
        assert!(no("connector add other type=folder password=long-enough-indeed").await.starts_with("password: "));
        assert!(no("connector set archive type=ftp_server").await.starts_with("type: archive is a Folder, for good"));
        assert!(no("connector set archive password=long-enough-indeed").await.starts_with("password: "));
        assert!(no("connector set Acme output_folder=archive/in").await.contains("a folder of archive"));
        let added = said("connector add erp type=webhook url=https://erp.example.com/in").await;
        assert!(added.contains("\nsecret="), "{added}");
        said("connector set Acme description=Ghent").await;
        assert!(no("connector add hook type=webhook").await.starts_with("url: A Webhook needs the address"));
        assert!(
            no("connector set erp password=long-enough-indeed").await.starts_with("password: A Webhook has a secret")
        );
        assert_eq!(said("connector set erp secret=long-enough-indeed").await, "Saved.\n");
        assert!(no("flow connect erp acme").await.starts_with("from: erp is a Webhook, where files end"));
        said("connector remove erp").await;
        assert_eq!(said("flow connect acme ARCHIVE").await, "Files received by Acme are passed along to archive.\n");
        assert_eq!(no("flow connect acme archive").await, "to: Acme passes files along to archive already");
        assert_eq!(no("flow connect nobody archive").await, "from: There is no connector nobody");
        assert_eq!(no("flow connect acme Nobody").await, "to: There is no connector Nobody");
        assert_eq!(said("flow list").await, "FROM  TO\nAcme  archive\n");
        assert_eq!(said("flow list --json").await, "{\"from\":\"Acme\",\"to\":\"archive\",\"on_error\":false}\n");
        assert_eq!(said("flow disconnect acme archive").await, "Acme passes nothing along to archive any more.\n");
        assert_eq!(no("flow disconnect acme archive").await, "Acme passes nothing along to archive");
        said("flow connect acme archive").await;
        said("connector remove archive").await;
        assert!(said("flow list").await.starts_with("Nothing"), "an arrow goes with its connector");
        let db = Db::open(data).await.unwrap();
        let entries = audit::latest(&db, Some("connector Acme"), 100).await.unwrap();
        let drawn: Vec<_> = entries.iter().filter(|one| one.key == "passes along to").collect();
        assert_eq!(drawn.len(), 4);
        for gone in [drawn[0], drawn[2]] {
            assert_eq!((gone.before.as_str(), gone.after.as_str()), ("archive", ""));
        }
    }
}
