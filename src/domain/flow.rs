//! Arrows between connectors (PRODUCT section 10): which are allowed, and where they lead.

use std::collections::HashMap;
use std::time::Duration;

use super::value::ConnectorType;
use crate::base::words::words;

/// The most arrows from one connector.
pub const ARROWS_FROM_MAX: usize = 32;

/// Files received by one connector are passed along to the next.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arrow {
    /// Whose files, by its id in lower case.
    pub from: String,
    /// Who gets them, likewise.
    pub to: String,
    /// It takes only what another arrow of `from` has given up.
    pub on_error: bool,
}

/// What the rules need to know about a connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id as written.
    pub id: String,
    /// Its type.
    pub kind: ConnectorType,
    /// Whether it is on.
    pub enabled: bool,
}

/// Every connector and arrow.
#[derive(Clone, Debug, Default)]
pub struct Map {
    /// Connectors by their ids in lower case.
    pub nodes: HashMap<String, Node>,
    /// Every arrow.
    pub arrows: Vec<Arrow>,
}

/// Why an arrow is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoArrow {
    /// There is no connector of that id.
    #[error("There is no connector {0}")]
    Unknown(String),
    /// From a connector to itself.
    #[error("{0} cannot pass files along to itself; choose another connector")]
    Itself(String),
    /// It exists already.
    #[error("{0} passes files along to {1} already")]
    There(String, String),
    /// Nothing comes out of that connector.
    #[error("{0} is a {1}, where files end; an arrow begins at an FTP Server or a Folder")]
    End(String, &'static str),
    /// Its target is off.
    #[error("{0} is disabled; enable it first")]
    Disabled(String),
    /// A file would come round again.
    #[error("{from} would get its own files back: {to} already passes them along to {from}{through}")]
    Loop {
        /// Where the arrow would begin.
        from: String,
        /// Where it would end.
        to: String,
        /// ` through A and B`, or nothing.
        through: String,
    },
    /// An error arrow needs an arrow that can give up.
    #[error("{0} passes files along to nobody yet; an error arrow takes what another arrow gave up")]
    NothingToGiveUp(String),
    /// Too many.
    #[error("{0} begins {ARROWS_FROM_MAX} arrows already, the most there can be")]
    TooMany(String),
}

impl Map {
    /// Whether that arrow may be added by hand.
    pub fn check(&self, arrow: &Arrow) -> Result<(), NoArrow> {
        self.fits(arrow)?;
        if arrow.on_error && !self.from(&arrow.from).any(|other| !other.on_error) {
            return Err(NoArrow::NothingToGiveUp(self.written(&arrow.from)));
        }
        let to = self.node(&arrow.to)?;
        if to.enabled { Ok(()) } else { Err(NoArrow::Disabled(to.id.clone())) }
    }

    /// Whether such an arrow is valid. Since it was drawn, its target may have been disabled, and what an error arrow
    /// takes over from may have been removed: files that were given up before may still wait on it.
    pub fn fits(&self, arrow: &Arrow) -> Result<(), NoArrow> {
        let (from, to) = (self.node(&arrow.from)?, self.node(&arrow.to)?);
        if arrow.from == arrow.to {
            return Err(NoArrow::Itself(from.id.clone()));
        }
        if !from.kind.passes_on() {
            return Err(NoArrow::End(from.id.clone(), from.kind.label()));
        }
        if self.from(&arrow.from).any(|other| other.to == arrow.to) {
            return Err(NoArrow::There(from.id.clone(), to.id.clone()));
        }
        if self.from(&arrow.from).count() >= ARROWS_FROM_MAX {
            return Err(NoArrow::TooMany(from.id.clone()));
        }
        if let Some(way) = self.way_through_folders(&arrow.to, &arrow.from) {
            let between: Vec<_> = way.iter().filter_map(|key| self.nodes.get(key)).map(|node| &*node.id).collect();
            let through =
                if between.is_empty() { String::new() } else { format!(" through {}", between.join(" and ")) };
            return Err(NoArrow::Loop { from: from.id.clone(), to: to.id.clone(), through });
        }
        Ok(())
    }

    /// The connector's id as written, for one typed in any case; the typed text if there is none.
    pub fn written(&self, typed: &str) -> String {
        self.nodes.get(&typed.to_ascii_lowercase()).map_or_else(|| typed.to_owned(), |node| node.id.clone())
    }

    fn node(&self, key: &str) -> Result<&Node, NoArrow> {
        self.nodes.get(key).ok_or_else(|| NoArrow::Unknown(key.to_owned()))
    }

