//! `SITE`: Waybill's own words, and those that scripts for mainframes and Unix servers say out of habit.

use super::arguments::Bad;
use super::words::{Command, SiteArgument};
use crate::base::clock::Timestamp;
use crate::ftp::listing::parse_time_value;
use crate::ftp::reply::Code;

/// Words for what Waybill does not need: 202, so that scripts go on. Those of mainframes can be shortened to their
/// capitals, as in IBM's own lists, and switches among them take a prefix `NO`.
const NOT_NEEDED: [&str; 55] = [
    "ASAtrans",
    "AUTOMount",
    "AUTORecall",
    "BLKsize",
    "BLOCks",
    "BLOCKSIze",
    "CHGRP",
    "CHMOD",
    "CHOWN",
    "CONDdisp",
    "CYlinders",
    "DATAClass",
    "DATASetmode",
    "DCbdsn",
    "DIRECTORY",
    "DIRECTORYMode",
    "DISTYPE",
    "DSNTYPE",
    "EATTR",
    "ENCODING",
    "FILETYPE",
    "FIXrecfm",
    "IDLE",
    "ISPFSTATS",
    "JESLrecl",
    "JESRecfm",
    "LISTFMT",
    "LISTSUBdir",
    "LRecl",
    "MBDATACONN",
    "MGmtclass",
    "MIGratevol",
    "NAMEFMT",
    "PDSTYPE",
    "PRImary",
    "QUOtesoverride",
    "RDW",
    "RECfm",
    "RETpd",
    "SBDataconn",
    "SEcondary",
    "SPACETYPE",
    "STOrclass",
    "TRacks",
    "TRAILingblanks",
    "TRUNcate",
    "UCOUNT",
    "UCSHOSTCS",
    "UMASK",
    "UNIT",
    "UNIXFILETYPE",
    "VARrecfm",
    "VCOUNT",
    "VOLume",
    "WRAPrecord",
];

/// `SITE HELP`, `SITE UTIME …`, `SITE LRECL=80 RECFM=FB`.
pub(in crate::ftp) fn site(argument: &str) -> Result<Command, Bad> {
    let argument = argument.trim_start();
    let (word, rest) = argument.split_once([' ', '=', '(']).unwrap_or((argument, ""));
    Ok(Command::Site(match word.to_ascii_uppercase().as_str() {
        "" | "HELP" => SiteArgument::Help,
        "RECEIPT" if rest.is_empty() => return Err(Bad::reply(Code::ArgumentError, "Usage: SITE RECEIPT file")),
        "RECEIPT" => SiteArgument::Receipt(rest.to_owned()),
        "UTIME" => {
            let (to, path) = utime(rest)
                .ok_or_else(|| Bad::reply(Code::ArgumentError, "Usage: SITE UTIME YYYYMMDDhhmm[ss] file"))?;
            SiteArgument::Utime { to, path: path.to_owned() }
        }
        word if is_not_needed(word) || word.strip_prefix("NO").is_some_and(is_not_needed) => SiteArgument::NotNeeded,
        _ => SiteArgument::Unknown,
    }))
}

/// `word` in capitals.
fn is_not_needed(word: &str) -> bool {
    NOT_NEEDED.iter().any(|known| {
        let least = known.bytes().take_while(u8::is_ascii_uppercase).count();
        word.len() >= least && known.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word))
    })
}

/// `YYYYMMDDhhmm[ss] path`, or `path atime mtime ctime UTC`: the time of last change and the path.
fn utime(text: &str) -> Option<(Timestamp, &str)> {
    let mut words = text.trim_end().rsplitn(5, ' ');
    if let (Some(zone), Some(changed), Some(modified), Some(read), Some(path)) =
        (words.next(), words.next(), words.next(), words.next(), words.next())
        && zone.eq_ignore_ascii_case("UTC")
        && !path.is_empty()
        && parse_time_value(changed).is_some()
        && parse_time_value(read).is_some()
        && let Some(to) = parse_time_value(modified)
    {
        return Some((to, path));
    }
    let (time, path) = text.split_once(' ').filter(|(_, path)| !path.is_empty())?;
    let to = match time.len() {
        12 => parse_time_value(&format!("{time}00"))?,
        14 => parse_time_value(time)?,
        _ => return None,
    };
    Some((to, path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ftp::listing::time_value;

    fn of(line: &str) -> String {
        match Command::parse(line) {
            Ok(Command::Site(SiteArgument::Utime { to, path })) => format!("{} {path}", time_value(to)),
            Ok(Command::Site(other)) => format!("{other:?}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn utime_has_two_forms() {
        assert_eq!(of("SITE UTIME 202611251403 a b"), "20261125140300 a b");
        assert_eq!(of("SITE utime 20261125140352 a"), "20261125140352 a");
        let long = "SITE UTIME a b 20260101000000 20261125140352 20260101000000 UTC";
        assert_eq!(of(long), "20261125140352 a b");
        for bad in ["SITE UTIME", "SITE UTIME a", "SITE UTIME 2026 a", "SITE UTIME 202613251403 a"] {
            assert!(Command::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn habits_of_other_servers_are_known() {
        assert_eq!(of("SITE"), "Help");
        assert_eq!(of("SITE LRECL=80 RECFM=FB"), "NotNeeded");
        assert_eq!(of("SITE chmod 644 a"), "NotNeeded");
        for words in [
            "FIXrecfm 80 LRECL=80 RECFM=FB BLKSIZE=32720",
            "VARrecfm 84",
            "WRAPrecord",
            "NOWRAPRECORD",
            "UNIXFILETYPE=FILE",
            "SBDATACONN=(IBM-1047,ISO8859-1)",
            "SBD=(IBM-1047,ISO8859-1)",
            "PRImary=5 SECondary=1",
            "CYlinders",
            "CYL",
            "TRacks",
            "NOISPFSTATS",
            "NORDW",
        ] {
            assert_eq!(of(&format!("SITE {words}")), "NotNeeded", "{words}");
        }
        for words in ["EXEC ls", "C", "CYLINDERSX", "CHM 644 a", "NO", "é"] {
            assert_eq!(of(&format!("SITE {words}")), "Unknown", "{words}");
        }
        assert_eq!(of("SITE RECEIPT a b"), "Receipt(\"a b\")");
        assert!(NOT_NEEDED.is_sorted_by_key(|word| word.to_ascii_uppercase()));
    }
}
