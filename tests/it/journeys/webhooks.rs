//! Files that are posted: whole and signed, again with the same event id until the receiver takes them.

use std::sync::{Arc, Mutex};

use hmac::{Hmac, KeyInit, Mac};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::kit::{Appliance, PARTNER, Running, free_port};

/// What a receiver got.
#[derive(Clone, Debug, Default)]
struct Post {
    head: String,
    body: Vec<u8>,
}

impl Post {
    fn header(&self, name: &str) -> &str {
        let lines = self.head.lines();
        let found = lines.filter_map(|line| line.split_once(": ")).find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.unwrap_or_else(|| panic!("no {name} in {}", self.head)).1
    }

    fn is_signed_with(&self, secret: &str) -> bool {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("any key will do");
        mac.update(self.header("Waybill-Timestamp").as_bytes());
        mac.update(b".");
        mac.update(&self.body);
        let signed = waybill::base::hex::hex(&mac.finalize().into_bytes());
        self.header("Waybill-Signature") == format!("v1={signed}")
    }
}

type Posts = Arc<Mutex<Vec<Post>>>;

/// Takes posts on that port and answers each with 204.
async fn receive(port: u16) -> Posts {
    let posts = Posts::default();
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
    let taken = Arc::clone(&posts);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = Vec::new();
            loop {
                let mut buffer = [0; 16_384];
                let count = stream.read(&mut buffer).await.unwrap_or(0);
                bytes.extend_from_slice(&buffer[..count]);
                let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
                let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
                if count == 0 || bytes.len() - end - 4 >= length.unwrap_or(0) {
                    taken.lock().expect("nobody panicked").push(Post { head, body: bytes.split_off(end + 4) });
                    let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
                    break;
                }
            }
        }
    });
    posts
}

/// `acme-edi` passes along to a Webhook; gives its secret.
fn posting(port: u16, body: &str) -> (Appliance, String) {
    let appliance = Appliance::new();
    appliance.say(&["connector", "set", PARTNER, "settle_s=0"]);
    appliance.say(&["settings", "set", "webhook_networks=127.0.0.1", "delivery_retry_first_s=1"]);
    let url = format!("url=http://127.0.0.1:{port}/inbound");
    let said = appliance.say(&["connector", "add", "erp", "type=webhook", &url, &format!("body={body}")]);
    let secret = said.lines().find_map(|line| line.strip_prefix("secret=")).expect("a secret is made").to_owned();
    appliance.say(&["flow", "connect", PARTNER, "erp"]);
    (appliance, secret)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_posted_again_with_its_id_until_the_receiver_takes_it() {
    let port = free_port();
    let (appliance, secret) = posting(port, "event");
    let running = appliance.start().await;
    running.partner().await.store("/Receive/a.edi", b"the bytes").await;
    // Nobody listens yet: at least one attempt fails.
    let failed = async |_: &Running<'_>| {
        let page = waybill::store::delivery_page::waiting(&crate::kit::Beside::of(&appliance).await.depot.db).await;
        page.expect("it is read").first().is_some_and(|lane| lane.retrying == 1).then_some(())
    };
    running.until("the first attempt has failed", failed).await;
    assert_eq!(appliance.receipts(PARTNER)[0]["status"], "waiting");
    let posts = receive(port).await;
    running.until_status(&["passed_along"]).await;
    let posts = posts.lock().unwrap().clone();
    assert_eq!(posts.len(), 1, "it came once");
    let first = &posts[0];
    assert!(first.is_signed_with(&secret) && !first.is_signed_with("another secret"));
    assert!(first.header("Waybill-Attempt").parse::<u32>().unwrap() > 1);
    let body: serde_json::Value = serde_json::from_slice(&first.body).unwrap();
    let receipt = &appliance.receipts(PARTNER)[0];
    let events = appliance.say(&["events", "--kind", "after_receive", "--json"]);
    let event: serde_json::Value = serde_json::from_str(events.lines().next().unwrap()).unwrap();
    assert_eq!((&body["id"], &body["receipt"]["id"]), (&event["id"], &receipt["id"]));
    assert_eq!(first.header("Waybill-Event-Id"), event["id"].as_str().unwrap());
    assert_eq!(body["receipt"]["sha256"], receipt["sha256"]);
    verified_as_the_readme_says(first, &secret);
}

#[cfg(feature = "faults")]
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_each_step_an_event_is_posted_at_least_once_and_with_one_id() {
    for (point, times) in [("pass_tried", 2), ("pass_ended", 1), ("pass_left", 1)] {
        let port = free_port();
        let posts = receive(port).await;
        let (appliance, secret) = posting(port, "event");
        let mut running = appliance.start_with_fault(Some(&format!("{point}:kill:1"))).await;
        running.partner().await.store("/Receive/a.edi", b"the bytes").await;
        running.ended().await;
        let running = appliance.start().await;
        running.until_status(&["passed_along"]).await;
        let posts = posts.lock().unwrap().clone();
        assert_eq!(posts.len(), times, "{point}");
        let id = posts[0].header("Waybill-Event-Id");
        assert!(
            posts.iter().all(|post| post.is_signed_with(&secret) && post.header("Waybill-Event-Id") == id),
            "{point}"
        );
    }
}

