//! All about one receipt: within the table, and on a page of its own.

use crate::base::clock::Timestamp;
use crate::base::human;
use crate::base::id::ReceiptId;
use crate::domain::receipt::Status;
use crate::store::receipt::Receipt;
use crate::store::renaming;
use crate::web::context::Context;
use crate::web::error::WebError;
use crate::web::pages::session;
use crate::web::tone::Tone;
use crate::web::view::Time;

/// The name of the fact for the session.
const SESSION: &str = "Session";

/// All about a receipt.
#[derive(Clone, Debug)]
pub struct Detail {
    /// Its id.
    id: ReceiptId,
    /// Its connector's id.
    pub connector: String,
    /// Where the file is now, in words.
    pub status: &'static str,
    /// The tone of that.
    pub tone: Tone,
    /// Its digest.
    pub sha256: String,
    /// Everything else, in order.
    pub facts: Vec<Fact>,
}

/// One fact of a receipt.
#[derive(Clone, Debug)]
pub struct Fact {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Monospaced, because it can be typed or copied.
    pub mono: bool,
    /// A link; empty for none.
    pub link: String,
    /// A time, which comes before the value.
    pub time: Option<Time>,
}

impl Fact {
    /// A time, and what follows it.
    pub fn at(name: &str, at: Timestamp, then: String) -> Self {
        Self { name: name.to_owned(), value: then, mono: false, link: String::new(), time: Some(at.into()) }
    }
}

impl Detail {
    /// All about `receipt`.
    pub fn of(receipt: &Receipt) -> Self {
        Self {
            id: receipt.id.clone(),
            connector: receipt.connector.clone(),
            status: receipt.status.label(),
            tone: tone(receipt.status),
            sha256: receipt.sha256.clone(),
            facts: facts(receipt),
        }
    }

    /// With a link to its session, if that has a page, and the names the file had before.
    pub async fn in_full(mut self, context: &Context) -> Result<Self, WebError> {
        for fact in self.facts.iter_mut().filter(|fact| fact.name == SESSION) {
            let known = session::known(context, &fact.value).await?;
            fact.link = if known.is_empty() { known } else { format!("/activity/sessions/{known}") };
        }
        for renaming in renaming::names(&context.state.db, &self.id).await? {
            self.facts.push(Fact::at("Renamed", renaming.at, format!(", until then {}", renaming.from)));
        }
        Ok(self)
    }
}

/// The tone of a status; its words are beside it.
pub fn tone(status: Status) -> Tone {
    match status {
        Status::PassedAlong => Tone::Good,
        Status::Lost => Tone::Bad,
        Status::Waiting | Status::Gone => Tone::Warning,
        Status::InReceive | Status::Removed | Status::Replaced => Tone::Plain,
    }
}

fn facts(receipt: &Receipt) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut add = |name: &str, value: String, mono: bool, link: String| {
        facts.push(Fact { name: name.to_owned(), value, mono, link, time: None });
    };
    let tls = if receipt.tls.is_empty() { "in clear text" } else { &receipt.tls };
    add("Receive Id", receipt.id.to_string(), true, String::new());
    add("Uploaded as", receipt.client_path.clone(), true, String::new());
    add("Stored as", receipt.stored_path.clone(), true, String::new());
    add("Size", size_words(receipt.size_bytes), false, String::new());
    add("From", format!("{}, {tls}", receipt.remote_address), false, String::new());
    facts.extend(times(receipt));
    let mut add = |name: &str, value: String, mono: bool, link: String| {
        facts.push(Fact { name: name.to_owned(), value, mono, link, time: None });
    };
    add("Ending", receipt.ending.label().to_owned(), false, String::new());
    add("Proof", format!("{}: {}", receipt.proof.name(), receipt.proof.label()), false, String::new());
    if receipt.resumed_from > 0 {
        add("Resumed from", format!("byte {}", human::thousands(receipt.resumed_from)), false, String::new());
    }
    add("Type", if receipt.ascii { "ASCII (TYPE A)" } else { "Image (TYPE I)" }.to_owned(), false, String::new());
    for (name, value) in &receipt.headers {
        let shown = if value.is_empty() { "none".to_owned() } else { value.clone() };
        add(name, shown, !value.is_empty(), String::new());
    }
    if let Some(first) = &receipt.duplicate_of {
        add("Duplicate of", first.to_string(), true, format!("/activity/receive/{first}"));
    }
    add(SESSION, receipt.session_id.to_string(), true, String::new());
    facts
}

fn times(receipt: &Receipt) -> [Fact; 2] {
    let took = receipt.completed_at.since(receipt.begun_at);
    [
        Fact::at("Begun", receipt.begun_at, String::new()),
        Fact::at("Completed", receipt.completed_at, format!(", after {} ms", took.as_millis())),
    ]
}

fn size_words(bytes: u64) -> String {
    if bytes < 1_000 {
        human::size(bytes)
    } else {
        format!("{}, {} bytes", human::size(bytes), human::thousands(bytes))
    }
}
