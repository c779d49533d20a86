//! The top of every page of a connector: its name and state, and its tabs.

use crate::domain::administrator::Role;
use crate::domain::connector::ConnectorId;
use crate::store::receipt::{self, Search};
use crate::transfer::offer::{self, Owner};
use crate::web::context::Context;
use crate::web::error::WebError;

/// Counting stops here: a tab says "10,000+".
const COUNTED_MAX: i64 = 10_000;
/// Waiting files are counted up to here: a tab says "99+".
const WAITING_MAX: usize = 100;

/// The top of a connector's page.
#[derive(Clone, Debug)]
pub struct Head {
    /// The connector.
    pub id: String,
    /// Which tab is open.
    pub tab: &'static str,
    /// Its description.
    pub description: String,
    /// Whether it is enabled.
    pub enabled: bool,
    /// Whether a partner signs in with it.
    pub is_partner: bool,
    /// Its type, in words.
    pub kind: &'static str,
    /// Sessions of the partner now.
    pub live_sessions: usize,
    /// Files received.
    pub received: String,
    /// Files waiting in Send.
    pub waiting: String,
    /// Whether the reader may change something here.
    pub may_edit: bool,
}

impl Head {
    /// For the present state of the connector.
    pub async fn new(context: &Context, id: &ConnectorId, tab: &'static str) -> Result<Self, WebError> {
        let snapshot = context.state.live.snapshot();
        let live = snapshot.connector(id.as_str());
        let search = Search { connector_key: Some(id.key().to_owned()), ..Search::default() };
        let received = receipt::count(&context.state.db, &search, COUNTED_MAX + 1).await?;
        let is_partner = live.is_none_or(|live| live.connector.is_partner());
        let waiting = match live.filter(|_| is_partner) {
            // An unreadable folder is reported where it matters: on the Send tab.
            Some(live) => {
                let owner = Owner { snapshot: &snapshot, connector: &live.connector };
                offer::count(&context.state.depot, owner, WAITING_MAX).await.unwrap_or_default()
            }
            None => 0,
        };
        Ok(Self {
            id: id.to_string(),
            tab,
            description: live.map(|live| live.connector.settings.description.as_str().to_owned()).unwrap_or_default(),
            enabled: live.is_some_and(|live| live.connector.settings.enabled),
            is_partner,
            kind: live.map_or("", |live| live.connector.settings.r#type.label()),
            live_sessions: live_sessions(context, id),
            received: at_most(received, COUNTED_MAX.unsigned_abs()),
            waiting: at_most(waiting as u64, WAITING_MAX as u64 - 1),
            may_edit: context.may(Role::Editor),
        })
    }

    /// Whether `tab` is the one that is open.
    pub fn is(&self, tab: &str) -> bool {
        self.tab == tab
    }
}

/// Sessions of the connector's partner now.
pub fn live_sessions(context: &Context, id: &ConnectorId) -> usize {
    let sessions = context.state.presence.sessions();
    sessions.iter().filter(|one| one.doing.connector.as_deref() == Some(id.as_str())).count()
}

fn at_most(count: u64, most: u64) -> String {
    let shown = crate::base::human::thousands(count.min(most));
    if count > most { format!("{shown}+") } else { shown }
}
