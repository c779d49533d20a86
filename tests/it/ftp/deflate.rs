//! MODE Z (draft-preston-ftpext-deflate): files and listings by zlib, in both directions.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use crate::kit::{Appliance, Client, PARTNER, Running, sha256};

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("it deflates");
    encoder.finish().expect("it deflates")
}

fn inflated(bytes: &[u8]) -> Vec<u8> {
    let mut inflated = Vec::new();
    ZlibDecoder::new(bytes).read_to_end(&mut inflated).expect("a zlib stream");
    inflated
}

fn text() -> Vec<u8> {
    (0..60_000).flat_map(|number| format!("line {number} of an order\n").into_bytes()).collect()
}

fn appliance() -> Appliance {
    let appliance = Appliance::new();
    appliance.set(&["mode_z=on"]);
    appliance
}

async fn partner(running: &Running<'_>) -> Client {
    let mut client = running.partner().await;
    client.expect("MODE Z", 200).await;
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_listings_go_both_ways_deflated() {
    let appliance = appliance();
    let running = appliance.start().await;
    let mut client = partner(&running).await;
    assert!(client.expect("FEAT", 211).await.text.contains("\r\n MODE Z\r\n"));
    let bytes = text();
    client.store("/Receive/a.edi", &deflated(&bytes)).await;
    assert_eq!(std::fs::read(appliance.place(PARTNER, "Receive").join("a.edi")).unwrap(), bytes);
    let receipts = running.receipts(1).await;
    assert_eq!((&receipts[0]["sha256"], &receipts[0]["size_bytes"]), (&sha256(&bytes).into(), &bytes.len().into()));
    client.expect("OPTS MODE Z LEVEL 9", 200).await;
    let fetched = client.fetch("RETR /Receive/a.edi").await.unwrap();
    assert!(fetched.len() < bytes.len() / 3, "{} bytes were sent", fetched.len());
    assert!(inflated(&fetched) == bytes);
    let listed = client.fetch("LIST /Receive").await.unwrap();
    assert!(inflated(&listed).ends_with(b" a.edi\r\n"));
    // The offset is one of the file; each transfer is a zlib stream of its own.
    client.expect("REST 100000", 350).await;
    assert!(inflated(&client.fetch("RETR /Receive/a.edi").await.unwrap()) == bytes[100_000..]);
    client.store("/Receive/empty.edi", &deflated(b"")).await;
    client.store("/Receive/nothing.edi", b"").await;
    // Text is turned first, then deflated.
    client.expect("TYPE A", 200).await;
    client.expect("RETR /Receive/a.edi", 425).await;
    let as_text = inflated(&client.fetch("RETR /Receive/a.edi").await.unwrap());
    assert_eq!(as_text, String::from_utf8(bytes).unwrap().replace('\n', "\r\n").into_bytes());
    client.expect("MODE S", 200).await;
    assert!(client.list("NLST /Receive").await.contains("a.edi"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_stream_is_unfinished_and_can_be_gone_on_with() {
    let appliance = appliance();
    let running = appliance.start().await;
    let mut client = partner(&running).await;
    let bytes = text();
    let stream = deflated(&bytes);
    let reply = client.put("STOR /Receive/a.edi", &stream[..stream.len() / 2]).await;
    assert_eq!(reply.code, 426, "{reply:?}");
    assert!(appliance.receipts(PARTNER).is_empty());
    let size: usize = client.expect("SIZE /Receive/a.edi", 213).await.text[4..].trim().parse().unwrap();
    assert!(size > 0 && size < bytes.len());
    client.expect(&format!("REST {size}"), 350).await;
    client.store("/Receive/a.edi", &deflated(&bytes[size..])).await;
    assert_eq!(running.receipts(1).await[0]["sha256"], sha256(&bytes));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_deflated_file_is_refused_and_leaves_nothing() {
    let appliance = appliance();
    let running = appliance.start().await;
    let mut client = partner(&running).await;
    let reply = client.put("STOR /Receive/a.edi", b"plain bytes in MODE Z").await;
    assert_eq!(reply.code, 426, "{reply:?}");
    assert!(reply.text.contains("zlib"), "{reply:?}");
    // 64 MiB of zeros: a thousand times what came.
    let bomb = deflated(&vec![0; 64 << 20]);
    let reply = client.put("STOR /Receive/a.edi", &bomb).await;
    assert_eq!(reply.code, 552, "{reply:?}");
    client.expect("SIZE /Receive/a.edi", 550).await;
    // The largest file is what it is when inflated.
    appliance.say(&["connector", "set", PARTNER, "file_bytes_max=1000000"]);
    let reply = client.put("STOR /Receive/b.edi", &deflated(&vec![0; 1_000_001])).await;
    assert_eq!(reply.code, 552, "{reply:?}");
    assert!(appliance.receipts(PARTNER).is_empty());
    // Turned off in the midst of a session: said at the transfer.
    appliance.set(&["mode_z=off"]);
    client.expect("EPSV", 229).await;
    client.expect("LIST", 504).await;
    client.expect("MODE S", 200).await;
    client.expect("MODE Z", 504).await;
    client.store("/Receive/c.edi", b"as it is").await;
}
