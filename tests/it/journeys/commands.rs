//! Files that programs are run for: with their arguments, again until they end with status 0, across kill -9.

use crate::kit::{Appliance, PARTNER};

/// `acme-edi` passes along to a Command that appends what it says to a file; gives that file.
fn running_programs(lines: &str) -> (Appliance, std::path::PathBuf) {
    let appliance = Appliance::new();
    let log = appliance.data().join("ran.txt");
    appliance.program("import", &format!("exec >> '{}' 2>&1\n{lines}", log.display()));
    appliance.say(&["connector", "set", PARTNER, "settle_s=0"]);
    appliance.say(&["settings", "set", "delivery_retry_first_s=1"]);
    (appliance, log)
}

fn connect(appliance: &Appliance, arguments: &str) {
    let arguments = format!("arguments={arguments}");
    appliance.say(&["connector", "add", "erp", "type=command", "program=import", &arguments]);
    appliance.say(&["flow", "connect", PARTNER, "erp"]);
}

fn lines(log: &std::path::Path) -> Vec<String> {
    std::fs::read_to_string(log).unwrap_or_default().lines().map(ToOwned::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_run_until_it_ends_well() {
    let (appliance, log) = running_programs("");
    let program = "{ printf '%s|' \"$1\" \"$3\"; cat \"$2\"; echo; } >> LOG; [ $(wc -l < LOG) = 2 ]";
    appliance.program("import", &program.replace("LOG", &format!("'{}'", log.display())));
    let running = appliance.start().await;
    connect(&appliance, "--in {path} '%ConnectorId% %Filename%'");
    assert!(appliance.say(&["connector", "list"]).contains("erp       command"));
    running.partner().await.store("/Receive/o'r $(id).edi", b"the bytes").await;
    running.until_status(&["passed_along"]).await;
    let line = format!("--in|{PARTNER} o'r $(id).edi|the bytes");
    assert_eq!(lines(&log), [line.clone(), line], "the first run failed, the second did not");
    let left = std::fs::read_dir(appliance.data().join("scratch")).expect("it was used");
    assert_eq!(left.count(), 0, "nothing is left in scratch");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_folder_of_programs_is_given_there_are_no_commands() {
    let appliance = Appliance::new();
    let add = ["connector", "add", "erp", "type=command", "program=import"];
    let said = String::from_utf8_lossy(&appliance.cli(&add).stderr).into_owned();
    assert!(said.starts_with("type: There are no Commands here: start Waybill with --commands DIR"), "{said}");
    appliance.program("import", "exit 0");
    // Started with one, verbs know it; one can be named to them as well.
    let folder = appliance.data().with_file_name("programs");
    let named = appliance.cli(&[&add[..], &["--commands", folder.to_str().expect("a name")]].concat());
    assert!(named.status.success(), "{}", String::from_utf8_lossy(&named.stderr));
    let running = appliance.start().await;
    let said = appliance.cli(&["connector", "set", "erp", "program=../import"]);
    assert!(String::from_utf8_lossy(&said.stderr).starts_with("program: ../import holds a slash"));
    let said = appliance.cli(&["connector", "set", "erp", "program=gone"]);
    assert!(String::from_utf8_lossy(&said.stderr).contains("there are import"));
    appliance.say(&["connector", "set", "erp", "program=import", "description=Orders"]);
    drop(running);
}

/// Whether a process is there and not dead.
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[cfg(feature = "faults")]
#[tokio::test(flavor = "multi_thread")]
async fn killed_before_its_end_is_recorded_a_program_is_run_again() {
    let (appliance, log) = running_programs("cat \"$1\"; echo");
    let mut running = appliance.start_with_fault(Some("program_ended:kill:1")).await;
    connect(&appliance, "{path}");
    running.partner().await.store("/Receive/a.edi", b"the bytes").await;
    running.ended().await;
    assert_eq!(lines(&log), ["the bytes"]);
    let running = appliance.start().await;
    running.until_status(&["passed_along"]).await;
    assert_eq!(lines(&log), ["the bytes", "the bytes"], "at least once, and whole each time");
    assert_eq!(std::fs::read_dir(appliance.data().join("scratch")).map_or(0, Iterator::count), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_program_runs_it_is_run_again() {
    let (appliance, log) = running_programs("");
    let program = format!("echo $$ >> '{0}'; [ $(wc -l < '{0}') = 2 ] || exec setsid -w sleep 1000", log.display());
    appliance.program("import", &program);
    let running = appliance.start().await;
    connect(&appliance, "");
    running.partner().await.store("/Receive/a.edi", b"the bytes").await;
    running.until("it runs", async |_| (lines(&log).len() == 1).then_some(())).await;
    running.kill();
    // It has outlived Waybill, and left its group, which nobody knows any more.
    let pid = lines(&log)[0].clone();
    assert!(runs(&pid), "it still runs");
    let running = appliance.start().await;
    assert!(!runs(&pid), "it is ended before anything is delivered");
    running.until_status(&["passed_along"]).await;
    assert_eq!(lines(&log).len(), 2);
}
