//! How three files would be named by a Local File Scheme.

use std::net::{IpAddr, Ipv4Addr};

use crate::base::path::Name;
use crate::domain::connector::ConnectorId;
use crate::domain::scheme::{Facts, Scheme, examples};
use crate::domain::setting::Value;
use crate::web::context::Context;

/// The sample names.
const NAMES: [&str; 3] = ["orders_2031.edi", "INV 2203.final.xml", "README"];
const RECEIPT: &str = "01996a4e-5d4c-7a10-9c3e-2f1b8d7c6a55";
const DIGEST: &str = "b1946ac92492d2347c6235b4d2611184aa03c1f7e2d94b8c5f60718293a4a3f2";

/// Names before and after.
#[derive(Clone, Debug)]
pub struct Preview {
    /// The scheme being tried.
    pub scheme: String,
    /// The client's names and the stored ones; empty if the scheme is invalid.
    pub names: Vec<(&'static str, String)>,
    /// Why it is invalid; empty if it is valid.
    pub mistake: String,
    /// The available macros.
    pub macros: Vec<String>,
    /// The time zone of dates.
    pub zone: String,
}

impl Preview {
    /// The preview of `scheme` for a connector.
    pub fn of(context: &Context, connector: &ConnectorId, scheme: &str) -> Self {
        let snapshot = context.state.live.snapshot();
        let zone = &snapshot.appliance.time_zone;
        let mut preview = Self {
            scheme: scheme.to_owned(),
            names: Vec::new(),
            mistake: String::new(),
            macros: examples().collect(),
            zone: zone.as_str().to_owned(),
        };
        let scheme = match Scheme::parse(scheme) {
            Ok(scheme) => scheme,
            Err(mistake) => return Self { mistake, ..preview },
        };
        let headers = [("SubFolder".to_owned(), "invoices".to_owned())];
        let stored = |(seq, typed): (u64, &'static str)| {
            let name = Name::parse(typed).ok()?;
            let facts = Facts {
                connector_id: connector.as_str(),
                filename: &name,
                message_id: RECEIPT,
                at: context.now(),
                zone,
                sha256: DIGEST,
                seq,
                remote_ip: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)),
                guid: RECEIPT,
                headers: &headers,
            };
            Some((typed, scheme.apply(&facts).0.as_str().to_owned()))
        };
        preview.names = (1..).zip(NAMES).filter_map(stored).collect();
        preview
    }
}
