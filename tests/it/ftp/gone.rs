//! How a transfer has ended whose client is gone, or whose session is: cut off, and aborted only by ABOR.

use tokio::io::AsyncWriteExt;
use waybill::domain::receipt::Ending;
use waybill::domain::refusal::Rule;

use crate::kit::{Appliance, PARTNER, PASSWORD, Running, Secured, Version};

/// How the last of so many transfers has ended.
async fn ending(running: &Running<'_>, count: usize) -> (Ending, bool) {
    let last = &running.transfers(count).await[0];
    (last.ending, last.complete)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_abor_aborts() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    let mut data = client.begin("STOR /Receive/a.edi").await.unwrap();
    data.write_all(b"half").await.unwrap();
    client.expect("ABOR", 426).await;
    assert_eq!(client.reply().await.code, 226);
    assert_eq!(ending(&running, 1).await, (Ending::Aborted, false));

    let mut data = client.begin("STOR /Receive/a.edi").await.unwrap();
    data.write_all(b"half").await.unwrap();
    drop(client);
    assert_eq!(ending(&running, 2).await, (Ending::Cut, false));

    let mut client = running.partner().await;
    let mut data = client.begin("STOR /Receive/a.edi").await.unwrap();
    data.write_all(b"half").await.unwrap();
    appliance.configure(&["enabled=off"]);
    assert_eq!(client.reply().await.code, 421);
    assert_eq!(ending(&running, 3).await, (Ending::Cut, false));
    let rules = running
        .until("why is recorded", async |running| {
            let rules: Vec<_> = running.refusals().await.iter().map(|refusal| refusal.rule).collect();
            rules.contains(&Rule::ConnectorDisabled).then_some(rules)
        })
        .await;
    assert_eq!(rules.iter().filter(|rule| **rule == Rule::BrokenOff).count(), 1, "the lost client's alone: {rules:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_by_tls_that_said_its_end_is_whole_though_its_client_is_gone() {
    let appliance = Appliance::untouched();
    appliance.add(PARTNER, &[]);
    let running = appliance.start().await;
    let bytes = vec![7; 3_000_000];
    for (number, version) in Version::ALL.into_iter().cycle().take(6).enumerate() {
        let mut partner = Secured::login(running.ftp(), version, (PARTNER, PASSWORD)).await;
        let data = partner.client.begin("STOR /Receive/a.edi").await.unwrap();
        let mut data = partner.shake(data).await.unwrap();
        // It is gone before the last bytes have come, and says no farewell.
        let (early, late) = bytes.split_at(if number < 2 { 1_000_000 } else { bytes.len() });
        data.write_all(early).await.unwrap();
        partner.client.write(b"QUIT\r\n").await;
        drop(partner);
        data.write_all(late).await.unwrap();
        data.shutdown().await.unwrap();
        assert_eq!(ending(&running, number + 1).await, (Ending::Closed, true), "{version:?}");
    }
    assert_eq!(running.receipts(6).await[5]["size_bytes"], 3_000_000);

    // What does not say its end is not whole.
    let mut partner = Secured::login(running.ftp(), Version::Tls13, (PARTNER, PASSWORD)).await;
    let data = partner.client.begin("STOR /Receive/a.edi").await.unwrap();
    let mut data = partner.shake(data).await.unwrap();
    data.write_all(&bytes).await.unwrap();
    drop(partner);
    data.get_mut().0.shutdown().await.unwrap();
    assert_eq!(ending(&running, 7).await, (Ending::Unsigned, false));
}
