//! Alerts: each announced event makes one delivery; those due together make one letter for each group of recipients,
//! and the number of letters per hour is limited.

use std::collections::BTreeMap;
use std::time::Duration;

use super::attempt::{Attempt, Outcome};
use super::targets::{Reach, Tried};
use crate::access::mail::{Letter, MailServer};
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::domain::connector::ConnectorSettings;
use crate::domain::flow::Target;
use crate::domain::value::{MailAddress, MailAddresses, Subject};
use crate::store::delivery::{Attempted, Pending};
use crate::store::event::{self, Event};
use crate::store::live::Snapshot;
use crate::store::set_off::New;
use crate::store::{StoreError, alert};

/// How long an alert waits for others to go with it.
const GATHER: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_hours(1);
/// Alerts in one letter: for a flood, such as a target that gives up everything at once, few letters must suffice.
pub(super) const TOGETHER_MAX: i64 = 1_000;
/// Lines of one letter; further ones are counted.
const LINES_MAX: usize = 50;

/// The delivery for an event, if somebody is alerted of it.
pub(super) fn told(snapshot: &Snapshot, event: &Event, now: Timestamp) -> Option<New> {
    let settings = &snapshot.appliance;
    let own = own_alerts(snapshot, &event.connector).and_then(|own| own.alert_on.tells(event.kind));
    let is_told = own.unwrap_or_else(|| settings.alert_on.contains(event.kind))
        && settings.mail_host.is_some()
        && !recipients(snapshot, &event.connector).is_empty();
    is_told.then(|| New {
        event_id: event.id.clone(),
        receipt_id: None,
        source_key: String::new(),
        target: Target::AlertMail,
        due: now.plus(GATHER),
    })
}

/// The settings of that connector, if it has alerts of its own.
fn own_alerts<'a>(snapshot: &'a Snapshot, connector: &str) -> Option<&'a ConnectorSettings> {
    snapshot.connector(connector).and_then(|live| live.connector.settings.own_alerts())
}

/// Who is told what concerns that connector: its own recipients, or the general ones.
fn recipients<'a>(snapshot: &'a Snapshot, connector: &str) -> &'a MailAddresses {
    let own = own_alerts(snapshot, connector).map(|own| &own.alert_to);
    own.filter(|own| !own.is_empty()).unwrap_or(&snapshot.appliance.mail_to)
}

/// The prefix of subjects about that connector.
fn beginning<'a>(snapshot: &'a Snapshot, connector: &str) -> &'a Subject {
    let own = own_alerts(snapshot, connector).and_then(|own| own.alert_subject.as_ref());
    own.unwrap_or(&snapshot.appliance.alert_subject)
}

/// Recipients told together, under which subject, and of which deliveries' events.
struct Circle<'a> {
    to: Vec<MailAddress>,
    beginning: &'a Subject,
    events: Vec<(i64, Event)>,
}

impl Reach {
    /// One letter for each circle of recipients; none if there were enough in the last hour. Returns the outcomes of
    /// the deliveries of each letter, together.
    pub(super) async fn alert(&self, snapshot: &Snapshot, due: &[Pending]) -> Result<Vec<Vec<Tried>>, StoreError> {
        let now = self.depot.clock.now();
        let most = snapshot.appliance.alerts_per_hour_max.get();
        let mut sent = alert::sent_since(&self.depot.db, now.minus(HOUR), now).await?;
        let mut circles: BTreeMap<String, Circle<'_>> = BTreeMap::new();
        let stop = |one: &Pending, why: &str| Tried::new(one.id, Attempt::new(Outcome::Stopped, why));
        let mut stopped = Vec::new();
        for one in due {
            let Some(event) = event::find(&self.depot.db, &one.event_id).await? else {
                stopped.push(stop(one, "The event is older than events are kept"));
                continue;
            };
            let to = recipients(snapshot, &event.connector);
            if to.is_empty() {
                stopped.push(stop(one, "Nobody is told of it any more"));
                continue;
            }
            let to: Vec<_> = to.iter().cloned().collect();
            let beginning = beginning(snapshot, &event.connector);
            let names = to.iter().map(MailAddress::as_str).collect::<Vec<_>>().join(",");
            let key = format!("{names} {}", beginning.as_str());
            let circle = circles.entry(key).or_insert_with(|| Circle { to, beginning, events: Vec::new() });
            circle.events.push((one.id, event));
        }
        let server = MailServer::of(&snapshot.appliance, &self.secrets).await;
        let mut tried = vec![stopped];
        for Circle { to, beginning, events } in circles.into_values() {
            if sent >= most {
                // They stay due, and go together when the hour allows.
                break;
            }
            let letter = letter(beginning.as_str(), to, &events);
            let sending = match &server {
                Ok(server) => server.send(&letter).await,
                Err(why) => Err(why.clone()),
            };
            let attempt = match sending {
                Ok(answer) => Attempt::new(Outcome::Delivered, answer),
                Err(why) => Attempt::retry(why),
            };
            sent += 1;
            tried.push(events.into_iter().map(|(id, _)| Tried::new(id, attempt.clone())).collect());
        }
        Ok(tried)
    }
}

