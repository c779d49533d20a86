//! Files and folders: listing, downloading, renaming, deleting.

use rustix::fs::{FileType, Mode};
use waybill::domain::refusal::Rule;

use crate::kit::{Appliance, PARTNER, Passive};

#[tokio::test(flavor = "multi_thread")]
async fn the_root_holds_exactly_send_and_receive() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    let mut names: Vec<_> = client.list("NLST").await.lines().map(str::to_owned).collect();
    names.sort();
    assert_eq!(names, ["Receive", "Send"]);
    client.expect("CWD send", 250).await;
    assert!(client.expect("PWD", 257).await.text.starts_with("257 \"/Send\""));
    client.expect("CDUP", 250).await;
    client.expect("RETR Send", 425).await;
    client.expect("EPSV", 229).await;
    for line in ["MKD new", "RMD Send", "DELE Receive", "RETR Send"] {
        let reply = client.send(line).await;
        assert!((500..600).contains(&reply.code), "{line}: {reply:?}");
    }
    let reply = client.put("STOR loose.edi", b"x").await;
    assert_eq!(reply.code, 553, "{reply:?}");
    assert!(reply.text.contains("Receive"), "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_into_send_is_listed_and_collected() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD /Send", 250).await;
    assert_eq!(client.list("NLST").await, "");
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    std::fs::write(appliance.place(PARTNER, "Send").join("order é.edi"), &bytes).unwrap();

    for passive in [Passive::Pasv, Passive::Epsv] {
        client.passive = passive;
        assert_eq!(client.list("NLST").await, "order é.edi\r\n");
        assert!(client.list("LIST").await.trim_end().ends_with(" order é.edi"));
        let facts = client.list("MLSD").await;
        assert!(facts.to_lowercase().contains("size=300000;") && facts.contains(" order é.edi\r\n"), "{facts}");
        assert_eq!(client.fetch("RETR order é.edi").await.unwrap(), bytes);
    }
    assert_eq!(client.expect("SIZE order é.edi", 213).await.text, "213 300000\r\n");
    assert_eq!(client.expect("MDTM order é.edi", 213).await.text.len(), "213 20260102030405\r\n".len());
    client.expect("REST 299990", 350).await;
    assert_eq!(client.fetch("RETR order é.edi").await.unwrap(), &bytes[299_990..]);
    // Send is read-only unless told otherwise.
    client.expect("RNFR order é.edi", 550).await;
    let reply = client.put("STOR other.edi", b"x").await;
    assert_eq!(reply.code, 553, "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_in_receive_are_made_renamed_and_removed() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD Receive", 250).await;
    client.expect("MKD in", 257).await;
    client.expect("MKD in/deep", 257).await;
    client.store("in/deep/a.edi", b"1").await;
    client.expect("RMD in/deep", 550).await;
    client.expect("RNFR in", 350).await;
    let reply = client.expect("RNTO in/deep/in", 553).await;
    assert!(reply.text.contains("cannot be moved into itself"), "{reply:?}");
    client.expect("RNFR in", 350).await;
    client.expect("RNTO in", 250).await;
    client.expect("RNFR in/deep/a.edi", 350).await;
    client.expect("RNTO in/b.edi", 250).await;
    assert_eq!(running.receipts(1).await[0]["path"], "/Receive/in/b.edi");
    client.expect("RMD in/deep", 250).await;
    client.expect("DELE in/b.edi", 250).await;
    client.expect("RMD in", 250).await;
    client.expect("CWD in", 550).await;
    client.expect("RNTO x", 503).await;
    client.expect("RNFR nothing", 550).await;
    client.store("a.edi", b"2").await;
    client.expect("RNFR a.edi", 350).await;
    let reply = client.expect("RNTO /Send/a.edi", 553).await;
    assert!(reply.text.contains("within Send or within Receive, not between them"), "{reply:?}");
    let refused = running
        .until("the refusal is recorded", async |running| {
            running.refusals().await.into_iter().find(|one| one.command.starts_with("RNTO /Send"))
        })
        .await;
    assert_eq!(refused.detail, "a rename between Send and Receive");
    assert_eq!(client.list("NLST").await, "a.edi\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_hold_in_each_folder() {
    let appliance = Appliance::new();
    appliance.add("dropbox", &["receive_read=off"]);
    appliance.add("reader", &["receive_write=off", "send_write=on"]);
    let running = appliance.start().await;
    let mut dropbox = crate::kit::Client::login(running.ftp(), "dropbox", crate::kit::PASSWORD).await;
    dropbox.store("/Receive/a.edi", b"dropped").await;
    assert_eq!(dropbox.list("NLST /Receive").await, "");
    assert_eq!(dropbox.fetch("RETR /Receive/a.edi").await.unwrap_err().code, 550);

    // What another program put there is not its own, under whatever name.
    let folder = appliance.place("dropbox", "Receive");
    std::fs::write(folder.join("theirs.edi"), b"theirs").unwrap();
    for line in
        ["MFMT 20240102030405", "SITE UTIME 20240102030405", "MDTM 20240102030405", "HASH", "SIZE", "DELE", "RNFR"]
    {
        dropbox.expect(&format!("{line} /Receive/theirs.edi"), 550).await;
    }
    // Nor is there any telling that it exists, but from a name that cannot be had.
    std::fs::create_dir(folder.join("in")).unwrap();
    std::os::unix::fs::symlink("in", folder.join("link")).unwrap();
    for line in ["CWD", "RMD", "AVBL", "MLST"] {
        let missing = dropbox.send(&format!("{line} /Receive/nothing.edi")).await;
        for name in ["theirs.edi", "theirs.edi/deeper", "link", "link/deeper", "nothing.edi/deeper"] {
            assert_eq!(dropbox.send(&format!("{line} /Receive/{name}")).await, missing, "{line} {name}");
        }
    }
    let missing = dropbox.send("MKD /Receive/nothing.edi/new").await;
    for name in ["theirs.edi", "link"] {
        assert_eq!(dropbox.send(&format!("MKD /Receive/{name}/new")).await, missing, "{name}");
    }
    for verb in ["STOR", "APPE"] {
        let missing = dropbox.put(&format!("{verb} /Receive/nothing.edi/new"), b"x").await;
        for name in ["theirs.edi", "link"] {
            assert_eq!(dropbox.put(&format!("{verb} /Receive/{name}/new"), b"x").await, missing, "{verb} {name}");
        }
    }
    dropbox.expect("RNFR /Receive/a.edi", 350).await;
    let missing = dropbox.send("RNTO /Receive/nothing.edi/new").await;
    for name in ["theirs.edi", "link"] {
        dropbox.expect("RNFR /Receive/a.edi", 350).await;
        assert_eq!(dropbox.send(&format!("RNTO /Receive/{name}/new")).await, missing, "{name}");
    }
    dropbox.store("/Receive/own.edi.tmp", b"dropped").await;
    std::fs::write(folder.join("theirs.tmp"), b"theirs").unwrap();
    // Only root may give a file to somebody else.
    if std::os::unix::fs::chown(folder.join("theirs.tmp"), Some(12_345), None).is_ok() {
        for line in ["MFMT 20240102030405", "HASH", "SIZE", "DELE", "RNFR"] {
            dropbox.expect(&format!("{line} /Receive/theirs.tmp"), 550).await;
        }
    }
    for (line, code) in [("MFMT 20240102030405", 213), ("HASH", 213), ("SIZE", 213), ("RNFR", 350)] {
        dropbox.expect(&format!("{line} /Receive/a.edi"), code).await;
        dropbox.expect(&format!("{line} /Receive/own.edi.tmp"), code).await;
    }
    dropbox.expect("RNTO /Receive/own.edi", 250).await;

    let mut reader = crate::kit::Client::login(running.ftp(), "reader", crate::kit::PASSWORD).await;
    assert_eq!(reader.put("STOR /Receive/a.edi", b"x").await.code, 553);
    reader.store("/Send/a.edi", b"into Send").await;
    assert_eq!(reader.fetch("RETR /Send/a.edi").await.unwrap(), b"into Send");
    assert!(appliance.receipts("reader").is_empty(), "an upload into Send makes no receipt");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_filter_forbids_is_not_there_for_any_question() {
    let appliance = Appliance::new();
    appliance.set(&["allowed_files_filter=*.x12"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    let (send, receive) = (appliance.place(PARTNER, "Send"), appliance.place(PARTNER, "Receive"));
    client.expect("CWD /Send", 250).await;
    std::fs::create_dir(send.join("in")).unwrap();
    for name in ["pay.tmp", "pay.x12"] {
        std::fs::write(send.join(name), b"pay").unwrap();
    }
    client.expect("RANG 0 0", 350).await;
    for line in ["HASH", "XCRC", "MD5", "SIZE", "MDTM", "MLST"] {
        client.expect(&format!("{line} pay.tmp"), 550).await;
    }
    for line in ["LIST", "NLST"] {
        assert_eq!(client.fetch(&format!("{line} pay.tmp")).await.unwrap_err().code, 450, "{line}");
    }
    client.expect("STAT pay.tmp", 450).await;
    for line in ["HASH pay.x12", "SIZE pay.x12", "MDTM pay.x12", "MDTM in"] {
        client.expect(line, 213).await;
    }
    client.expect("MLST in", 250).await;

    // One's own upload is there under its temporary name, and stays there when the filter changes.
    client.expect("CWD /Receive", 250).await;
    client.store("a.x12.filepart", b"1").await;
    client.store("b.x12", b"1").await;
    appliance.set(&["allowed_files_filter=*.x12,-b*"]);
    std::fs::write(receive.join("other.txt"), b"1").unwrap();
    running
        .until("the filter is in force", async |_| (client.send("SIZE other.txt").await.code == 550).then_some(()))
        .await;
    for line in ["SIZE a.x12.filepart", "HASH a.x12.filepart", "SIZE b.x12", "MDTM b.x12"] {
        client.expect(line, 213).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_program_still_writes_is_busy_for_any_question() {
    let appliance = Appliance::new();
    appliance.configure(&["send_settle_s=3600"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD /Send", 250).await;
    std::fs::write(appliance.place(PARTNER, "Send").join("half.edi"), b"half").unwrap();
    for line in ["HASH", "SIZE", "MDTM", "MLST", "STAT"] {
        client.expect(&format!("{line} half.edi"), 450).await;
    }
    assert_eq!(client.fetch("LIST half.edi").await.unwrap_err().code, 450);
    assert_eq!(client.list("LIST").await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_a_partner_does_makes_a_half_written_file_of_another_program_whole() {
    let appliance = Appliance::new();
    appliance.configure(&["send_settle_s=3600", "send_write=on"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD /Send", 250).await;
    let folder = appliance.place(PARTNER, "Send");
    std::fs::write(folder.join("half.edi"), b"half").unwrap();
    client.expect("MFMT 20240102030405 half.edi", 213).await;
    client.expect("RNFR half.edi", 350).await;
    client.expect("RNTO half.x12", 250).await;
    assert_eq!(client.put("APPE half.x12", b" and more").await.code, 450);
    client.expect("REST 4", 350).await;
    assert_eq!(client.put("STOR half.x12", b" and more").await.code, 450);
    assert_eq!(client.fetch("RETR half.x12").await.unwrap_err().code, 450);
    assert_eq!(std::fs::read(folder.join("half.x12")).unwrap(), b"half");
    // What it uploaded itself is whole, and stays so.
    client.store("own.edi", b"one").await;
    client.expect("MFMT 20240102030405 own.edi", 213).await;
    client.expect("RNFR own.edi", 350).await;
    client.expect("RNTO own.x12", 250).await;
    assert_eq!(client.put("APPE own.x12", b" two").await.code, 226);
    assert_eq!(client.fetch("RETR own.x12").await.unwrap(), b"one two");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_perm_fact_promises_only_what_is_allowed() {
    let appliance = Appliance::new();
    for (partner, settings) in [("no-append", ["append=refuse"]), ("no-overwrite", ["overwrite=refuse"])] {
        appliance.add(partner, &settings);
    }
    let running = appliance.start().await;
    for (partner, expected) in [(PARTNER, "adfrw"), ("no-append", "dfrw"), ("no-overwrite", "dfr")] {
        let mut client = crate::kit::Client::login(running.ftp(), partner, crate::kit::PASSWORD).await;
        client.store("/Receive/a.edi", b"1").await;
        client.store("/Receive/a.edi.tmp", b"1").await;
        client.expect("MKD /Receive/in", 257).await;
        let append = if partner == "no-append" { "dfrw" } else { "adfrw" };
        for (path, perm) in [
            ("/Receive/a.edi", expected),
            ("/Receive/a.edi.tmp", append),
            ("/Receive", "celmp"),
            ("/Receive/in", "cdeflmp"),
        ] {
            let facts = client.expect(&format!("MLST {path}"), 250).await.text;
            assert!(facts.contains(&format!("perm={perm};")), "{partner}: {facts}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_counted_beyond_4_gib() {
    use std::os::unix::fs::FileExt as _;

    const AT: u64 = (4 << 30) + 5;
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    // Sparse: they take no room.
    let file = std::fs::File::create(appliance.place(PARTNER, "Send").join("large.bin")).unwrap();
    file.write_all_at(b"the end", AT).unwrap();
    client.expect("TYPE I", 200).await;
    assert_eq!(client.expect("SIZE /Send/large.bin", 213).await.text.trim_end(), format!("213 {}", AT + 7));
    client.expect(&format!("REST {AT}"), 350).await;
    assert_eq!(client.fetch("RETR /Send/large.bin").await.unwrap(), b"the end");

    let received = appliance.place(PARTNER, "Receive").join("large.bin");
    std::fs::File::create(&received).unwrap().set_len(AT).unwrap();
    client.expect(&format!("REST {}", AT + 1), 350).await;
    assert_eq!(client.put("STOR /Receive/large.bin", b"x").await.code, 554);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_100_000_names_is_listed_whole() {
    const NAMES: usize = 100_000;
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    let folder = appliance.place(PARTNER, "Send").join("many");
    std::fs::create_dir(&folder).unwrap();
    for n in 0..NAMES {
        std::fs::File::create(folder.join(format!("{n}.edi"))).unwrap();
    }
    let listed = client.list("LIST /Send/many").await;
    assert_eq!(listed.lines().filter(|line| line.contains(".edi")).count(), NAMES);
    let few = client.expect("STAT /Send/many", 213).await.text;
    assert_eq!(few.lines().filter(|line| line.contains(".edi")).count(), 1_000);
    assert!(few.contains("(more than 1000 lines: the rest is left out)"), "{}", few.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_concerns_no_folder() {
    let appliance = Appliance::new();
    appliance.configure(&["allowed_files_filter=*.x12"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD /Receive", 250).await;
    client.expect("MKD a", 257).await;
    client.store("a/1.x12", b"1").await;
    client.expect("RNFR a", 350).await;
    client.expect("RNTO b", 250).await;
    client.expect("RNFR b/1.x12", 350).await;
    client.expect("RNTO b/1.txt", 553).await;
    assert_eq!(running.receipts(1).await[0]["path"], "/Receive/b/1.x12");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_looks_like_a_pattern_is_found_to_the_letter() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    let receive = appliance.place(PARTNER, "Receive");
    for folder in ["in[1]", "in1"] {
        std::fs::create_dir(receive.join(folder)).unwrap();
        std::fs::write(receive.join(folder).join(format!("of {folder}.edi")), b"bytes").unwrap();
    }
    for name in ["a[1].txt", "a1.txt", "*.txt"] {
        std::fs::write(receive.join(name), b"1").unwrap();
    }
    assert_eq!(client.list("NLST /Receive/in[1]").await, "/Receive/in[1]/of in[1].edi\r\n");
    client.expect("CWD /Receive", 250).await;
    assert_eq!(client.list("NLST in[1]").await, "in[1]/of in[1].edi\r\n");
    assert_eq!(client.fetch("RETR in[1]/of in[1].edi").await.unwrap(), b"bytes");
    assert!(client.list("LIST in[1]").await.ends_with(" of in[1].edi\r\n"));
    assert!(client.expect("STAT in[1]", 213).await.text.contains(" of in[1].edi\r\n"));
    assert_eq!(client.list("NLST a[1].txt").await, "a[1].txt\r\n");
    assert_eq!(client.list("NLST in[1-9]").await, "in1\r\n");
    let mut all: Vec<_> = client.list("NLST *.txt").await.lines().map(str::to_owned).collect();
    all.sort();
    assert_eq!(all, ["*.txt", "a1.txt", "a[1].txt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_write_a_time_is_not_set_and_it_is_said_why() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    std::fs::write(appliance.place(PARTNER, "Send").join("a.edi"), b"a").unwrap();
    client.expect("SIZE /Send/a.edi", 213).await;
    let times =
        ["MFMT 20240102030405", "MDTM 20240102030405", "SITE UTIME 20240102030405", "MFF modify=20240102030405;"];
    for line in times {
        let reply = client.expect(&format!("{line} /Send/a.edi"), 550).await;
        assert!(reply.text.contains("Writing is not allowed"), "{reply:?}");
    }
    running
        .until("each of them is recorded", async |running| {
            let refused = running.refusals().await;
            refused.iter().any(|one| one.rule == Rule::NoWrite && one.times == 4).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_name_leads_around_the_filter() {
    let appliance = Appliance::new();
    appliance.configure(&["send_write=on"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD /Receive", 250).await;
    client.store("a.exe.filepart", b"own").await;
    client.store("b.exe", b"own").await;
    appliance.set(&["allowed_files_filter=*.x12"]);
    for side in ["Send", "Receive"] {
        std::fs::write(appliance.place(PARTNER, side).join("secret.exe"), b"secret").unwrap();
        std::fs::create_dir(appliance.place(PARTNER, side).join("folder")).unwrap();
    }
    running
        .until("the filter is in force", async |_| (client.send("SIZE secret.exe").await.code == 550).then_some(()))
        .await;
    for side in ["Send", "Receive"] {
        for line in ["RNFR", "DELE", "MFMT 20240102030405", "SITE UTIME 20240102030405"] {
            client.expect(&format!("{line} /{side}/secret.exe"), 550).await;
        }
        client.expect(&format!("RNFR /{side}/folder"), 350).await;
        client.expect(&format!("RNTO /{side}/other"), 250).await;
        assert_eq!(std::fs::read(appliance.place(PARTNER, side).join("secret.exe")).unwrap(), b"secret");
    }
    // What it has uploaded itself is its own, whatever the filter is by now.
    client.expect("MFMT 20240102030405 a.exe.filepart", 213).await;
    client.expect("RNFR a.exe.filepart", 350).await;
    client.expect("RNTO a.exe", 553).await;
    client.expect("RNFR a.exe.filepart", 350).await;
    client.expect("RNTO a.x12", 250).await;
    client.expect("MFMT 20240102030405 b.exe", 213).await;
    client.expect("DELE b.exe", 250).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_no_file_has_is_refused_before_the_bytes() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    let receive = appliance.place(PARTNER, "Receive");
    std::os::unix::fs::symlink("nowhere", receive.join("link")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, receive.join("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(receive.join("socket")).unwrap();
    client.expect("CWD /Receive", 250).await;
    client.store("a.edi", b"a").await;
    for name in ["link", "pipe", "socket"] {
        assert_eq!(client.begin(&format!("STOR {name}")).await.unwrap_err().code, 553, "{name}");
        assert_eq!(client.begin(&format!("APPE {name}")).await.unwrap_err().code, 550, "{name}");
        client.expect("RNFR a.edi", 350).await;
        let reply = client.expect(&format!("RNTO {name}"), 553).await;
        assert!(!reply.text.contains("folder"), "{reply:?}");
    }
    // Stored under another name nothing is in the way.
    appliance.configure(&["local_file_scheme=in-%Filename%"]);
    running
        .until("the scheme is in force", async |_| (client.put("STOR link", b"link").await.code == 226).then_some(()))
        .await;
    assert_eq!(std::fs::read(receive.join("in-link")).unwrap(), b"link");
}

#[tokio::test(flavor = "multi_thread")]
async fn stat_shows_the_time_of_day_of_what_is_recent_as_list_does() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.store("/Receive/new.edi", b"a").await;
    client.store("/Receive/old.edi", b"a").await;
    client.expect("MFMT 20200101200000 /Receive/old.edi", 213).await;
    for path in ["/Receive", "/Receive/new.edi", "/Receive/old.edi"] {
        let listed = client.list(&format!("LIST {path}")).await;
        let status = client.expect(&format!("STAT {path}"), 213).await.text;
        assert!(listed.lines().count() > 0, "{listed}");
        for line in listed.lines() {
            assert!(status.contains(&format!(" {line}\r\n")), "{line} is not in {status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stat_and_list_show_times_in_the_same_zone() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.store("/Receive/a.edi", b"a").await;
    client.expect("MFMT 20200101200000 /Receive/a.edi", 213).await;
    assert!(client.expect("STAT /Receive", 213).await.text.contains(" Jan  1  2020 a.edi\r\n"));
    appliance.configure(&["list_time_zone=Asia/Tokyo"]);
    running
        .until("the zone is in force", async |_| {
            client.list("LIST /Receive").await.contains(" Jan  2  2020 ").then_some(())
        })
        .await;
    assert!(client.expect("STAT /Receive", 213).await.text.contains(" Jan  2  2020 a.edi\r\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_name_that_nlst_tells_can_be_fetched() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    let deep = appliance.place(PARTNER, "Receive").join("sub/deep");
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("x.edi"), b"x").unwrap();
    let told = [
        ("NLST -R /Receive", "/Receive/sub /Receive/sub/deep /Receive/sub/deep/x.edi"),
        ("NLST -R Receive/", "Receive/sub Receive/sub/deep Receive/sub/deep/x.edi"),
        ("NLST -R", "Receive Receive/sub Receive/sub/deep Receive/sub/deep/x.edi Send"),
        ("NLST -R /", "/Receive /Receive/sub /Receive/sub/deep /Receive/sub/deep/x.edi /Send"),
        ("NLST -aR Receive/*.edi", "Receive/sub/deep/x.edi"),
        ("NLST -a /Receive", "/Receive/sub"),
    ];
    for (line, expected) in told {
        let mut names: Vec<_> = client.list(line).await.lines().map(str::to_owned).collect();
        names.sort();
        assert_eq!(names.join(" "), expected, "{line}");
        for name in names.iter().filter(|name| name.contains("x.edi")) {
            assert_eq!(client.fetch(&format!("RETR {name}")).await.unwrap(), b"x", "{name}");
        }
    }
    let lines = client.list("LIST -aR /Receive").await;
    assert!(lines.contains(" ..\r\n") && lines.contains("\r\n/Receive/sub:\r\n"), "{lines}");
}
