//! How fast a partner may be, and what it does not see yet.

use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::kit::{Appliance, Client, PARTNER, PASSWORD, Secured, Version, epsv_address};

#[tokio::test(flavor = "multi_thread")]
async fn the_sessions_of_a_partner_share_its_limits_and_a_change_is_live() {
    let appliance = Appliance::new();
    appliance.configure(&["upload_bytes_per_s=400000", "download_bytes_per_s=400000", "stall_timeout_s=1"]);
    let running = appliance.start().await;
    let (mut one, mut two) = (running.partner().await, running.partner().await);
    let bytes = vec![7_u8; 400_000];
    // Two of them are 2 s of the limit, less the quarter second that a rest is worth.
    let begun = Instant::now();
    tokio::join!(one.store("/Receive/a.edi", &bytes), two.store("/Receive/b.edi", &bytes));
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(1_500), "{took:?}");
    let begun = Instant::now();
    let (first, second) = tokio::join!(one.fetch("RETR /Receive/a.edi"), two.fetch("RETR /Receive/b.edi"));
    assert!(first.unwrap() == bytes && second.unwrap() == bytes);
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(1_500), "{took:?}");

    // 100 s by the old limit.
    let bytes = vec![7_u8; 40_000_000];
    let begun = Instant::now();
    let mut data = one.begin("STOR /Receive/c.edi").await.unwrap();
    let writing = tokio::spawn(async move {
        data.write_all(&bytes).await.unwrap();
        data.shutdown().await.unwrap();
    });
    running
        .until("some of it has arrived", async |_| {
            let status = one.expect("STAT", 211).await.text;
            (status.contains("bytes so far") && !status.contains(": 0 bytes")).then_some(())
        })
        .await;
    appliance.configure(&["upload_bytes_per_s="]);
    writing.await.unwrap();
    assert_eq!(one.reply().await.code, 226);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(25), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_program_puts_into_send_rests_before_it_is_offered() {
    let appliance = Appliance::new();
    // Longer than any machine takes for what follows.
    appliance.configure(&["send_settle_s=3600", "send_write=on"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    std::fs::write(appliance.place(PARTNER, "Send").join("a.edi"), b"half").unwrap();
    assert_eq!(client.list("NLST /Send").await, "");
    assert_eq!(client.fetch("RETR /Send/a.edi").await.unwrap_err().code, 450);
    // Waybill's own files are whole at once.
    client.store("/Send/own.edi", b"own").await;
    assert_eq!(client.list("NLST /Send").await, "/Send/own.edi\r\n");
    assert_eq!(client.fetch("RETR /Send/own.edi").await.unwrap(), b"own");
    appliance.configure(&["send_settle_s=2"]);
    let rested = running.until("it has rested", async |_| client.fetch("RETR /Send/a.edi").await.ok()).await;
    assert_eq!(rested, b"half");
    assert!(client.list("NLST /Send").await.contains("a.edi"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_of_files_counts_one_under_a_temporary_name_whatever_it_is_called() {
    let appliance = Appliance::new();
    appliance.configure(&["quota_files=1"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD /Receive", 250).await;
    client.store("a.tmp", b"bytes").await;
    for (from, to) in [("a.tmp", "b.tmp"), ("b.tmp", "sub/b.tmp"), ("sub", "dir"), ("dir/b.tmp", "dir/b.edi")] {
        if to.starts_with("sub/") {
            client.expect("MKD sub", 257).await;
        }
        client.expect(&format!("RNFR {from}"), 350).await;
        client.expect(&format!("RNTO {to}"), 250).await;
        let refusal = client.put("STOR c.edi", b"one more").await;
        assert_eq!(refusal.code, 552, "after {to}: {}", refusal.text);
    }
    client.store("dir/b.edi", b"another version").await;
    client.expect("DELE dir/b.edi", 250).await;
    client.store("c.edi", b"one more").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_met_a_limit_goes_on_when_there_is_room() {
    let appliance = Appliance::new();
    appliance.configure(&["quota_bytes=1000000"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD /Receive", 250).await;
    client.store("old.edi", &vec![7; 400_000]).await;
    let bytes: Vec<u8> = (0..=250).cycle().take(900_000).collect();
    assert_eq!(client.put("STOR new.edi", &bytes).await.code, 552);
    let size = client.expect("SIZE new.edi", 213).await;
    let size: usize = size.text[4..].trim().parse().unwrap();
    assert!((1..=600_000).contains(&size), "{size}");
    client.expect("DELE old.edi", 250).await;
    client.expect(&format!("REST {size}"), 350).await;
    client.store("new.edi", &bytes[size..]).await;
    assert!(client.fetch("RETR new.edi").await.unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn avbl_tells_what_the_quota_leaves_in_receive_and_the_disk_in_send() {
    let appliance = Appliance::new();
    appliance.configure(&["quota_bytes=1000000"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.store("/Receive/a.edi", &vec![7; 100_000]).await;
    // It has no receipt, and takes as much room.
    client.store("/Receive/b.tmp", &vec![7; 200_000]).await;
    for path in ["", " /Receive"] {
        let reply = client.expect(&format!("AVBL{path}"), 213).await;
        assert_eq!(reply.text.trim_end(), "213 700000", "AVBL{path}");
    }
    let reply = client.expect("AVBL /Send", 213).await;
    let left: u64 = reply.text[4..].trim().parse().unwrap();
    assert!(left > 1_000_000, "{left}");
}

/// A data connection of a client whose system takes little ahead of it.
async fn narrow(client: &mut Client, line: &str) -> TcpStream {
    let at = epsv_address(client.server, &client.expect("EPSV", 229).await.text);
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(8 * 1024).expect("the socket takes options");
    let data = socket.connect(at).await.expect("the passive port is open");
    client.expect(line, 150).await;
    data
}

/// Three times as long as nothing may move, a little is read ten times a second.
async fn read_slowly(data: &mut (impl AsyncRead + Unpin)) {
    for _ in 0..30 {
        data.read_exact(&mut [0; 4 * 1024]).await.expect("the transfer goes on");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_slowly_all_the_time_is_not_stalled_and_who_stops_is() {
    let appliance = Appliance::new();
    appliance.configure(&["stall_timeout_s=1"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.store("/Receive/a.bin", &vec![7; 16 << 20]).await;

    let mut data = narrow(&mut client, "RETR /Receive/a.bin").await;
    read_slowly(&mut data).await;
    client.expect("NOOP", 200).await;
    assert_eq!(client.reply().await.code, 426, "it reads no more");

    let mut secured = Secured::login(running.ftp(), Version::Tls13, (PARTNER, PASSWORD)).await;
    let data = narrow(&mut secured.client, "RETR /Receive/a.bin").await;
    let mut data = secured.shake(data).await.unwrap();
    read_slowly(&mut data).await;
    secured.client.expect("NOOP", 200).await;
    assert_eq!(secured.client.reply().await.code, 426, "it reads no more");
}
