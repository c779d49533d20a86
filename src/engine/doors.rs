//! The sockets that clients come through: the one on the profile's port, and an Explicit one beside an Implicit one.
//! They follow the profile's wishes completely or not at all; an unavailable port leaves the open ones as they are.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpStream};

/// Connections waiting to be accepted.
const BACKLOG: u32 = 1_024;

/// A wish for one door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// Its address.
    pub address: SocketAddr,
    /// Whether its clients speak TLS from the first byte. An open door stays what it was opened for until another wish
    /// is met.
    pub implicit: bool,
}

/// An open door.
#[derive(Debug)]
struct Open {
    wish: Wish,
    listener: TcpListener,
}

/// An unavailable address, and why.
pub(super) type NotBound = (SocketAddr, io::Error);

/// The doors: the main one, then the one beside it.
#[derive(Debug, Default)]
pub(super) struct Doors([Option<Open>; 2]);

impl Doors {
    /// The actual address of the main door; empty if it is shut.
    pub(super) fn address(&self) -> String {
        let main = self.0[0].as_ref().and_then(|open| open.listener.local_addr().ok());
        main.map(|address| address.to_string()).unwrap_or_default()
    }

    /// The next client, and whether TLS begins with the first byte.
    pub(super) async fn accept(&self) -> (io::Result<(TcpStream, SocketAddr)>, bool) {
        let [main, beside] = &self.0;
        tokio::select! {
            accepted = accept(main.as_ref()) => accepted,
            accepted = accept(beside.as_ref()) => accepted,
        }
    }

    /// Shuts them.
    pub(super) fn shut(&mut self) {
        *self = Self::default();
    }

    /// Brings the doors to where they are wished. Open ones are reused, whichever door they were. New ones are opened
    /// before old ones are shut; only an old one that is in the way of a new one is shut first, and opened again if
    /// that did not help.
    pub(super) fn follow(&mut self, main: Wish, beside: Option<Wish>) -> Result<(), NotBound> {
        let wanted = [Some(main), beside];
        let was_open = self.0.iter().any(Option::is_some);
        let (mut new, mut shut, mut failed) = ([None, None], Vec::new(), None);
        // Our own doors are shut only once everything else wished for could be opened.
        for make_way in [false, true] {
            for (wish, new) in wanted.iter().zip(&mut new) {
                let Some(Wish { address, .. }) = *wish else { continue };
                let is_open = new.is_some() || self.0.iter().flatten().any(|open| open.wish.address == address);
                if is_open || (make_way && failed.is_some()) {
                    continue;
                }
                if make_way {
                    self.shut_on(address.port(), &wanted, &mut shut);
                }
                match bind(address) {
                    Ok(listener) => *new = Some(listener),
                    Err(error) if !make_way && self.is_in_the_way(address, &wanted, &error) => {}
                    Err(error) => failed = failed.or(Some((address, error))),
                }
            }
        }
        // If nothing was open, one of two is better than none.
        if was_open && let Some(failed) = failed.take() {
            // They may be in the way of what is opened again.
            drop(new);
            for (door, wish) in shut {
                self.0[door] = bind(wish.address).ok().map(|listener| Open { wish, listener });
            }
            return Err(failed);
        }
        let mut old = std::mem::take(&mut self.0);
        for ((wish, new), door) in wanted.into_iter().zip(new).zip(&mut self.0) {
            let Some(wish) = wish else { continue };
            let mut there =
                old.iter_mut().filter(|old| old.as_ref().is_some_and(|old| old.wish.address == wish.address));
            let listener = new.or_else(|| there.next().and_then(Option::take).map(|old| old.listener));
            *door = listener.map(|listener| Open { wish, listener });
        }
        failed.map_or(Ok(()), Err)
    }

    /// Whether `error` may be caused by a door of ours on the same port that is no longer wished for.
    fn is_in_the_way(&self, address: SocketAddr, wanted: &[Option<Wish>], error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::AddrInUse
            && self.0.iter().flatten().any(|open| open.is_left_on(address.port(), wanted))
    }

    /// Shuts such doors, and records them in `shut`.
    fn shut_on(&mut self, port: u16, wanted: &[Option<Wish>], shut: &mut Vec<(usize, Wish)>) {
        for (number, door) in self.0.iter_mut().enumerate() {
            shut.extend(door.take_if(|open| open.is_left_on(port, wanted)).map(|open| (number, open.wish)));
        }
    }
}

impl Open {
    fn is_left_on(&self, port: u16, wanted: &[Option<Wish>]) -> bool {
        let at = self.wish.address;
        at.port() == port && !wanted.iter().flatten().any(|wish| wish.address == at)
    }
}

async fn accept(open: Option<&Open>) -> (io::Result<(TcpStream, SocketAddr)>, bool) {
    match open {
        Some(open) => (open.listener.accept().await, open.wish.implicit),
        None => std::future::pending().await,
    }
}