    /// The arrows from a connector.
    pub fn from<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Arrow> {
        self.arrows.iter().filter(move |arrow| arrow.from == key)
    }

    /// How a file gets from one connector to another by itself: only a Folder passes on what was passed along to it,
    /// since files in a partner's Send end there. Returns the connectors in between.
    fn way_through_folders(&self, start: &str, goal: &str) -> Option<Vec<String>> {
        let mut came_from: HashMap<&str, &str> = HashMap::new();
        let mut next = vec![start];
        // A file that arrives in a partner's Send is not one it received.
        if !self.is_folder(goal) {
            return None;
        }
        while let Some(at) = next.pop() {
            if !self.is_folder(at) {
                continue;
            }
            for arrow in self.from(at) {
                if arrow.to == goal {
                    let mut way = Vec::new();
                    let mut step = at;
                    while step != start {
                        way.push(step.to_owned());
                        step = came_from.get(step).copied().unwrap_or(start);
                    }
                    way.reverse();
                    return Some(way);
                }
                if arrow.to != start && !came_from.contains_key(arrow.to.as_str()) {
                    came_from.insert(&arrow.to, at);
                    next.push(&arrow.to);
                }
            }
        }
        None
    }

    fn is_folder(&self, key: &str) -> bool {
        self.nodes.get(key).is_some_and(|node| node.kind == ConnectorType::Folder)
    }
}

words! {
    /// The state of a delivery.
    pub enum DeliveryState {
        /// Its first attempt is still to come.
        Waiting = "waiting", "Waiting";
        /// An attempt failed; the next one is still to come.
        Retrying = "retrying", "Retrying";
        /// The target has it.
        Delivered = "delivered", "Delivered";
        /// Given up after the last retry.
        Failed = "failed", "Failed";
        /// Ended by an administrator, or by the target itself.
        Stopped = "stopped", "Stopped";
    }
}

impl DeliveryState {
    /// Whether it is over, unless it is begun anew.
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Delivered | Self::Failed | Self::Stopped)
    }
}

/// When attempts are repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Attempts after the first one.
    pub most: u32,
    /// The wait before the first of them; it doubles each time.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
}

impl Retries {
    /// How long to wait after that many failed attempts; `None`: give up.
    pub fn wait(&self, failed: u32) -> Option<Duration> {
        if failed == 0 || failed > self.most {
            return (failed == 0).then_some(Duration::ZERO);
        }
        let doubled = 1_u32.checked_shl(failed - 1).and_then(|times| self.first.checked_mul(times));
        Some(doubled.map_or(self.longest, |wait| wait.min(self.longest)))
    }
}

/// The target of mail in deliveries.
const ALERT_MAIL: &str = "alert:mail";

/// A target as written in deliveries: `connector:acme`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// A connector, by its id in lower case.
    Connector(String),
    /// An action, by its id.
    Action(String),
    /// An event target, by its id.
    Events(String),
    /// Mail to those who are alerted.
    AlertMail,
}

impl Target {
    /// Reads [`Target::text`].
    pub fn parse(text: &str) -> Option<Self> {
        if text == ALERT_MAIL {
            return Some(Self::AlertMail);
        }
        let (kind, id) = text.split_once(':')?;
        match kind {
            "connector" => Some(Self::Connector(id.to_owned())),
            "action" => Some(Self::Action(id.to_owned())),
            "events" => Some(Self::Events(id.to_owned())),
            _ => None,
        }
    }

