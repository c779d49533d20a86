//! Why a port is not available, in words, with remedies.

use std::io;
use std::net::SocketAddr;

/// What went wrong and what would help.
pub fn explain(error: &io::Error, wish: SocketAddr) -> String {
    let port = wish.port();
    match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "Port {port} is below 1024, and this process has no permission for it. Choose another port; or give the \
             program the capability CAP_NET_BIND_SERVICE; or keep port 8021 and forward {port} to it: `iptables -t nat -A \
             PREROUTING -p tcp --dport {port} -j REDIRECT --to-ports 8021` (with ufw: the same rule in \
             /etc/ufw/before.rules). PREROUTING does not catch clients on this machine, and the passive port range must \
             be open in the firewall too."
        ),
        io::ErrorKind::AddrInUse => {
            let by = owner(port).map(|owner| format!(" by {owner}")).unwrap_or_default();
            format!("Port {port} is in use{by}. Choose another, or stop it.")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("This machine has no address {}. Use one of its own, or :: for all of them.", wish.ip())
        }
        _ => format!("{wish} could not be opened: {error}"),
    }
}

/// The process that listens on a port, if the system lets us see it.
fn owner(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| listening_inode(table, port))?;
    let socket = format!("socket:[{inode}]");
    let processes = std::fs::read_dir("/proc").ok()?;
    for process in processes.flatten() {
        let pid = process.file_name().to_str()?.to_owned();
        if !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let Ok(handles) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let holds = |handle: std::fs::DirEntry| {
            std::fs::read_link(handle.path()).is_ok_and(|link| link.as_os_str() == socket.as_str())
        };
        if handles.flatten().any(holds) {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (pid {pid})", name.trim()));
        }
    }
    None
}

/// The inode of the socket that listens on `port` in one of the kernel's tables.
fn listening_inode(table: &str, port: u16) -> Option<String> {
    const LISTEN: &str = "0A";
    let text = std::fs::read_to_string(table).ok()?;
    let local = format!(":{port:04X}");
    text.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let address = fields.nth(1)?;
        let state = fields.nth(1)?;
        let inode = fields.nth(5)?;
        (address.ends_with(&local) && state == LISTEN).then(|| inode.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_names_its_owner() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let error = std::net::TcpListener::bind(address).unwrap_err();
        let words = explain(&error, address);
        assert!(words.contains(&format!("(pid {})", std::process::id())), "{words}");
        let forbidden = explain(&io::ErrorKind::PermissionDenied.into(), "0.0.0.0:21".parse().unwrap());
        assert!(forbidden.contains("CAP_NET_BIND_SERVICE") && forbidden.contains("--dport 21"), "{forbidden}");
    }
}
