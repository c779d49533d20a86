//! Changes made beside a running server, and what its sessions notice.

use std::net::TcpListener;
use std::time::Duration;

use waybill::base::clock::Clock;
use waybill::store::listener::{Listener, State};

use crate::kit::{Appliance, Client, PARTNER, PASSWORD, free_port};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_welcome_message_is_said_to_the_next_client_and_no_session_is_dropped() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut old = running.partner().await;
    let said = appliance.set(&["welcome_message=Dock 7\\n226 is not a code here"]);
    assert!(said.starts_with("Saved.\n") && said.contains(&appliance.port().to_string()), "{said}");
    let new = Client::connect(running.ftp()).await;
    assert!(new.greeting.text.starts_with("220-Dock 7\r\n"), "{:?}", new.greeting);
    assert_eq!(new.greeting.text.lines().filter(|line| line.starts_with("226 ")).count(), 0, "{:?}", new.greeting);
    old.expect("NOOP", 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_port_is_bound_and_the_old_sessions_stay() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut old = running.partner().await;
    let mut data = old.begin("STOR /Receive/slow.edi").await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut data, b"half").await.unwrap();
    let port = free_port();
    let said = appliance.set(&[&format!("port={port}")]);
    assert!(said.contains(&format!(":{port}")), "{said}");

    let mut address = running.ftp();
    running
        .until("the old port is closed", async |running| {
            Client::try_connect(running.ftp()).await.is_err().then_some(())
        })
        .await;
    address.set_port(port);
    let mut new = Client::login(address, PARTNER, PASSWORD).await;
    new.expect("NOOP", 200).await;
    drop(data);
    assert_eq!(old.reply().await.code, 226);
    old.expect("NOOP", 200).await;
    running.receipts(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_connector_is_sent_away_and_cannot_come_back() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    appliance.say(&["connector", "set", PARTNER, "enabled=off"]);
    assert_eq!(client.reply().await.code, 421);
    assert!(client.try_reply().await.is_err());
    let mut client = Client::connect(running.ftp()).await;
    client.expect(&format!("USER {PARTNER}"), 331).await;
    client.expect(&format!("PASS {PASSWORD}"), 530).await;

    appliance.say(&["connector", "set", PARTNER, "enabled=on"]);
    running
        .until("it is let in again", async |running| {
            let mut client = Client::connect(running.ftp()).await;
            client.send(&format!("USER {PARTNER}")).await;
            (client.send(&format!("PASS {PASSWORD}")).await.code == 230).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_whose_time_is_over_is_sent_away_though_nothing_changes() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    let until = Clock::System.now().plus(Duration::from_secs(2));
    appliance.say(&["connector", "set", PARTNER, &format!("valid_until={until}")]);
    assert_eq!(client.reply().await.code, 421);
    assert!(Clock::System.now() >= until, "not before");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_encoding_holds_from_the_next_command_of_a_session_that_chose_none() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let (mut silent, mut asked) = (running.partner().await, running.partner().await);
    asked.expect("OPTS UTF8 ON", 200).await;
    // Its reply names nothing, so that it reads as text in any encoding.
    let remove = b"RMD /Receive/Gr\xf6\xdfe\r\n";
    std::fs::create_dir(appliance.place(PARTNER, "Receive/Größe")).unwrap();
    silent.write(remove).await;
    assert_eq!(silent.reply().await.code, 501);
    appliance.say(&["connector", "set", PARTNER, "name_encoding=windows-1252"]);
    let silent = tokio::sync::Mutex::new(silent);
    running
        .until("the new encoding is in force", async |_| {
            let mut silent = silent.lock().await;
            silent.write(remove).await;
            (silent.reply().await.code == 250).then_some(())
        })
        .await;
    assert!(!appliance.place(PARTNER, "Receive/Größe").exists());
    asked.expect("MKD /Receive/März", 257).await;
    assert!(appliance.place(PARTNER, "Receive/März").is_dir(), "it was promised UTF-8");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_a_state_in_words_and_not_a_crash() {
    let appliance = Appliance::new();
    let taken =
        TcpListener::bind(("::", appliance.port())).or_else(|_| TcpListener::bind(("0.0.0.0", appliance.port())));
    let taken = taken.unwrap();
    let mut running = appliance.start_unbound().await;
    let state = running.state(Listener::Ftp).await;
    assert_eq!(state.state, State::CouldNotBind);
    assert!(state.message.contains(&appliance.port().to_string()), "{state:?}");
    assert!(running.is_alive());
    let health = appliance.cli(&["health"]);
    assert_eq!(health.status.code(), Some(1));
    let words = String::from_utf8_lossy(&health.stderr).into_owned();
    assert!(words.contains("FTP server does not answer") && words.contains(&appliance.port().to_string()), "{words}");

    let port = free_port();
    appliance.set(&[&format!("port={port}")]);
    let mut address = running.ftp();
    address.set_port(port);
    Client::login(address, PARTNER, PASSWORD).await.expect("NOOP", 200).await;
    assert!(appliance.say(&["health"]).contains("web interface answers"));

    // The other way round: the wish cannot be met, the old listener goes on and the command line says so.
    let set = appliance.cli(&["profile", "set", &format!("port={}", appliance.port())]);
    assert_eq!(set.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&set.stderr).contains("The old listener goes on"), "{set:?}");
    Client::login(address, PARTNER, PASSWORD).await.expect("NOOP", 200).await;
    drop(taken);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_goes_to_files_when_that_is_set_without_a_restart() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    appliance.say(&["settings", "set", "log_target=file"]);
    let folder = appliance.data().join("logs");
    running
        .until("a login is in a file", async |running| {
            running.partner().await;
            let files = std::fs::read_dir(&folder).ok()?.filter_map(Result::ok);
            let texts: Vec<_> = files.filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect();
            texts
                .iter()
                .any(|text| text.contains(&format!("{PARTNER} logged in")) && !text.contains('\u{1b}'))
                .then_some(())
        })
        .await;
}