    /// Its stored form.
    pub fn text(&self) -> String {
        match self {
            Self::Connector(key) => format!("connector:{key}"),
            Self::Action(id) => format!("action:{id}"),
            Self::Events(id) => format!("events:{id}"),
            Self::AlertMail => ALERT_MAIL.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn map(nodes: &[(&str, ConnectorType)], arrows: &[(&str, &str)]) -> Map {
        let node = |(id, kind): &(&str, ConnectorType)| {
            ((*id).to_owned(), Node { id: (*id).to_owned(), kind: *kind, enabled: true })
        };
        Map { nodes: nodes.iter().map(node).collect(), arrows: arrows.iter().map(|(a, b)| arrow(a, b)).collect() }
    }

    fn arrow(from: &str, to: &str) -> Arrow {
        Arrow { from: from.to_owned(), to: to.to_owned(), on_error: false }
    }

    const FOLDER: ConnectorType = ConnectorType::Folder;
    const PARTNER: ConnectorType = ConnectorType::FtpServer;

    #[test]
    fn a_loop_through_folders_is_refused_and_says_which_closes_it() {
        let nodes = [("acme", PARTNER), ("globex", PARTNER), ("archive", FOLDER), ("middle", FOLDER), ("cold", FOLDER)];
        let flows = map(&nodes, &[("acme", "archive"), ("archive", "middle"), ("middle", "cold"), ("acme", "globex")]);
        let said = |from, to| flows.check(&arrow(from, to)).unwrap_err().to_string();
        assert_eq!(
            said("cold", "archive"),
            "cold would get its own files back: archive already passes them along to cold through middle"
        );
        assert_eq!(
            said("middle", "archive"),
            "middle would get its own files back: archive already passes them along to middle"
        );
        assert_eq!(said("acme", "acme"), "acme cannot pass files along to itself; choose another connector");
        assert_eq!(said("acme", "archive"), "acme passes files along to archive already");
        assert_eq!(said("acme", "nobody"), "There is no connector nobody");
        // Files in a partner's Send go no further by themselves.
        assert_eq!(flows.check(&arrow("globex", "acme")), Ok(()));
        assert_eq!(flows.check(&arrow("cold", "acme")), Ok(()));
    }

    #[test]
    fn an_arrow_begins_where_files_come_out_and_ends_at_what_is_on() {
        let mut flows = map(&[("acme", PARTNER), ("hook", ConnectorType::Webhook), ("off", FOLDER)], &[]);
        flows.nodes.get_mut("off").unwrap().enabled = false;
        let said = |arrow: &Arrow| flows.check(arrow).unwrap_err().to_string();
        assert_eq!(
            said(&arrow("hook", "acme")),
            "hook is a Webhook, where files end; an arrow begins at an FTP Server or a Folder"
        );
        assert_eq!(said(&arrow("acme", "off")), "off is disabled; enable it first");
        let error = Arrow { on_error: true, ..arrow("acme", "hook") };
        assert!(said(&error).starts_with("acme passes files along to nobody yet"));
        assert_eq!(Target::parse("connector:acme").unwrap().text(), "connector:acme");
        assert_eq!(Target::parse(&Target::AlertMail.text()), Some(Target::AlertMail));
        for text in ["action:1", "events:1"] {
            assert_eq!(Target::parse(text).unwrap().text(), text);
        }
        assert_eq!(Target::parse("acme"), None);
    }

    #[test]
    fn waits_double_up_to_the_longest_and_then_it_is_given_up() {
        let usual = Retries { most: 10, first: Duration::from_mins(1), longest: Duration::from_hours(1) };
        let waits: Vec<_> = (1..=10).map(|failed| usual.wait(failed).unwrap().as_secs()).collect();
        assert_eq!(waits, [60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600, 3_600]);
        assert_eq!((usual.wait(0), usual.wait(11)), (Some(Duration::ZERO), None));
        let many = Retries { most: 100, ..usual };
        assert_eq!(many.wait(99), Some(usual.longest));
        for state in DeliveryState::ALL {
            assert_eq!(DeliveryState::parse(state.name()), Some(state));
        }
    }

    proptest! {
        /// However arrows are added, one by one and as the rules allow, no file comes round again.
        #[test]
        fn no_sequence_of_allowed_arrows_makes_a_loop(
            folders in proptest::collection::vec(any::<bool>(), 6),
            tried in proptest::collection::vec((0_usize..6, 0_usize..6), 0..60),
        ) {
            let ids: Vec<_> = (0..6).map(|n| format!("c{n}")).collect();
            let nodes: Vec<_> = ids.iter().zip(&folders)
                .map(|(id, folder)| (id.as_str(), if *folder { FOLDER } else { PARTNER })).collect();
            let mut flows = map(&nodes, &[]);
            for (from, to) in tried {
                let arrow = arrow(&ids[from], &ids[to]);
                if flows.check(&arrow).is_ok() {
                    flows.arrows.push(arrow);
                }
            }
            // From each connector that receives: along arrows, only through folders, for more steps than there are
            // connectors.
            for start in &ids {
                let mut here = vec![start.clone()];
                for _ in 0..=ids.len() {
                    here = here.iter().filter(|key| *key == start || flows.is_folder(key))
                        .flat_map(|key| flows.from(key).map(|arrow| arrow.to.clone())).collect();
                    here.retain(|key| flows.is_folder(key));
                    here.sort();
                    here.dedup();
                    prop_assert!(!here.contains(start));
                }
                prop_assert!(here.is_empty());
            }
        }
    }
}