/// `::` means every address, including IPv4; without IPv6 it is `0.0.0.0`.
fn bind(wish: SocketAddr) -> io::Result<TcpListener> {
    match bind_one(wish) {
        Err(error) if wish.ip().is_unspecified() && wish.is_ipv6() && no_ipv6(&error) => {
            bind_one(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), wish.port()))
        }
        other => other,
    }
}

fn no_ipv6(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
        || error.kind() == io::ErrorKind::AddrNotAvailable
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(BACKLOG).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU16, Ordering};

    use super::*;

    /// A port free on every address, below those that the kernel hands out by itself (32,768 on): no other test's
    /// client gets it in between.
    fn free() -> u16 {
        static TAKEN: AtomicU16 = AtomicU16::new(0);
        let first = std::process::id() % 625 * 16;
        let next =
            |_| u16::try_from((first + u32::from(TAKEN.fetch_add(1, Ordering::Relaxed))) % 10_000).unwrap() + 20_000;
        (0..10_000).map(next).find(|port| std::net::TcpListener::bind(("0.0.0.0", *port)).is_ok()).unwrap()
    }

    fn wish(address: &str, port: u16, implicit: bool) -> Wish {
        Wish { address: SocketAddr::new(address.parse().unwrap(), port), implicit }
    }

    fn open(doors: &Doors) -> Vec<Wish> {
        doors.0.iter().flatten().map(|open| open.wish).collect()
    }

    /// Whether TLS begins at once for clients of that port.
    async fn enter(doors: &Doors, port: u16) -> bool {
        let came = TcpStream::connect(("127.0.0.1", port));
        let (came, (accepted, implicit)) = tokio::join!(came, doors.accept());
        assert_eq!(accepted.unwrap().1, came.unwrap().local_addr().unwrap());
        implicit
    }

    #[tokio::test]
    async fn a_port_that_cannot_be_had_leaves_the_open_door_as_it_was() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, other, taken) = (free(), free(), taken.local_addr().unwrap().port());
        let mut doors = Doors::default();
        doors.follow(wish("127.0.0.1", port, false), None).unwrap();
        let refused = doors.follow(wish("127.0.0.1", taken, true), None).unwrap_err();
        assert_eq!(refused.0.port(), taken);
        assert!(!enter(&doors, port).await, "it went on, and began with TLS");
        // The door on the same port stays Explicit, too, until there is an Explicit one beside it.
        doors.follow(wish("127.0.0.1", port, true), Some(wish("127.0.0.1", taken, false))).unwrap_err();
        assert!(!enter(&doors, port).await);
        doors.follow(wish("127.0.0.1", port, true), Some(wish("127.0.0.1", other, false))).unwrap();
        assert!(enter(&doors, port).await && !enter(&doors, other).await);
    }

    #[tokio::test]
    async fn an_own_door_is_in_nobodys_way() {
        let (port, other) = (free(), free());
        let mut doors = Doors::default();
        doors.follow(wish("0.0.0.0", port, false), None).unwrap();
        doors.follow(wish("127.0.0.1", port, false), None).unwrap();
        assert_eq!(doors.address(), format!("127.0.0.1:{port}"));
        doors.follow(wish("0.0.0.0", port, false), None).unwrap();
        // Explicit stays where it was, beside an Implicit one.
        doors.follow(wish("0.0.0.0", other, true), Some(wish("0.0.0.0", port, false))).unwrap();
        assert!(enter(&doors, other).await && !enter(&doors, port).await);
        // And the two swap places.
        doors.follow(wish("0.0.0.0", port, true), Some(wish("0.0.0.0", other, false))).unwrap();
        assert!(enter(&doors, port).await && !enter(&doors, other).await);
    }

    #[tokio::test]
    async fn a_door_that_was_shut_for_nothing_is_opened_again() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, taken) = (free(), taken.local_addr().unwrap().port());
        let mut doors = Doors::default();
        doors.follow(wish("127.0.0.1", port, false), None).unwrap();
        // Somebody else is in the way, too.
        let _other = std::net::TcpListener::bind(("127.0.0.2", port)).unwrap();
        let refused = doors.follow(wish("0.0.0.0", port, true), None).unwrap_err();
        assert_eq!(refused.1.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(open(&doors), [wish("127.0.0.1", port, false)]);
        // Nothing is shut for one of two wishes that cannot be met anyway.
        doors.follow(wish("127.0.0.3", port, true), Some(wish("127.0.0.1", taken, false))).unwrap_err();
        assert_eq!(open(&doors), [wish("127.0.0.1", port, false)]);
        assert!(!enter(&doors, port).await);
    }

    #[tokio::test]
    async fn at_a_start_one_of_two_is_better_than_none() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, taken) = (free(), taken.local_addr().unwrap().port());
        let (main, beside) = (wish("127.0.0.1", taken, true), wish("127.0.0.1", port, false));
        let mut doors = Doors::default();
        doors.follow(main, Some(beside)).unwrap_err();
        assert_eq!((open(&doors), doors.address()), (vec![beside], String::new()));
        doors.follow(main, Some(beside)).unwrap_err();
        assert_eq!(open(&doors), [beside]);
    }
}