/// `after_receive` of every connector is posted to an event target there, once a file has settled for so long.
async fn telling(settle_s: u32) -> (Appliance, Posts) {
    use waybill::access::secrets::Secrets;
    use waybill::base::clock::Clock;
    use waybill::base::id::IdSource;
    use waybill::base::secret::Secret;
    use waybill::store::Db;
    use waybill::store::event_target::{self, StoredTarget, webhook_secret};
    use waybill::store::setting::Change;

    let port = free_port();
    let appliance = Appliance::new();
    appliance.say(&["connector", "set", PARTNER, &format!("settle_s={settle_s}")]);
    appliance.say(&["settings", "set", "webhook_networks=127.0.0.1", "delivery_retry_first_s=1"]);
    let db = Db::open(&appliance.data()).await.expect("it is there");
    let ids = IdSource::random(Clock::System);
    let change = Change { who: "test", remote: "", at: Clock::System.now(), ids: &ids };
    let url = format!("http://127.0.0.1:{port}/events");
    let texts = [("url", url.as_str()), ("which", "chosen"), ("kinds", "after_receive")];
    let texts = texts.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let target = StoredTarget { id: "one".to_owned(), texts, version: 0 };
    event_target::put(&db, &target, &change).await.expect("it is added");
    let secrets = Secrets::open(db, &appliance.data()).await.expect("the key is there");
    let secret = Secret::new("a long enough secret");
    secrets.put(&webhook_secret("one"), &secret, "settings", &change).await.expect("it is kept");
    (appliance, receive(port).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_target_is_told_of_chosen_events_of_every_connector_with_the_receipt() {
    let (appliance, posts) = telling(0).await;
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.store("/Receive/a.edi", b"the bytes").await;
    running.until("it is told", async |_| (posts.lock().unwrap().len() == 1).then_some(())).await;
    let told = posts.lock().unwrap()[0].clone();
    assert!(told.is_signed_with("a long enough secret"));
    let body: serde_json::Value = serde_json::from_slice(&told.body).unwrap();
    let receipt = &appliance.receipts(PARTNER)[0];
    assert_eq!((&body["kind"], &body["receipt"]["id"]), (&"after_receive".into(), &receipt["id"]));
    // Whoever is told takes nothing over: the partner can still rename it, and it stays where it is.
    client.expect("RNFR /Receive/a.edi", 350).await;
    client.expect("RNTO /Receive/b.edi", 250).await;
    assert_eq!(receipt["status"], "in_receive");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_target_is_told_the_name_that_a_file_was_given_while_it_settled_and_never_a_temporary_one() {
    let (appliance, posts) = telling(5).await;
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.store("/Receive/a.new", b"the bytes").await;
    client.store("/Receive/b.new", b"other bytes").await;
    // Events are looked at each second.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    for (from, to) in [("a.new", "a.tmp"), ("b.new", "b.edi")] {
        client.expect(&format!("RNFR /Receive/{from}"), 350).await;
        client.expect(&format!("RNTO /Receive/{to}"), 250).await;
    }
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert!(posts.lock().unwrap().is_empty(), "the first has a temporary name, and the order is kept");
    client.expect("RNFR /Receive/a.tmp", 350).await;
    client.expect("RNTO /Receive/a.edi", 250).await;
    running.until("both are told", async |_| (posts.lock().unwrap().len() == 2).then_some(())).await;
    for (post, name) in posts.lock().unwrap().iter().zip(["a.edi", "b.edi"]) {
        let body: serde_json::Value = serde_json::from_slice(&post.body).unwrap();
        let path = format!("/Receive/{name}");
        let said = (&body["receipt"]["name"], &body["receipt"]["path"], &body["receipt"]["stored_path"]);
        assert_eq!(said, (&name.into(), &path.clone().into(), &path.clone().into()));
        assert!(body["summary"].as_str().unwrap().starts_with(&format!("Received {path} from")), "{body}");
    }
}

/// The lines of the README, run by Python on what a receiver got.
fn verified_as_the_readme_says(post: &Post, secret: &str) {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("it is read");
    let lines = readme
        .split("```python\n")
        .nth(1)
        .expect("the README shows a receiver")
        .split("```")
        .next()
        .unwrap_or_default();
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("body"), &post.body).expect("it is written");
    let call = format!(
        "{lines}\nheaders = {{'Waybill-Timestamp': {:?}, 'Waybill-Signature': {:?}}}\nbody = open('body', 'rb').read()\n\
         assert genuine(headers, body, {secret:?})\nassert not genuine(headers, body + b' ', {secret:?})\n",
        post.header("Waybill-Timestamp"),
        post.header("Waybill-Signature")
    );
    // What is older than five minutes is refused too; the clock of this machine is the one that signed.
    let run = std::process::Command::new("python3").arg("-c").arg(call).current_dir(folder.path()).output();
    match run {
        Ok(run) => assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr)),
        Err(error) => println!("skipped: there is no python3 here: {error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_itself_is_posted_whole_and_signed() {
    let port = free_port();
    let (appliance, secret) = posting(port, "file");
    let posts = receive(port).await;
    let running = appliance.start().await;
    let bytes: Vec<u8> = (0..1_000_003_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    running.partner().await.store("/Receive/o'r ders.edi", &bytes).await;
    running.until_status(&["passed_along"]).await;
    let posts = posts.lock().unwrap().clone();
    assert_eq!(posts.len(), 1);
    assert!(posts[0].body == bytes && posts[0].is_signed_with(&secret));
    assert_eq!(posts[0].header("Content-Disposition"), "attachment; filename*=UTF-8''o%27r%20ders.edi");
    // A new secret is in force for the next one.
    appliance.say(&["connector", "set", "erp", "secret=another long secret"]);
    assert!(!appliance.say(&["connector", "show", "erp"]).contains("secret"), "it is shown nowhere");
}