/// The outcomes of one letter's deliveries: it counts once, however many alerts it contains.
pub(super) fn of_one_letter(mut attempts: Vec<Attempted>) -> Vec<Attempted> {
    if let Some(first) = attempts.first_mut() {
        first.letter = true;
    }
    attempts
}

/// One event, or a digest of several.
fn letter(subject: &str, to: Vec<MailAddress>, events: &[(i64, Event)]) -> Letter {
    let line = |event: &Event| format!("{}  {}", shown(event.at), event.summary);
    let mut lines: Vec<_> = events.iter().take(LINES_MAX).map(|(_, event)| line(event)).collect();
    if events.len() > LINES_MAX {
        lines.push(format!(
            "and {} more, on the page Activity, Events",
            human::thousands((events.len() - LINES_MAX) as u64)
        ));
    }
    let about = match events {
        [(_, one)] => one.summary.split(". ").next().unwrap_or_default().to_owned(),
        _ => human::count(events.len() as u64, "alert", "alerts"),
    };
    let id = events.first().map(|(_, event)| event.id.to_string()).unwrap_or_default();
    let text = format!("{}\n\nThe dashboard of Waybill shows what can be done about it.\n", lines.join("\n"));
    let subject = format!("{subject} {about}").trim().replace(char::is_control, " ");
    Letter { to, subject, text, id }
}

