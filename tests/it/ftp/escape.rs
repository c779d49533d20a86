//! No name, link or byte leads out of the partner's two folders.

use crate::kit::{Appliance, PARTNER};

#[tokio::test(flavor = "multi_thread")]
async fn dots_lead_nowhere() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    for name in ["../../../../etc/passwd", "/etc/passwd", "/Receive/../../etc/passwd", "Send/../../../etc/passwd"] {
        let refusal = client.fetch(&format!("RETR {name}")).await.unwrap_err();
        assert_eq!(refusal.code, 550, "{refusal:?}");
        let refusal = client.put(&format!("STOR {name}"), b"x").await;
        assert_eq!(refusal.code, 553, "{refusal:?}");
    }
    for line in ["CWD ../../..", "CWD Receive", "CWD ../../../.."] {
        client.expect(line, 250).await;
    }
    assert!(client.expect("PWD", 257).await.text.starts_with("257 \"/\""));
    client.expect("MKD /Receive/../../up", 550).await;
    client.store("Receive/./x/../a.edi", b"fine").await;
    assert!(appliance.place(PARTNER, "Receive").join("a.edi").is_file());
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_not_followed() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.store("/Receive/real.edi", b"real").await;
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret.txt");
    std::fs::write(&secret, b"not yours").unwrap();
    let receive = appliance.place(PARTNER, "Receive");
    std::os::unix::fs::symlink(outside.path(), receive.join("folder")).unwrap();
    std::os::unix::fs::symlink(&secret, receive.join("file.txt")).unwrap();

    client.expect("CWD Receive", 250).await;
    for name in ["folder/secret.txt", "file.txt"] {
        assert!(client.fetch(&format!("RETR {name}")).await.is_err(), "{name}");
        assert!(client.send(&format!("SIZE {name}")).await.code >= 500, "{name}");
    }
    for line in ["CWD folder", "MKD folder/new", "RMD folder", "RNFR folder/secret.txt", "DELE folder/secret.txt"] {
        let reply = client.send(line).await;
        assert!((500..600).contains(&reply.code), "{line}: {reply:?}");
    }
    let reply = client.put("STOR folder/new.txt", b"x").await;
    assert!((500..600).contains(&reply.code), "{reply:?}");
    if let Ok(listed) = client.fetch("NLST folder").await {
        assert!(listed.is_empty(), "{}", String::from_utf8_lossy(&listed));
    }
    // Taking the link's own name may be refused or may replace the link; what it points to stays.
    client.put("STOR file.txt", b"mine").await;
    assert_eq!(std::fs::read(&secret).unwrap(), b"not yours");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    assert!(!client.list("NLST").await.contains("folder"));
}

#[tokio::test(flavor = "multi_thread")]
async fn control_bytes_and_staging_are_out_of_reach() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD Receive", 250).await;
    for name in [&b"a\0b"[..], b"a\x01b", b"a\x1b[2Jb", b"a\x7fb"] {
        client.write(&[b"SIZE ", name, b"\r\n"].concat()).await;
        let reply = client.reply().await;
        assert_eq!(reply.code, 501, "{name:?}: {reply:?}");
    }
    client.store("a.edi", b"1").await;
    for line in
        ["CWD .waybill", "SIZE .waybill/x", "DELE .waybill/x", "RMD .waybill", "MKD .waybill/x", "RNFR .waybill"]
    {
        let reply = client.send(line).await;
        assert!((500..600).contains(&reply.code), "{line}: {reply:?}");
    }
    client.expect("MKD sub", 257).await;
    for (line, code) in
        [("STOR .waybill", 553), ("APPE .waybill", 550), ("STOR sub/.waybill", 553), ("STOR .waybill/x", 553)]
    {
        let refused = client.put(line, b"1").await;
        assert_eq!((refused.code, refused.text.contains("cannot be stored")), (code, true), "{line}: {refused:?}");
    }
    for line in ["NLST -a", "LIST -a", "MLSD"] {
        assert!(!client.list(line).await.contains("waybill"), "{line}");
    }
    client.expect("RMD sub", 250).await;
    let long = "x".repeat(5_000);
    assert!((500..600).contains(&client.send(&format!("SIZE {long}")).await.code));
    client.expect("NOOP", 200).await;
}
