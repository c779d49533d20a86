//! Actions: what a partner's files set off besides being passed along (PRODUCT section 10).

use super::command::{Arguments, ProgramName};
use super::filter::Filter;
use super::setting::{Mistake, Texts, Value};
use super::value::{ActionKind, ActionMoment, ByteCount, MailAddresses, WebAddress, WebhookBody};
use crate::settings;

settings! {
    /// The settings of one action.
    pub struct ActionSettings {
        moment: ActionMoment = "after_receive", "When",
            "What sets it off.";
        names: Filter = "", "Names",
            "Which files, such as *.x12. Empty: all.";
        size_min: Option<ByteCount> = "", "Smallest size",
            "Only files of so many bytes or more, such as 1 or 10 MiB. Empty: any.";
        size_max: Option<ByteCount> = "", "Largest size",
            "Only files of so many bytes or fewer. Empty: any.";
        kind: ActionKind = "webhook", "Do",
            "What is done.";
        enabled: bool = "on", "Action enabled",
            "Off sets nothing off any more; what waits goes on.";
        url: Option<WebAddress> = "", "Address",
            "Where it is posted to, such as https://erp.example.com/inbound.";
        body: WebhookBody = "event", "Body",
            "What is posted. A receiver of events fetches the file by other means.";
        program: Option<ProgramName> = "", "Program",
            "The file to run, directly in the folder of programs that was given at start.";
        arguments: Arguments = "", "Arguments",
            "Separated by blanks or lines; quotes hold one together. {path} is a copy of the file for this run; macros \
             such as %Filename% and %ConnectorId% as in the Local File Scheme. No shell reads them.";
        mail_to: MailAddresses = "", "Recipients",
            "Who gets a letter, separated by commas.";
    }
}

/// The keys that each kind of action needs, besides those of every action.
pub const COMMON: &[&str] = &["moment", "names", "size_min", "size_max", "kind", "enabled"];

/// One action.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// Its id.
    pub id: String,
    /// Whose files it concerns: the connector's id in lower case.
    pub connector_key: String,
    /// Its settings.
    pub settings: ActionSettings,
}

impl Action {
    /// Whether a file of that path and size sets it off at that moment.
    pub fn wants(&self, moment: ActionMoment, path: &str, size_bytes: u64) -> bool {
        let settings = &self.settings;
        let name = path.rsplit('/').next().unwrap_or_default();
        settings.enabled
            && settings.moment == moment
            && settings.names.accepts(name)
            && settings.size_min.is_none_or(|least| size_bytes >= least.get())
            && settings.size_max.is_none_or(|most| size_bytes <= most.get())
    }

    /// Whether it gets the file itself.
    pub fn needs_bytes(&self) -> bool {
        match self.settings.kind {
            ActionKind::Webhook => self.settings.body == WebhookBody::File,
            ActionKind::Command => self.settings.arguments.name_the_path(),
            ActionKind::Mail => false,
        }
    }
}

impl ActionSettings {
    /// Reads and checks all of it.
    ///
    /// # Errors
    /// Every mistake, in words.
    pub fn parse(texts: &Texts) -> Result<Self, Vec<Mistake>> {
        let settings = Self::read(texts)?;
        let mistakes = settings.mistakes();
        if mistakes.is_empty() { Ok(settings) } else { Err(mistakes) }
    }

    fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        let mut wrong = |key, message: &str| mistakes.push(Mistake::new(key, message));
        match self.kind {
            ActionKind::Webhook if self.url.is_none() => {
                wrong("url", "A webhook needs the address it posts to, such as https://erp.example.com/inbound");
            }
            ActionKind::Command if self.program.is_none() => {
                wrong("program", "A command needs the name of the program it runs, such as import-orders");
            }
            ActionKind::Mail if self.mail_to.is_empty() => {
                wrong("mail_to", "A letter needs somebody who gets it, such as edi@example.com");
            }
            _ => {}
        }
        if let (Some(least), Some(most)) = (self.size_min, self.size_max)
            && least > most
        {
            wrong("size_max", "No file is as large as the smallest size and no larger than this; write a larger one");
        }
        if self.moment == ActionMoment::BeforeSend {
            if self.kind == ActionKind::Mail {
                wrong("kind", "A letter cannot say no before a file is sent; choose a webhook or a command");
            }
            if self.kind == ActionKind::Webhook && self.body == WebhookBody::File {
                wrong("body", "The partner waits for the answer; post the event, which names the file");
            }
        }
        if self.moment == ActionMoment::AfterSend {
            let gone = "A file that was collected may be gone by then";
            if self.kind == ActionKind::Webhook && self.body == WebhookBody::File {
                wrong("body", &format!("{gone}; post the event"));
            }
            if self.kind == ActionKind::Command && self.arguments.name_the_path() {
                wrong("arguments", &format!("{gone}; leave {{path}} out and write %Filename%"));
            }
        }
        mistakes
    }

    /// `After *.x12 is received: post to https://…`.
    pub fn in_words(&self) -> String {
        let names = self.names.text();
        let what = if names.is_empty() { "a file" } else { names.as_str() };
        let sizes = match (self.size_min, self.size_max) {
            (Some(least), Some(most)) => format!(" of {} to {}", least.text(), most.text()),
            (Some(least), None) => format!(" of {} or more", least.text()),
            (None, Some(most)) => format!(" of {} or less", most.text()),
            (None, None) => String::new(),
        };
        let when = match self.moment {
            ActionMoment::AfterReceive => format!("After {what}{sizes} is received"),
            ActionMoment::BeforeSend => format!("Before {what}{sizes} is sent, unless it says no"),
            ActionMoment::AfterSend => format!("After {what}{sizes} is collected"),
            ActionMoment::DeliveryFailed => format!("When {what}{sizes} could not be passed along"),
        };
        format!("{when}: {}", self.deed())
    }

    /// `post to https://…`.
    pub fn deed(&self) -> String {
        match self.kind {
            ActionKind::Webhook => format!("post to {}", self.url.text()),
            ActionKind::Command => format!("run {}", self.program.text()),
            ActionKind::Mail => format!("mail to {}", self.mail_to.text()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pairs: &[(&str, &str)]) -> Texts {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn action(pairs: &[(&str, &str)]) -> Action {
        let settings = ActionSettings::parse(&texts(pairs)).unwrap();
        Action { id: "1".to_owned(), connector_key: "acme".to_owned(), settings }
    }

    #[test]
    fn an_action_is_set_off_by_its_moment_and_the_files_it_is_about() {
        use ActionMoment::{AfterReceive, AfterSend};
        let mail = [("kind", "mail"), ("mail_to", "a@b"), ("names", "*.x12"), ("size_min", "2"), ("size_max", "10")];
        let one = action(&mail);
        let wants = [("/Receive/in/A.X12", 2), ("/Receive/a.x12", 10)];
        assert!(wants.iter().all(|(path, size)| one.wants(AfterReceive, path, *size)));
        let not = [("/Receive/a.edi", 5), ("/Receive/a.x12", 1), ("/Receive/a.x12", 11)];
        assert!(not.iter().all(|(path, size)| !one.wants(AfterReceive, path, *size)));
        assert!(!one.wants(AfterSend, "/Send/a.x12", 5));
        assert!(!action(&[&mail[..], &[("enabled", "off")]].concat()).wants(AfterReceive, "/Receive/a.x12", 5));
        assert_eq!(one.settings.in_words(), "After *.x12 of 2 to 10 is received: mail to a@b");
    }

    #[test]
    fn what_cannot_be_is_told_at_its_field() {
        let said = |pairs: &[(&str, &str)]| ActionSettings::parse(&texts(pairs)).unwrap_err()[0].key.clone();
        assert_eq!(said(&[]), "url");
        assert_eq!(said(&[("kind", "command")]), "program");
        assert_eq!(said(&[("kind", "mail")]), "mail_to");
        let url = ("url", "https://erp.example.com/in");
        assert_eq!(said(&[url, ("size_min", "2"), ("size_max", "1")]), "size_max");
        assert_eq!(said(&[url, ("moment", "after_send"), ("body", "file")]), "body");
        assert_eq!(said(&[url, ("moment", "before_send"), ("body", "file")]), "body");
        assert_eq!(said(&[("kind", "mail"), ("mail_to", "a@b"), ("moment", "before_send")]), "kind");
        let run = [("kind", "command"), ("program", "import"), ("arguments", "{path}")];
        assert_eq!(said(&[&run[..], &[("moment", "after_send")]].concat()), "arguments");
        assert!(action(&run).needs_bytes() && !action(&[url]).needs_bytes());
        let words = action(&[&run[..], &[("moment", "delivery_failed")]].concat()).settings.in_words();
        assert_eq!(words, "When a file could not be passed along: run import");
        let settings = action(&run).settings;
        assert_eq!(ActionSettings::parse(&settings.texts()), Ok(settings));
    }
}
