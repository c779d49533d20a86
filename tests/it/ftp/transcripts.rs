//! The transcripts, played by a real client against the real program: in clear and by TLS.

use std::fs;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use futures_util::FutureExt as _;

use crate::kit::{Appliance, Client, Doors, Player, Running, free_port};

const PASSWORD: &str = "correct horse";
/// The partners of the transcripts, and where they begin.
const PARTNERS: [(&str, &str); 2] = [("acme", "/"), ("other", "/Receive")];
/// Places that cannot be played for real; each says why. One more has to be thought about.
const NOT_FOR_REAL: usize = 10;

fn transcripts() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let files =
        fs::read_dir(folder).expect("the test's own files").map(|file| file.expect("the test's own files").path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|ending| ending == "txt")).collect();
    files.sort();
    let name = |path: &PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), fs::read_to_string(path).expect("the test's own files"))).collect()
}

fn add_partners(appliance: &Appliance) {
    let password = format!("password={PASSWORD}");
    for (partner, start) in PARTNERS {
        let start = format!("start_folder={start}");
        appliance.say(&["connector", "add", partner, &password, "send_settle_s=0", &start]);
    }
}

/// The settings of a `=` line.
fn settings(line: &str, explicit_port: u16) -> Vec<String> {
    let has = |word: &str| line.split(' ').any(|one| one == word);
    let on = |word: &str| if has(word) { "on" } else { "off" };
    let tls = has("tls") || has("data-tls");
    vec![
        if tls { format!("explicit_port={explicit_port}") } else { "explicit_port=".to_owned() },
        format!("ftp_over_tls={}", if tls { "implicit" } else { "none" }),
        format!("require_tls={}", if has("data-tls") { "login_and_data" } else { "none" }),
        format!("active_mode={}", on("active")),
        format!("mode_z={}", on("mode-z")),
    ]
}

/// An empty world before each transcript.
fn clear(appliance: &Appliance) {
    for (partner, _) in PARTNERS {
        for side in ["Send", "Receive"] {
            let folder = appliance.place(partner, side);
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if entry.file_name().to_string_lossy().starts_with('.') {
                    continue;
                }
                if path.is_dir() {
                    fs::remove_dir_all(path).expect("the test's own files");
                } else {
                    fs::remove_file(path).expect("the test's own files");
                }
            }
        }
    }
}

/// What a `~` line says is made so: files and folders of acme, put there by another program.
fn make(appliance: &Appliance, text: &str) {
    let place = |path: &str| {
        let (side, name) = path.trim_start_matches('/').split_once('/').expect("a path below Send or Receive");
        appliance.place("acme", side).join(name)
    };
    match text.split_once(' ').expect("~ WORD …") {
        ("file", rest) => {
            let (size, path) = rest.split_once(' ').expect("~ file SIZE PATH");
            let path = place(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("the test's own files");
            fs::File::create(path)
                .expect("the test's own files")
                .set_len(size.parse().expect("a size"))
                .expect("the test's own files");
        }
        ("folder", path) => fs::create_dir_all(place(path)).expect("the test's own files"),
        ("connector", pairs) => {
            let pairs: Vec<_> = pairs.split(' ').collect();
            // It says so when it is not in force by the time the verb ends.
            let said = appliance.say(&[&["connector", "set", "acme"], &pairs[..]].concat());
            assert_eq!(said.trim(), "Saved.");
        }
        other => panic!("there is no ~ {other:?}"),
    }
}

/// Waits until the settings of a `=` line are in force.
async fn in_force(running: &Running<'_>, explicit: SocketAddr, line: &str) {
    let has = |word: &str| line.split(' ').any(|one| one == word);
    running
        .until(&format!("{line} is in force"), async |_| {
            let mut client = Client::try_connect(explicit).await.ok()?;
            let asked = client.try_send("USER acme").await.ok()?;
            if has("data-tls") {
                return (asked.code == 530).then_some(());
            }
            let logged_in = client.try_send(&format!("PASS {PASSWORD}")).await.ok()?.code == 230;
            let offered = client.try_send("FEAT").await.ok()?.text;
            let is = |feature: &str, wanted: bool| offered.contains(&format!("\r\n {feature}\r\n")) == wanted;
            let all = is("AUTH TLS", has("tls")) && is("EPRT", has("active")) && is("MODE Z", has("mode-z"));
            (logged_in && all).then_some(())
        })
        .await;
}

struct Stage<'a> {
    appliance: &'a Appliance,
    running: &'a Running<'a>,
    doors: Doors,
    set: String,
}

