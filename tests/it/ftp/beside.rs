//! What runs beside a session, transfers and digests, and what is heard meanwhile: NOOP, STAT, ABOR, QUIT.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use waybill::domain::refusal::Rule;

use crate::kit::{Appliance, Client, PARTNER, Passive};

/// ABOR is answered within 100 ms; a debug build beside other tests gets more.
const ABOR_WITHIN: Duration = Duration::from_secs(1);
const IAC: u8 = 0xff;
const INTERRUPT: u8 = 0xf4;
const DATA_MARK: u8 = 0xf2;

/// A file in Send that takes no room on disk and long to read.
fn give_large(appliance: &Appliance, name: &str) {
    let file = std::fs::File::create(appliance.place(PARTNER, "Send").join(name)).expect("Send is there");
    file.set_len(64 << 30).expect("a file with a hole");
}

/// ABOR as telnet wants it: interrupt, then the data mark as urgent data.
async fn abort(client: &mut Client, codes: &[u16]) {
    let begun = Instant::now();
    client.write(&[IAC, INTERRUPT, IAC]).await;
    client.write_urgent(DATA_MARK);
    client.write(b"ABOR\r\n").await;
    for code in codes {
        let reply = client.reply().await;
        assert_eq!(reply.code, *code, "{reply:?}");
    }
    assert!(begun.elapsed() < ABOR_WITHIN, "ABOR took {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_is_made_beside_the_session() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    give_large(&appliance, "large.bin");
    std::fs::write(appliance.place(PARTNER, "Send").join("small.bin"), b"test").unwrap();
    let mut client = running.partner().await;
    for command in ["XSHA512 /Send/large.bin", "HASH /Send/large.bin"] {
        client.write(format!("{command}\r\n").as_bytes()).await;
        client.expect("NOOP", 200).await;
        running
            .until("it is being read", async |_| {
                let status = client.send("STAT").await;
                assert_eq!(status.code, 211, "{status:?}");
                (status.text.contains("Reading /Send/large.bin: ") && !status.text.contains(": 0 of")).then_some(())
            })
            .await;
        // Another command waits its turn.
        client.write(b"PWD\r\n").await;
        abort(&mut client, &[426, 226, 257]).await;
    }
    // No reader is held by what was ended: as many as there are could be taken again.
    let reply = client.expect("HASH /Send/small.bin", 213).await;
    assert!(reply.text.contains("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"), "{reply:?}");
    assert!(client.expect("STAT", 211).await.text.contains("No transfer under way"));
    // A client that goes away ends what is read for it.
    for _ in 0..4 {
        let mut other = running.partner().await;
        other.write(b"XMD5 /Send/large.bin\r\n").await;
        other.expect("NOOP", 200).await;
    }
    client.expect("XCRC /Send/small.bin", 250).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_as_text_is_counted_beside_the_session_and_in_its_turn() {
    const COUNTED_BYTES: u64 = 64 << 20;
    let appliance = Appliance::new();
    let running = appliance.start().await;
    give_large(&appliance, "large.bin");
    let send = appliance.place(PARTNER, "Send");
    std::fs::File::create(send.join("counted.txt")).unwrap().set_len(COUNTED_BYTES).unwrap();
    std::fs::write(send.join("lines.txt"), "a\nb\r\n\n").unwrap();
    // As many files are being read as may be.
    let mut others = Vec::new();
    for _ in 0..2 {
        let mut other = running.partner().await;
        other.write(b"HASH /Send/large.bin\r\n").await;
        while !other.expect("STAT", 211).await.text.contains("Reading /Send/large.bin: ") {}
        others.push(other);
    }
    let mut client = running.partner().await;
    client.expect("TYPE A", 200).await;
    assert_eq!(client.expect("SIZE /Send/lines.txt", 213).await.text, "213 8\r\n", "a little is read at once");
    for end in [true, false] {
        client.write(b"SIZE /Send/counted.txt\r\n").await;
        client.expect("NOOP", 200).await;
        let status = client.expect("STAT", 211).await;
        assert!(status.text.contains("Waiting for a turn to read"), "{status:?}");
        if end {
            abort(&mut client, &[426, 226]).await;
        }
    }
    drop(others);
    assert_eq!(client.reply().await.text, format!("213 {COUNTED_BYTES}\r\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn abor_is_answered_at_once_in_every_state_and_frees_the_port() {
    let appliance = Appliance::new();
    let port = crate::kit::free_port();
    appliance.set(&[&format!("passive_port_range={port}")]);
    let running = appliance.start().await;
    give_large(&appliance, "large.bin");
    let mut client = running.partner().await;
    client.passive = Passive::Pasv;
    // Nothing to end.
    abort(&mut client, &[225]).await;
    // A port that nobody used.
    client.expect("PASV", 227).await;
    abort(&mut client, &[226]).await;
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err(), "the port is closed");
    // Waiting for the data connection.
    for command in ["RETR /Send/large.bin", "STOR /Receive/a.bin", "LIST"] {
        client.expect("PASV", 227).await;
        client.write(format!("{command}\r\n").as_bytes()).await;
        let status = client.expect("STAT", 211).await;
        assert!(status.text.contains("Waiting for the data connection"), "{status:?}");
        abort(&mut client, &[426, 226]).await;
        assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err(), "the port is closed after {command}");
    }
    // A download whose client reads nothing, one whose client reads, an upload that rests.
    let data = client.begin("RETR /Send/large.bin").await.unwrap();
    abort(&mut client, &[426, 226]).await;
    drop(data);
    let mut data = client.begin("RETR /Send/large.bin").await.unwrap();
    let reading = tokio::spawn(async move {
        let mut buffer = vec![0; 1 << 16];
        while data.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    });
    // The 150 is on its way a moment before the transfer is told of.
    while !client.expect("STAT", 211).await.text.contains("Sending /Send/large.bin: ") {}
    abort(&mut client, &[426, 226]).await;
    reading.await.unwrap();
    let mut data = client.begin("STOR /Receive/a.bin").await.unwrap();
    data.write_all(&[7; 10_000]).await.unwrap();
    abort(&mut client, &[426, 226]).await;
    assert_eq!(data.read(&mut [0; 1]).await.unwrap_or(0), 0, "the data connection is closed");
    // The one port of the range is free again, and the session is as it was.
    client.store("/Receive/a.bin", b"whole").await;
    assert_eq!(client.fetch("RETR /Receive/a.bin").await.unwrap(), b"whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn quit_during_a_transfer_waits_for_its_reply() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    let mut data = client.begin("STOR /Receive/a.edi").await.unwrap();
    data.write_all(b"the first half, ").await.unwrap();
    client.write(b"QUIT\r\n").await;
    client.expect("NOOP", 200).await;
    data.write_all(b"the second").await.unwrap();
    data.shutdown().await.unwrap();
    assert_eq!(client.reply().await.code, 226);
    assert_eq!(client.reply().await.code, 221);
    assert!(client.try_reply().await.is_err(), "the connection is closed");
    let receive = appliance.place(PARTNER, "Receive");
    assert_eq!(std::fs::read(receive.join("a.edi")).unwrap(), b"the first half, the second");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_for_a_transfer_is_refused_under_its_own_line() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    let mut data = client.begin("STOR /Receive/good.edi").await.unwrap();
    client.write(b"PORT 127,0,0,1,200,1\r\nRNFR /Nowhere/x\r\nXMKD /Nowhere/\xfe\r\n").await;
    data.write_all(b"bytes").await.unwrap();
    data.shutdown().await.unwrap();
    for code in [226, 502, 550, 501] {
        let reply = client.reply().await;
        assert_eq!(reply.code, code, "{reply:?}");
    }
    let refusals = running
        .until("three refusals are there", async |running| {
            let refusals = running.refusals().await;
            (refusals.len() == 3).then_some(refusals)
        })
        .await;
    let mut told: Vec<_> = refusals.iter().map(|one| (one.rule, one.command.as_str())).collect();
    told.sort_by_key(|(_, command)| *command);
    let wanted = [
        (Rule::ActiveModeOff, "PORT 127,0,0,1,200,1"),
        (Rule::OutsideFolders, "RNFR /Nowhere/x"),
        (Rule::NameEncoding, r"XMKD /Nowhere/\xfe"),
    ];
    assert_eq!(told, wanted);
}
