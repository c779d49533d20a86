//! One command of the suppaftp client: `suppaftp MODE PORT USER PASSWORD COMMAND [ARGUMENT]...`; run.py says which.

#[path = "../it/kit/trusting.rs"]
#[expect(dead_code, reason = "the tests need more of it than this")]
mod trusting;

use std::fs::{self, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use suppaftp::FtpResult;
use suppaftp::tokio::{AsyncRustlsConnector, AsyncRustlsFtpStream};
use suppaftp::types::FileType;
use tokio::io::AsyncReadExt;

use trusting::{Version, connector};

/// How long the server may take to connect in active mode.
const ACTIVE_WITHIN: Duration = Duration::from_secs(30);
const USAGE: &str = "suppaftp MODE PORT USER PASSWORD COMMAND [ARGUMENT]...";

async fn sign_in(mode: &str, port: u16, name: &str, password: &str) -> FtpResult<AsyncRustlsFtpStream> {
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let tls = || AsyncRustlsConnector::from(connector(Version::Tls13, None));
    let mut client = match mode {
        "implicit" => AsyncRustlsFtpStream::connect_secure_implicit(server, tls(), "localhost").await?,
        "explicit" => AsyncRustlsFtpStream::connect(server).await?.into_secure(tls(), "localhost").await?,
        "active" => AsyncRustlsFtpStream::connect(server).await?.active_mode(ACTIVE_WITHIN),
        _ => AsyncRustlsFtpStream::connect(server).await?,
    };
    client.login(name, password).await?;
    client.transfer_type(FileType::Binary).await?;
    Ok(client)
}

async fn put(client: &mut AsyncRustlsFtpStream, local: &Path, remote: &str, skip: usize) -> FtpResult<()> {
    let bytes = fs::read(local).expect("the local file is read");
    if skip > 0 {
        client.resume_transfer(skip).await?;
    }
    client.put_file(remote, &mut &bytes[skip..]).await.map(|_| ())
}

async fn get(client: &mut AsyncRustlsFtpStream, remote: &str, local: &Path) -> FtpResult<()> {
    let there = fs::metadata(local).map_or(0, |found| found.len());
    if there > 0 {
        client.resume_transfer(usize::try_from(there).expect("a file of the tests")).await?;
    }
    let mut stream = client.retr_as_stream(remote).await?;
    let mut file = OpenOptions::new().create(true).append(true).open(local).expect("the local file opens");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("the data connection is read");
    std::io::Write::write_all(&mut file, &bytes).expect("the local file is written");
    stream.finish().await
}

async fn put_all(client: &mut AsyncRustlsFtpStream, local: &Path, remote: &str) -> FtpResult<()> {
    client.mkdir(remote).await?;
    for entry in fs::read_dir(local).expect("the local folder is read") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        put(client, &path, &format!("{remote}/{name}"), 0).await?;
    }
    Ok(())
}

async fn get_all(client: &mut AsyncRustlsFtpStream, remote: &str, local: &Path) -> FtpResult<()> {
    fs::create_dir_all(local).expect("the local folder is made");
    for path in client.nlst(Some(remote)).await? {
        let name = path.rsplit('/').next().unwrap_or(&path);
        get(client, &format!("{remote}/{name}"), &local.join(name)).await?;
    }
    Ok(())
}

async fn run(words: &[&str]) -> FtpResult<()> {
    let [mode, port, name, password, command @ ..] = words else { panic!("{USAGE}") };
    let mut client = sign_in(mode, port.parse().expect(USAGE), name, password).await?;
    match command {
        ["login"] => {}
        ["put", local, remote] => put(&mut client, Path::new(local), remote, 0).await?,
        ["get" | "resume_get", remote, local] => get(&mut client, remote, Path::new(local)).await?,
        ["resume_put", local, remote] => {
            let there = client.size(remote).await?;
            put(&mut client, Path::new(local), remote, there).await?;
        }
        ["names", folder] => {
            for path in client.nlst(Some(folder)).await? {
                println!("{}", path.rsplit('/').next().unwrap_or(&path));
            }
        }
        ["rename", before, after] => client.rename(before, after).await?,
        ["delete", path] => client.rm(path).await?,
        ["make_folder", path] => client.mkdir(path).await?,
        ["put_all", local, remote] => put_all(&mut client, Path::new(local), remote).await?,
        ["get_all", remote, local] => get_all(&mut client, remote, Path::new(local)).await?,
        _ => panic!("{USAGE}"),
    }
    client.quit().await
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let Err(error) = run(&words).await {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
