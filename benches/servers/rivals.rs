//! The other servers, as Debian has them. They cannot be installed beside each other (each is *the* `ftp-server`), so
//! their packages are fetched and unpacked into the build folder, and run from there. unFTP is in no Debian: cargo builds it.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::server::{Ground, PASSWORD, Server, USER, launch};

/// Packages that are unpacked.
const UNPACKED: [&str; 5] = ["vsftpd", "proftpd-core", "proftpd-mod-crypto", "pure-ftpd", "pure-ftpd-common"];
/// Packages that are installed: what those need.
const INSTALLED: [&str; 8] = [
    "libhiredis0.14",
    "libmemcached11",
    "libmemcachedutil2",
    "libpcre2-posix3",
    "libsodium23",
    "libwrap0",
    "python3-pyftpdlib",
    "python3-openssl",
];
/// unFTP as it is on crates.io, with files on disk and users from a file.
const UNFTP: [&str; 7] =
    ["unftp", "--version", "0.16.0", "--locked", "--no-default-features", "--features", "auth_jsonfile"];
/// `nobody` and `nogroup`: whom the servers serve as.
const NOBODY: u32 = 65_534;

/// Where the servers lie; fetches them if they are not there.
pub fn fetched(target: &Path) -> io::Result<PathBuf> {
    let place = target.join("rivals");
    let root = place.join("root");
    if root.join("usr/sbin/pure-ftpd").is_file() {
        return Ok(root);
    }
    fs::create_dir_all(&place)?;
    println!("Fetching the other servers' packages …");
    run(Command::new("apt-get").args(["-qq", "update"]))?;
    run(Command::new("apt-get").args(["-qq", "install", "-y", "--no-install-recommends"]).args(INSTALLED))?;
    run(Command::new("apt-get").args(["-qq", "download"]).args(UNPACKED).current_dir(&place))?;
    for entry in fs::read_dir(&place)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg").arg("-x").arg(&path).arg(&root))?;
        }
    }
    Ok(root)
}

fn run(command: &mut Command) -> io::Result<()> {
    let status = command.env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{command:?} ended with {status}"))) }
}

/// A partner's two folders below `ground`, writable for the servers.
fn folders(ground: &Ground) -> io::Result<PathBuf> {
    let home = ground.folder.join("home");
    for name in ["Send", "Receive"] {
        let folder = home.join(name);
        fs::create_dir_all(&folder)?;
        chown(&folder, Some(NOBODY), Some(NOBODY))?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
    }
    for folder in [&ground.folder, &home] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    }
    Ok(home)
}

/// vsftpd, whose users would be those of the system: its anonymous user is given the rights instead. Its name is one
/// that has a home folder, which vsftpd insists on.
pub fn vsftpd(root: &Path, ground: &Ground) -> io::Result<Server> {
    let home = folders(ground)?;
    let empty = ground.folder.join("empty");
    fs::create_dir_all(&empty)?;
    let config = ground.folder.join("vsftpd.conf");
    let text = format!(
        "listen=YES\nlisten_address=127.0.0.1\nlisten_port={port}\nbackground=NO\nanonymous_enable=YES\n\
         no_anon_password=YES\nlocal_enable=NO\nftp_username=daemon\nanon_root={home}\nsecure_chroot_dir={empty}\n\
         write_enable=YES\nanon_upload_enable=YES\nanon_other_write_enable=YES\nanon_umask=022\nanon_world_readable_only=NO\n\
         xferlog_enable=NO\nuse_sendfile=YES\nseccomp_sandbox=NO\nmax_clients=0\nmax_per_ip=0\nlisten_ipv6=NO\n\
         ssl_enable=YES\nallow_anon_ssl=YES\nforce_local_data_ssl=NO\nforce_local_logins_ssl=NO\nrequire_ssl_reuse=NO\n\
         ssl_tlsv1=YES\nssl_ciphers=HIGH\nrsa_cert_file={pem}\nrsa_private_key_file={pem}\n",
        port = ground.port,
        home = home.display(),
        empty = empty.display(),
        pem = ground.pem.display(),
    );
    fs::write(&config, text)?;
    let child = launch(Command::new(root.join("usr/sbin/vsftpd")).arg(&config), ground)?;
    Ok(Server::new("vsftpd", child, ground, home).user("anonymous"))
}