fn shown(at: Timestamp) -> String {
    at.calendar().strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::access::programs::Programs;
    use crate::access::secrets::Secrets;
    use crate::actions::command::Commands;
    use crate::actions::webhook::Poster;
    use crate::actions::{set_off, slas};
    use crate::base::clock::Clock;
    use crate::base::id::IdSource;
    use crate::domain::connector::ConnectorId;
    use crate::domain::event::EventKind;
    use crate::domain::setting::Texts;
    use crate::store::delivery::{self, Lane};
    use crate::store::live::Live;
    use crate::store::setting::Change;
    use crate::store::{connector, profile, set_off as rows, sla};
    use crate::transfer::depot::Depot;

    type Letters = Arc<Mutex<Vec<String>>>;

    /// A plaintext mail server that accepts every letter; `Err` makes it refuse.
    async fn mail_server(answer: &'static str) -> (u16, Letters) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let letters = Letters::default();
        let taken = Arc::clone(&letters);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = converse(stream, answer, &taken).await;
            }
        });
        (port, letters)
    }

    async fn converse(stream: TcpStream, answer: &str, taken: &Letters) -> std::io::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        write.write_all(b"220 mail.example.com\r\n").await?;
        let (mut letter, mut in_letter) = (String::new(), false);
        while let Some(line) = lines.next_line().await? {
            let said = match line.split(' ').next().unwrap_or_default() {
                "." if in_letter => {
                    in_letter = false;
                    if answer.starts_with('2') {
                        taken.lock().unwrap().push(std::mem::take(&mut letter));
                    }
                    answer
                }
                _ if in_letter => {
                    letter.push_str(&line);
                    letter.push('\n');
                    continue;
                }
                "DATA" => {
                    in_letter = true;
                    "354 go on"
                }
                "RCPT" if line.contains("nobody@") => "550 no such user",
                "QUIT" => return write.write_all(b"221 bye\r\n").await,
                _ => "250 mail.example.com",
            };
            letter.push_str(if in_letter { "" } else { &line });
            letter.push('\n');
            write.write_all(format!("{said}\r\n").as_bytes()).await?;
        }
        Ok(())
    }

    struct Desk {
        _folder: tempfile::TempDir,
        reach: Reach,
        live: Live,
    }

    impl Desk {
        async fn with(port: u16, pairs: &[(&str, &str)]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let depot = Depot::for_tests(folder.path(), Clock::System).await;
            let secrets = Secrets::open(depot.db.clone(), folder.path()).await.unwrap();
            let change = Change { who: "test", remote: "", at: Timestamp::default(), ids: &depot.ids };
            let port = port.to_string();
            let mail = [
                ("mail_host", "127.0.0.1"),
                ("mail_port", &port),
                ("mail_tls", "none"),
                ("mail_from", "waybill@example.com"),
                ("mail_to", "mira@example.com"),
            ];
            let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            let texts: Texts = mail.iter().chain(pairs).map(own).collect();
            profile::save_appliance(&depot.db, &texts, None, &change).await.unwrap();
            let globex = [
                ("alerts", "own"),
                ("alert_to", "edi@globex.example"),
                ("alert_subject", "[globex]"),
                ("alert_on", "delivery_failed,storage_failing"),
            ];
            // Acme's own settings do not count.
            for (id, texts) in [("acme", &[("alert_to", "nobody@acme.example")][..]), ("globex", &globex)] {
                let texts = texts.iter().map(own).collect();
                connector::add(&depot.db, &ConnectorId::parse(id).unwrap(), &texts, None, &change).await.unwrap();
            }
            let live = Live::open(depot.db.clone(), Clock::System).await.unwrap();
            let commands = Commands::open(Programs::default(), folder.path()).unwrap();
            let reach = Reach { depot, secrets, poster: Poster::new().unwrap(), commands };
            Self { _folder: folder, reach, live }
        }

        fn ids(&self) -> &IdSource {
            &self.reach.depot.ids
        }

        async fn happens(&self, kind: EventKind, connector: &str, summary: &str) {
            let event = self.reach.depot.event(kind, summary).of(connector);
            event::record(&self.reach.depot.db, &event).await.unwrap();
        }

        /// Does what the runner does once the gathering is over; returns the answers.
        async fn sends(&self) -> Vec<String> {
            let (db, snapshot) = (&self.reach.depot.db, self.live.snapshot());
            set_off::look(&self.reach.depot, &snapshot).await.unwrap();
            let lane = Lane { source_key: String::new(), target: Target::AlertMail };
            let due = delivery::next(db, &lane, true, Timestamp::default(), TOGETHER_MAX).await.unwrap();
            let tried = self.reach.alert(&snapshot, &due).await.unwrap();
            let at = self.reach.depot.clock.now();
            let one = |Tried { delivery, attempt, .. }: &Tried| Attempted {
                delivery: *delivery,
                receipt_id: None,
                at,
                took: Duration::ZERO,
                answer: attempt.answer.clone(),
                next: match attempt.outcome {
                    Outcome::Delivered => delivery::Next::Delivered(None),
                    Outcome::Retry => delivery::Next::Retry(at),
                    Outcome::Stopped => delivery::Next::Stop,
                },
                letter: false,
            };
            let attempted = tried.iter().flat_map(|letter| of_one_letter(letter.iter().map(one).collect()));
            delivery::record(db, &attempted.collect::<Vec<_>>()).await.unwrap();
            tried.into_iter().flatten().map(|one| one.attempt.answer).collect()
        }
    }

    /// Long header lines continue after a blank (RFC 5322, section 2.2.3).
    fn subjects(letters: &Letters) -> Vec<String> {
        let letters = letters.lock().unwrap();
        let unfolded = letters.iter().map(|one| one.replace("\n ", " "));
        unfolded
            .filter_map(|one| Some(one.lines().find_map(|line| line.strip_prefix("Subject: "))?.to_owned()))
            .collect()
    }

    #[tokio::test]
    async fn an_sla_makes_one_letter_at_risk_and_one_when_violated() {
        let (port, letters) = mail_server("250 taken").await;
        let desk = Desk::with(port, &[]).await;
        let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
        let change = Change { who: "test", remote: "", at: at("2026-11-22T00:00:00Z"), ids: desk.ids() };
        let acme = ConnectorId::parse("acme").unwrap();
        sla::put(&desk.reach.depot.db, "s1", &acme, &Texts::new(), &change).await.unwrap();
        let mut seen = Vec::new();
        for now in ["08:00", "08:31", "08:45", "09:01", "10:00"] {
            let now = at(&format!("2026-11-23T{now}:00Z"));
            slas::look(&desk.reach.depot.db, &desk.live.snapshot(), desk.ids(), now).await.unwrap();
            desk.sends().await;
            seen.push(letters.lock().unwrap().len());
        }
        assert_eq!(seen, [0, 1, 1, 2, 2]);
        let subjects = subjects(&letters);
        assert_eq!(subjects[0], "Waybill: SLA of acme at risk: 0 of 1 by now, due by Mon 23 Nov 09:00");
        assert_eq!(subjects[1], "Waybill: SLA of acme violated: 0 of 1 by Mon 23 Nov 09:00");
    }

    #[tokio::test]
    async fn what_happens_together_is_one_letter_for_each_circle_and_what_nobody_is_told_of_is_none() {
        let (port, letters) = mail_server("250 taken").await;
        let desk = Desk::with(port, &[("alert_subject", "[edi]")]).await;
        for connector in ["acme", "acme", "globex"] {
            desk.happens(EventKind::DeliveryFailed, connector, "Gave up passing a file along").await;
        }
        desk.happens(EventKind::LoginFailed, "acme", "not told").await;
        desk.happens(EventKind::SlaLate, "globex", "not told either").await;
        assert_eq!(desk.sends().await.len(), 3);
        let all = letters.lock().unwrap().join("\n\n");
        assert!(all.contains("RCPT TO:<mira@example.com>") && all.contains("RCPT TO:<edi@globex.example>"), "{all}");
        assert!(
            all.contains("Subject: [edi] 2 alerts") && all.contains("Subject: [globex] Gave up passing a file along"),
            "{all}"
        );
        assert!(!all.contains("not told"));
        assert!(desk.sends().await.is_empty(), "each is told once");
        let sent =
            alert::sent_since(&desk.reach.depot.db, Timestamp::default(), desk.reach.depot.clock.now()).await.unwrap();
        assert_eq!(sent, 2, "letters that go together are several");
        let before = desk.reach.depot.clock.now().minus(HOUR);
        let sent = alert::sent_since(&desk.reach.depot.db, Timestamp::default(), before).await.unwrap();
        assert_eq!(sent, 0, "as where the clock was ahead when they were sent");
    }

    #[tokio::test]
    async fn a_recipient_that_is_refused_keeps_the_letter_from_no_other() {
        let (port, letters) = mail_server("250 taken").await;
        let desk = Desk::with(port, &[("mail_to", "mira@example.com, nobody@example.com, ivo@example.com")]).await;
        desk.happens(EventKind::StorageFailing, "", "first").await;
        let said = desk.sends().await;
        assert!(said[0].contains("taken") && said[0].contains("nobody@example.com: "), "{said:?}");
        let to = |name: &str| letters.lock().unwrap().iter().filter(|one| one.contains(&format!("<{name}@"))).count();
        let all = letters.lock().unwrap().len();
        assert_eq!((all, to("mira"), to("ivo")), (2, 1, 1));
        let sent =
            alert::sent_since(&desk.reach.depot.db, Timestamp::default(), desk.reach.depot.clock.now()).await.unwrap();
        assert_eq!(sent, 1, "it is one letter, whoever got it");

        let (port, _) = mail_server("250 taken").await;
        let desk = Desk::with(port, &[("mail_to", "nobody@example.com")]).await;
        desk.happens(EventKind::StorageFailing, "", "first").await;
        assert!(desk.sends().await[0].contains("no such user"));
    }

    #[tokio::test]
    async fn a_flood_is_one_letter_that_counts_what_it_does_not_list() {
        let (port, letters) = mail_server("250 taken").await;
        let desk = Desk::with(port, &[]).await;
        for n in 0..150 {
            desk.happens(EventKind::DeliveryFailed, "acme", &format!("Gave up passing file {n} along")).await;
        }
        assert_eq!(desk.sends().await.len(), 150);
        assert_eq!(subjects(&letters), ["Waybill: 150 alerts"]);
        let letters = letters.lock().unwrap();
        let listed = letters[0].lines().filter(|line| line.contains("Gave up passing file")).count();
        assert!(listed == LINES_MAX && letters[0].contains("and 100 more"), "{}", letters[0]);
    }

    #[tokio::test]
    async fn beyond_so_many_an_hour_they_wait_and_what_is_refused_is_tried_again() {
        let (port, letters) = mail_server("250 taken").await;
        let desk = Desk::with(port, &[("alerts_per_hour_max", "1")]).await;
        desk.happens(EventKind::StorageFailing, "acme", "first").await;
        desk.sends().await;
        desk.happens(EventKind::StorageFailing, "acme", "second").await;
        assert!(desk.sends().await.is_empty());
        assert_eq!(letters.lock().unwrap().len(), 1);

        let (port, letters) = mail_server("451 not now").await;
        let desk = Desk::with(port, &[]).await;
        desk.happens(EventKind::StorageFailing, "", "first").await;
        for _ in 0..2 {
            let said = desk.sends().await;
            assert!(said.len() == 1 && said[0].contains("not now"), "{said:?}");
        }
        assert!(letters.lock().unwrap().is_empty());
        // A server that cannot encrypt gets nothing, unless that is allowed.
        let (port, letters) = mail_server("250 taken").await;
        let desk = Desk::with(port, &[("mail_tls", "starttls")]).await;
        desk.happens(EventKind::StorageFailing, "", "first").await;
        assert!(!desk.sends().await[0].is_empty());
        assert!(letters.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_alert_that_is_given_up_makes_no_further_alert() {
        use crate::actions::runner::Runner;
        use tokio_util::sync::CancellationToken;

        let (port, letters) = mail_server("451 not now").await;
        let desk = Desk::with(port, &[("delivery_retries", "0")]).await;
        let db = desk.reach.depot.db.clone();
        desk.happens(EventKind::StorageFailing, "", "first").await;
        let now = desk.reach.depot.clock.now();
        // Due at once, where others would be waited for.
        let newer = rows::newer(&db).await.unwrap().unwrap();
        let told = told(&desk.live.snapshot(), &newer.events[0], now).unwrap();
        rows::record(&db, &newer, &[New { due: now, ..told }], now).await.unwrap();
        let stop = CancellationToken::new();
        let runner = Runner { reach: desk.reach.clone(), live: desk.live.clone() };
        let running = tokio::spawn(runner.run((stop.clone(), CancellationToken::new()), Duration::from_mins(1)));
        while crate::store::delivery_page::failed(&db).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stop.cancel();
        running.await.unwrap();
        let failed = crate::store::delivery_page::failed(&db).await.unwrap();
        assert_eq!((failed.len(), failed[0].count, failed[0].target.as_str()), (1, 1, "alert:mail"));
        let told =
            event::oldest_first(&db, Some(EventKind::DeliveryFailed), Timestamp::from_us(0), None, 9).await.unwrap();
        assert!(told.is_empty() && letters.lock().unwrap().is_empty(), "{told:?}");
    }
}
