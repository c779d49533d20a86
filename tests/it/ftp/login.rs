//! Who may come in, and how the refusal sounds.

use tokio::io::AsyncWriteExt;
use waybill::domain::refusal::Rule;

use crate::kit::{Appliance, Client, PARTNER, PASSWORD, Passive};

#[tokio::test(flavor = "multi_thread")]
async fn in_clear_no_name_is_asked_for_a_password_by_default() {
    let appliance = Appliance::untouched();
    appliance.add(PARTNER, &[]);
    let running = appliance.start().await;
    let mut client = Client::connect(running.ftp()).await;
    assert!(client.greeting.text.contains("File exchange. Authorised use only."), "{:?}", client.greeting);
    assert!(!client.greeting.text.to_lowercase().contains("waybill"), "{:?}", client.greeting);
    let known = client.expect(&format!("USER {PARTNER}"), 530).await;
    let unknown = client.expect("USER nobody-here", 530).await;
    assert_eq!(known, unknown);

    appliance.set(&["require_tls=none"]);
    let mut client = running.partner().await;
    client.expect("NOOP", 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_and_unknown_names_sound_the_same() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut replies = Vec::new();
    for name in [PARTNER, "nobody-here"] {
        let mut client = Client::connect(running.ftp()).await;
        client.expect(&format!("USER {name}"), 331).await;
        replies.push(client.expect("PASS wrong wrong wrong", 530).await);
    }
    assert_eq!(replies[0], replies[1]);
    // The same session may try again, in any case of the name.
    let mut client = Client::connect(running.ftp()).await;
    client.expect("PWD", 530).await;
    client.expect("USER ACME-edi", 331).await;
    client.expect(&format!("PASS {PASSWORD}"), 230).await;
    let here = client.expect("PWD", 257).await;
    assert!(here.text.starts_with("257 \"/\""), "{here:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_may_come_in_the_encoding_of_the_partner_s_names() {
    let appliance = Appliance::new();
    appliance.add("latin", &["name_encoding=windows-1252"]);
    appliance.say(&["connector", "set", "latin", "password_overlap_h=0", "password=größer als groß"]);
    let running = appliance.start().await;
    let latin = &b"gr\xf6\xdfer als gro\xdf"[..];
    for (password, code) in [(latin, 230), ("größer als groß".as_bytes(), 230), (b"\xf6", 530)] {
        let mut client = Client::connect(running.ftp()).await;
        client.expect("USER latin", 331).await;
        client.write(&[b"PASS ", password, b"\r\n"].concat()).await;
        assert_eq!(client.reply().await.code, code);
    }
    // What is no text to anybody else is a wrong password to all of them.
    let mut replies = Vec::new();
    for name in [PARTNER, "nobody-here"] {
        let mut client = Client::connect(running.ftp()).await;
        client.expect(&format!("USER {name}"), 331).await;
        client.write(&[b"PASS ", latin, b"\r\n"].concat()).await;
        replies.push(client.reply().await);
    }
    assert_eq!(replies[0], replies[1]);
    assert_eq!(replies[0].code, 530);
    let refusal = running
        .until("the refusal is recorded", async |running| {
            running.refusals().await.into_iter().find(|refusal| refusal.connector == PARTNER)
        })
        .await;
    assert!(refusal.detail.contains("did not come in UTF-8"), "{}", refusal.detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_works_over_ipv6() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let Some(address) = running.ftp_v6() else {
        println!("this machine has no IPv6");
        return;
    };
    let mut client = Client::login(address, PARTNER, PASSWORD).await;
    client.passive = Passive::Epsv;
    client.store("/Receive/six.edi", b"over IPv6").await;
    assert_eq!(client.fetch("RETR /Receive/six.edi").await.unwrap(), b"over IPv6");
    assert_eq!(running.receipts(1).await[0]["remote_address"], "::1");
    // The Passive Address is one of IPv4, and this session's data connections are not.
    appliance.set(&["passive_address=127.0.0.1"]);
    client.expect("PASV", 502).await;
    client.store("/Receive/next.edi", b"by EPSV").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_can_do_is_said_before_login() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = Client::connect(running.ftp()).await;
    let features = client.expect("FEAT", 211).await.text;
    for feature in ["UTF8", "EPSV", "SIZE", "MDTM", "REST STREAM", "MLST", "TVFS"] {
        assert!(features.contains(&format!("\r\n {feature}")), "{feature}: {features}");
    }
    client.expect("PWD", 530).await;
    let mut client = running.partner().await;
    assert_eq!(client.expect("SYST", 215).await.text, "215 UNIX Type: L8\r\n");
    client.expect("OPTS UTF8 ON", 200).await;
    client.expect("XYZZY", 500).await;
    client.expect("QUIT", 221).await;
    assert!(client.try_reply().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_logins_are_events_a_few_of_many() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    for name in [PARTNER, PARTNER, "nobody-here", "somebody-else"] {
        let mut client = Client::connect(running.ftp()).await;
        client.expect(&format!("USER {name}"), 331).await;
        client.expect("PASS wrong wrong wrong", 530).await;
    }
    let told = running
        .until("the events are recorded", async |_| {
            let text = appliance.say(&["events", "--json", "--kind", "login_failed"]);
            (text.lines().count() >= 2).then_some(text)
        })
        .await;
    let told: Vec<serde_json::Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!((&told[0]["connector"], &told[0]["remote"]), (&PARTNER.into(), &"127.0.0.1".into()));
    assert_eq!(told[0]["summary"], format!("Login of {PARTNER} failed: Wrong password"));
    assert_eq!((&told[1]["connector"], &told[1]["summary"]), (&"".into(), &"Login of nob failed: Unknown user".into()));
    // Four refusals all the same, each of a partner and a rule in one row.
    let times = running
        .until("the refusals are recorded", async |running| {
            let times: u64 = running.refusals().await.iter().map(|one| one.times).sum();
            (times >= 4).then_some(times)
        })
        .await;
    assert_eq!(times, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_typed_as_the_name_is_shown_nowhere() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = Client::connect(running.ftp()).await;
    client.expect("user Tr0ub4dor&3-my-real-password", 331).await;
    client.expect(&format!("PASS {PARTNER}"), 530).await;
    client.expect(&format!("USER {PARTNER}"), 331).await;
    client.expect("PASS wrong", 530).await;
    let refusals = running
        .until("both are recorded", async |running| {
            Some(running.refusals().await).filter(|refusals| refusals.len() == 2)
        })
        .await;
    let said = &refusals[0].transcript;
    assert!(said.contains("C: USER Tr0****\n") && said.contains(&format!("C: USER {PARTNER}\n")), "{said}");
    assert!(!format!("{refusals:?}").contains("ub4dor"), "{refusals:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_cannot_be_read_is_recorded_as_it_came() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let (mut stranger, mut partner) = (Client::connect(running.ftp()).await, running.partner().await);
    partner.write(b"STOR /Receive/Gr\xf6\xdfe.edi\r\n").await;
    assert_eq!(partner.reply().await.code, 501);
    stranger.write(b"PASS Gr\xf6\xdfe\r\n").await;
    assert_eq!(stranger.reply().await.code, 501);
    let refusals = running
        .until("both are recorded", async |running| {
            Some(running.refusals().await).filter(|refusals| refusals.len() == 2)
        })
        .await;
    let commands: Vec<_> = refusals.iter().rev().map(|refusal| refusal.command.as_str()).collect();
    assert_eq!(commands, [r"STOR /Receive/Gr\xf6\xdfe.edi", "PASS ****"]);
    for refusal in &refusals {
        assert!(refusal.reply.starts_with("501 Names must be in UTF-8"), "{refusal:?}");
        assert!(refusal.transcript.ends_with(&format!("C: {}", refusal.command)), "{refusal:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_shown_nowhere_however_its_line_is_written() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = Client::connect(running.ftp()).await;
    client.expect(" USER hunter2", 500).await;
    client.expect(&format!("USER {PARTNER}"), 331).await;
    client.expect("  pass hunter2", 500).await;
    client.write(b"\xfepass hunter2\r\n").await;
    assert_eq!(client.reply().await.code, 501);
    client.expect("SITE PASS hunter2", 530).await;
    client.expect("PASS wrong", 530).await;
    let refusals = running
        .until("both are recorded", async |running| {
            Some(running.refusals().await).filter(|refusals| refusals.len() == 2)
        })
        .await;
    let said: Vec<_> =
        refusals[0].transcript.lines().filter_map(|line| line.split_once(" C: ")).map(|(_, c)| c).collect();
    let named = format!("USER {PARTNER}");
    let shown = ["USER hun****", &named, "PASS ****", r"\XFEPASS ****", "SITE PASS ****", "PASS ****"];
    assert_eq!(said, shown, "{refusals:?}");
    assert!(!format!("{refusals:?}").contains("ter2"), "{refusals:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_no_longer_allowed_ends_a_session_between_transfers() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let (mut idle, mut busy) = (running.partner().await, running.partner().await);
    busy.expect("CWD Receive", 250).await;
    let mut data = busy.begin("STOR a.edi").await.unwrap();
    data.write_all(b"first ").await.unwrap();
    appliance.configure(&["allowed_addresses=127.0.0.0/8"]);
    idle.expect("NOOP", 200).await;
    appliance.configure(&["allowed_addresses=192.0.2.0/24"]);
    assert_eq!(idle.reply().await.code, 421);
    data.write_all(b"and last").await.unwrap();
    drop(data);
    assert_eq!(busy.reply().await.code, 226);
    assert_eq!(busy.reply().await.code, 421);
    assert_eq!(running.receipts(1).await[0]["size_bytes"], 14);
    let refused = running
        .until("the refusal is recorded", async |running| {
            running.refusals().await.into_iter().find(|one| one.rule == Rule::AddressNotAllowed)
        })
        .await;
    assert_eq!((refused.connector.as_str(), refused.reply.as_str()), (PARTNER, "421"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_ended_names_no_command_that_was_well_answered() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.store("/Receive/a.edi", b"well received").await;
    appliance.configure(&["enabled=off"]);
    assert_eq!(client.reply().await.code, 421);
    let refused = running
        .until("the refusal is recorded", async |running| {
            running.refusals().await.into_iter().find(|one| one.rule == Rule::ConnectorDisabled)
        })
        .await;
    assert_eq!((refused.command.as_str(), refused.reply.as_str()), ("", "421"));
}
