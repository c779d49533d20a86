//! How three files would be named by a Local File Scheme.

use std::net::{IpAddr, Ipv4Addr};

use crate::base::path::Name;
use crate::domain::scheme::{Facts, MACROS, Scheme};
use crate::domain::setting::Value;
use crate::store::live::LiveConnector;
use crate::web::context::Ctx;

/// The names that are tried.
const NAMES: [&str; 3] = ["orders_2031.edi", "INV 2203.final.xml", "README"];
const RECEIPT: &str = "01996a4e-5d4c-7a10-9c3e-2f1b8d7c6a55";
const DIGEST: &str = "b1946ac92492d2347c6235b4d2611184aa03c1f7e2d94b8c5f60718293a4a3f2";

/// Names before and after.
#[derive(Clone, Debug, Default)]
pub struct Preview {
    /// The scheme that is previewed.
    pub scheme: String,
    /// The client's name and the stored one.
    pub names: Vec<(&'static str, String)>,
    /// Why there is none; empty: there is.
    pub mistake: String,
    /// The macros there are.
    pub macros: Vec<String>,
    /// The time zone of dates.
    pub zone: String,
}

impl Preview {
    /// The preview of `scheme` for a connector.
    pub fn of(ctx: &Ctx, live: &LiveConnector, scheme: &str) -> Self {
        let snapshot = ctx.state.live.snapshot();
        let zone = &snapshot.appliance.time_zone;
        let macros = MACROS.iter().map(|(name, _)| format!("%{name}%")).collect();
        let base = Self { scheme: scheme.to_owned(), macros, zone: zone.as_str().to_owned(), ..Self::default() };
        let scheme = match Scheme::parse(scheme) {
            Ok(scheme) => scheme,
            Err(mistake) => return Self { mistake, ..base },
        };
        let headers = [("SubFolder".to_owned(), "invoices".to_owned())];
        let stored = |(seq, typed): (u64, &'static str)| {
            let name = Name::parse(typed).ok()?;
            let facts = Facts {
                connector_id: live.connector.id.as_str(),
                filename: &name,
                message_id: RECEIPT,
                at: ctx.now(),
                zone,
                sha256: DIGEST,
                seq,
                remote_ip: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)),
                guid: RECEIPT,
                headers: &headers,
            };
            Some((typed, scheme.apply(&facts).0.as_str().to_owned()))
        };
        Self { names: (1..).zip(NAMES).filter_map(stored).collect(), ..base }
    }

    /// A preview for tests.
    pub fn sample() -> Self {
        Self {
            scheme: "ACME-%Filename%".to_owned(),
            names: vec![("orders_2031.edi", "ACME-orders_2031.edi".to_owned())],
            mistake: String::new(),
            macros: vec!["%Filename%".to_owned()],
            zone: "UTC".to_owned(),
        }
    }
}