/// ProFTPD with `mod_tls` and a file of users.
pub fn proftpd(root: &Path, ground: &Ground) -> io::Result<Server> {
    let home = folders(ground)?;
    let hash = Command::new("openssl").args(["passwd", "-6", PASSWORD]).output()?.stdout;
    let hash = String::from_utf8_lossy(&hash).trim().to_owned();
    let users = ground.folder.join("users");
    fs::write(&users, format!("{USER}:{hash}:{NOBODY}:{NOBODY}::{}:/bin/false\n", home.display()))?;
    fs::set_permissions(&users, fs::Permissions::from_mode(0o640))?;
    let config = ground.folder.join("proftpd.conf");
    let text = format!(
        "ServerType standalone\nDefaultAddress 127.0.0.1\nPort {port}\nUseIPv6 off\nUser nobody\nGroup nogroup\n\
         ModulePath {root}/usr/lib/proftpd\nLoadModule mod_tls.c\nAuthUserFile {users}\nAuthOrder mod_auth_file.c\n\
         RequireValidShell off\nDefaultRoot ~\nMaxInstances none\nUseReverseDNS off\nUseSendfile on\nAllowOverwrite on\n\
         DelayEngine off\nWtmpLog off\nTransferLog none\nSystemLog {folder}/system.log\nPidFile {folder}/pid\n\
         ScoreboardFile {folder}/scoreboard\nTLSEngine on\nTLSProtocol TLSv1.2 TLSv1.3\nTLSECCertificateFile {pem}\n\
         TLSECCertificateKeyFile {pem}\nTLSOptions NoSessionReuseRequired\n<Directory />\n  AllowOverwrite on\n</Directory>\n",
        port = ground.port,
        root = root.display(),
        users = users.display(),
        folder = ground.folder.display(),
        pem = ground.pem.display(),
    );
    fs::write(&config, text)?;
    let child = launch(Command::new(root.join("usr/sbin/proftpd")).arg("-n").arg("-c").arg(&config), ground)?;
    Ok(Server::new("ProFTPD", child, ground, home))
}

/// Pure-FTPd with its own database of users.
pub fn pure_ftpd(root: &Path, ground: &Ground) -> io::Result<Server> {
    let home = folders(ground)?;
    let (passwd, database) = (ground.folder.join("passwd"), ground.folder.join("users.pdb"));
    let mut add = Command::new(root.join("usr/bin/pure-pw"))
        .args(["useradd", USER, "-u", "65534", "-g", "65534", "-d"])
        .arg(&home)
        .arg("-f")
        .arg(&passwd)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    if let Some(mut stdin) = add.stdin.take() {
        stdin.write_all(format!("{PASSWORD}\n{PASSWORD}\n").as_bytes())?;
    }
    add.wait()?;
    run(Command::new(root.join("usr/bin/pure-pw")).arg("mkdb").arg(&database).arg("-f").arg(&passwd))?;
    let child = launch(
        Command::new(root.join("usr/sbin/pure-ftpd"))
            .arg("-S")
            .arg(format!("127.0.0.1,{}", ground.port))
            .arg("-l")
            .arg(format!("puredb:{}", database.display()))
            .args(["-E", "-H", "-A", "-u", "1", "-c", "2000", "-C", "2000", "-Y", "1", "-4", "-L", "200000:5", "-2"])
            .arg(&ground.pem),
        ground,
    )?;
    Ok(Server::new("Pure-FTPd", child, ground, home))
}

/// pyftpdlib with its own TLS handler.
pub fn pyftpdlib(ground: &Ground) -> io::Result<Server> {
    let home = folders(ground)?;
    let script = format!(
        "from pyftpdlib.authorizers import DummyAuthorizer\nfrom pyftpdlib.handlers import TLS_FTPHandler as Handler\n\
         from pyftpdlib.servers import FTPServer\nimport logging\nlogging.disable(logging.CRITICAL)\n\
         users = DummyAuthorizer()\nusers.add_user({USER:?}, {PASSWORD:?}, {home:?}, perm='elradfmwMT')\n\
         Handler.authorizer = users\nHandler.certfile = {pem:?}\n\
         server = FTPServer(('127.0.0.1', {port}), Handler)\nserver.max_cons = 0\nserver.max_cons_per_ip = 0\n\
         server.serve_forever()\n",
        home = home.display().to_string(),
        pem = ground.pem.display().to_string(),
        port = ground.port,
    );
    let child = launch(Command::new("/usr/bin/python3").arg("-c").arg(script), ground)?;
    Ok(Server::new("pyftpdlib", child, ground, home))
}

/// unFTP, built into the build folder if it is not there, with a file of users in plain text.
pub fn unftp(target: &Path, ground: &Ground) -> io::Result<Server> {
    let root = target.join("rivals/unftp");
    let program = root.join("bin/unftp");
    if !program.is_file() {
        println!("Building unFTP, which takes some minutes …");
        let mut install = Command::new(env!("CARGO"));
        install.arg("install").args(UNFTP).arg("--root").arg(&root);
        run(install.env("CARGO_TARGET_DIR", root.join("build")))?;
    }
    let home = folders(ground)?;
    let users = ground.folder.join("users.json");
    fs::write(&users, format!("[{{\"username\": {USER:?}, \"password\": {PASSWORD:?}}}]"))?;
    let child = launch(
        Command::new(program)
            .arg(format!("--bind-address=127.0.0.1:{}", ground.port))
            .args(["--bind-address-http=127.0.0.1:0", "--auth-type=json", "--sbe-type=filesystem"])
            .arg("--auth-json-path")
            .arg(&users)
            .arg("--root-dir")
            .arg(&home)
            .arg("--ftps-certs-file")
            .arg(&ground.pem)
            .arg("--ftps-key-file")
            .arg(&ground.pem),
        ground,
    )?;
    Ok(Server::new("unFTP", child, ground, home))
}