impl Stage<'_> {
    async fn set(&mut self, line: &str) {
        if self.set == line {
            return;
        }
        let pairs = settings(line, self.doors.explicit.port());
        let pairs: Vec<_> = pairs.iter().map(String::as_str).collect();
        self.appliance.set(&pairs);
        let explicit = if line.contains("tls") { self.doors.explicit } else { self.doors.implicit };
        in_force(self.running, explicit, line).await;
        line.clone_into(&mut self.set);
    }

    async fn play(&mut self, text: &str, by_tls: bool) {
        clear(self.appliance);
        let begins = text.lines().find(|line| !line.starts_with('#') && !line.starts_with('~'));
        self.set(begins.filter(|line| line.starts_with('=')).unwrap_or("= tls")).await;
        let doors = if self.set.contains("tls") {
            self.doors
        } else {
            // Without TLS there is one door.
            Doors { explicit: self.doors.implicit, ..self.doors }
        };
        let mut changed = false;
        let mut player = Player::new(doors, text, PASSWORD, by_tls).await;
        while let Some(line) = player.next_setting().await {
            if line.starts_with("~ not for real") {
                return;
            }
            match line.strip_prefix("~ ") {
                Some(made) => {
                    changed |= made.starts_with("connector");
                    make(self.appliance, made);
                }
                None => self.set(line).await,
            }
        }
        player.end().await;
        if changed {
            for (partner, _) in PARTNERS {
                self.appliance.say(&["connector", "remove", partner]);
            }
            add_partners(self.appliance);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_transcript_is_what_really_happens() {
    let appliance = Appliance::untouched();
    add_partners(&appliance);
    let explicit_port = free_port();
    appliance.set(&[
        "ftp_over_tls=implicit",
        "require_tls=none",
        &format!("explicit_port={explicit_port}"),
        "welcome_message=One line.\nAnother.",
    ]);
    let running = appliance.start().await;
    let doors = Doors { explicit: SocketAddr::new(running.ftp().ip(), explicit_port), implicit: running.ftp() };
    let mut stage = Stage { appliance: &appliance, running: &running, doors, set: String::new() };
    let transcripts = transcripts();
    let (mut by_tls, mut wrong) = (0, Vec::new());
    for (name, text) in &transcripts {
        // What speaks of TLS itself is by TLS already, or must begin in clear.
        let itself = ["\nC: AUTH", "\nC: HOST", "\n! secured", "\n=\n", "\n~ not for real"]
            .iter()
            .any(|words| text.contains(words));
        for secured in if itself { &[false][..] } else { &[false, true] } {
            by_tls += usize::from(*secured);
            // All of them are told, not only the first that differs.
            if AssertUnwindSafe(stage.play(text, *secured)).catch_unwind().await.is_err() {
                wrong.push(format!("{name}{}", if *secured { " by TLS" } else { "" }));
            }
        }
    }
    assert!(wrong.is_empty(), "they differ (see above): {wrong:#?}");
    assert!(by_tls > transcripts.len() / 2, "{by_tls} were played by TLS");
    let not: Vec<_> = transcripts
        .iter()
        .flat_map(|(name, text)| {
            text.lines().filter(|line| line.starts_with("~ not ")).map(move |line| format!("{name}: {line}"))
        })
        .collect();
    assert!(not.iter().all(|line| line.len() > 40), "without a reason: {not:#?}");
    assert_eq!(not.len(), NOT_FOR_REAL, "{not:#?}");
}
