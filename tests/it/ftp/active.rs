//! Active mode: PORT and EPRT, only to the client's own address and to ports from 1024, where the profile allows it.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use waybill::domain::refusal::Rule;

use crate::kit::{Appliance, Client, PARTNER, PASSWORD};

/// A transfer command whose data connection comes to `listener`.
async fn begin(client: &mut Client, listener: &TcpListener, line: &str) -> TcpStream {
    client.write(format!("{line}\r\n").as_bytes()).await;
    let (data, from) = listener.accept().await.expect("the server connects");
    assert!(from.ip().is_loopback());
    assert_eq!(client.reply().await.code, 150);
    data
}

async fn both_ways(client: &mut Client, listener: &TcpListener, agree: &str) {
    client.expect(agree, 200).await;
    let mut data = begin(client, listener, "STOR /Receive/a.edi").await;
    data.write_all(b"by way of the client's own port").await.expect("the data connection takes bytes");
    drop(data);
    assert_eq!(client.reply().await.code, 226);
    // What was agreed is used up.
    client.expect("RETR /Receive/a.edi", 425).await;
    client.expect(agree, 200).await;
    let mut bytes = Vec::new();
    begin(client, listener, "RETR /Receive/a.edi")
        .await
        .read_to_end(&mut bytes)
        .await
        .expect("the data connection gives bytes");
    assert_eq!(client.reply().await.code, 226);
    assert_eq!(bytes, b"by way of the client's own port");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_connects_to_the_client_over_both_families() {
    let appliance = Appliance::new();
    appliance.set(&["active_mode=on"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    both_ways(&mut client, &listener, &format!("PORT 127,0,0,1,{},{}", port >> 8, port & 0xff)).await;
    both_ways(&mut client, &listener, &format!("EPRT |1|127.0.0.1|{port}|")).await;
    both_ways(&mut client, &listener, &format!("EPRT |2|::ffff:127.0.0.1|{port}|")).await;
    if let Some(address) = running.ftp_v6() {
        let mut client = Client::login(address, PARTNER, PASSWORD).await;
        let listener = TcpListener::bind("[::1]:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        both_ways(&mut client, &listener, &format!("EPRT |2|::1|{port}|")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_connects_nowhere_else() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("PORT 127,0,0,1,200,200", 502).await;
    client.expect("EPRT |1|127.0.0.1|51400|", 502).await;
    appliance.set(&["active_mode=on"]);
    // In force within 250 ms; until then it is 502.
    running
        .until("active mode is on", async |_| {
            let reply = client.send("PORT 127,0,0,2,200,200").await;
            (reply.code != 502).then(|| assert_eq!(reply.code, 501, "{reply:?}"))
        })
        .await;
    for line in ["EPRT |1|192.0.2.1|51400|", "PORT 127,0,0,1,3,255", "EPRT |1|127.0.0.1|1023|", "EPRT |2|::1|51400|"] {
        client.expect(line, 501).await;
        client.expect("LIST", 425).await;
    }
    running
        .until("each of them is recorded", async |running| {
            let refused = running.refusals().await;
            refused.iter().any(|one| one.rule == Rule::DataConnectionWrongAddress && one.times == 5).then_some(())
        })
        .await;
    // Nobody listens there.
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    drop(taken);
    client.expect(&format!("EPRT |1|127.0.0.1|{port}|"), 200).await;
    client.expect("LIST", 425).await;
    client.expect("EPRT |1|127.0.0.1|51400|", 200).await;
    client.expect("EPSV ALL", 200).await;
    client.expect("EPRT |1|127.0.0.1|51400|", 503).await;
    client.expect("PORT 127,0,0,1,200,200", 503).await;
}
