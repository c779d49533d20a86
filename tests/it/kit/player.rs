//! Plays a transcript of `tests/transcripts/` over real sockets: it says what the client says, opens the data
//! connections, and compares each reply's code and whether it has one line or several. What a `~` line says is made so
//! first; the `>` and `!` lines tell what data connections must do.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::client::{epsv_address, pasv_address};
use super::secured::handshake;
use super::trusting::Version;
use super::unescape::unescape;

/// How long a reply or a data connection may take.
const WITHIN: Duration = Duration::from_secs(30);
/// What every upload of a transcript has in it.
const UPLOADED: &[u8] = b"a line of an order\r\n";

/// A connection, whatever it is made of.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// The control connection.
enum Control {
    Plain(TcpStream),
    Tls(Box<dyn Wire>),
    /// Not made yet, or between the two.
    None,
}

/// Where the next data connection goes.
enum Agreed {
    Nowhere,
    To(SocketAddr),
    From(TcpListener),
}

/// What a data connection must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moves {
    In,
    Out,
}

/// Where the server is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doors {
    /// In clear, with AUTH.
    pub(crate) explicit: SocketAddr,
    /// TLS from the first byte.
    pub(crate) implicit: SocketAddr,
}

/// One transcript being played.
pub(crate) struct Player<'a> {
    doors: Doors,
    lines: VecDeque<(usize, &'a str)>,
    number: usize,
    control: Control,
    agreed: Agreed,
    data: Option<(TcpStream, Moves)>,
    /// Data connections are by TLS.
    private: bool,
    deflated: bool,
    /// ABOR was the last word: the client leaves the data connection to the server.
    aborting: bool,
    password: &'a str,
}

impl<'a> Player<'a> {
    /// By TLS from the first byte, or as the transcript has it.
    pub(crate) async fn new(doors: Doors, text: &'a str, password: &'a str, by_tls: bool) -> Self {
        let implicit = by_tls || text.lines().any(|line| line == "! secured implicit");
        let mut player = Self {
            doors,
            lines: text.lines().enumerate().collect(),
            number: 0,
            control: Control::None,
            agreed: Agreed::Nowhere,
            data: None,
            private: implicit,
            deflated: false,
            aborting: false,
            password,
        };
        player.connect(implicit).await;
        player
    }

    async fn connect(&mut self, implicit: bool) {
        let door = if implicit { self.doors.implicit } else { self.doors.explicit };
        let stream = TcpStream::connect(door).await.expect("the server accepts");
        stream.set_nodelay(true).expect("the socket takes options");
        self.control = Control::Plain(stream);
        if implicit {
            self.secure().await;
        }
        let greeting = self.reply().await;
        assert!(greeting.starts_with("220"), "{greeting}");
    }

    async fn secure(&mut self) {
        let Control::Plain(stream) = std::mem::replace(&mut self.control, Control::None) else {
            panic!("{}: TLS is there already", self.number)
        };
        let secured =
            handshake(stream, Version::Tls13, "localhost").await.expect("the handshake of the control connection");
        self.control = Control::Tls(Box::new(secured));
    }

    fn wire(&mut self) -> &mut dyn Wire {
        match &mut self.control {
            Control::Plain(stream) => stream,
            Control::Tls(stream) => stream,
            Control::None => panic!("there is no control connection"),
        }
    }

    /// The next line that the player itself does not deal with: `= …` or `~ …`. `None` at the end.
    pub(crate) async fn next_setting(&mut self) -> Option<&'a str> {
        while let Some((index, line)) = self.lines.pop_front() {
            self.number = index + 1;
            let (mark, text) = line.split_once(' ').unwrap_or((line, ""));
            match mark {
                "" | "#" | ">" if text != "close" => {}
                "~" if text.starts_with("not this: ") => self.leave_out(1),
                "~" if text.starts_with("not these ") => {
                    let count = text.split([' ', ':']).nth(2).and_then(|count| count.parse().ok());
                    self.leave_out(count.expect("~ not these COUNT: why"));
                }
                "=" | "~" => return Some(line),
                ">" => self.is_closed().await,
                "C:" => self.say(text).await,
                "c:" => self.write(&unescape(text)).await,
                "S:" => self.hear(text).await,
                "!" => self.come_of(text).await,
                other => panic!("{}: no line begins with {other:?}", self.number),
            }
        }
        None
    }

    /// Nothing more has been said than the transcript has.
    pub(crate) async fn end(mut self) {
        if !matches!(self.control, Control::None) {
            self.write(b"QUIT\r\n").await;
            let last = self.reply().await;
            assert!(last.starts_with("221 "), "at the end came {last}");
        }
    }

    /// Whether a line is the client's.
    fn is_said(line: &str) -> bool {
        line.starts_with("C:") || line.starts_with("c:") || line.starts_with('=') || line.starts_with('~')
    }

    /// The next commands and their answers, not played.
    fn leave_out(&mut self, count: usize) {
        for _ in 0..count {
            self.lines.pop_front();
            while self.lines.front().is_some_and(|(_, line)| !Self::is_said(line)) {
                self.lines.pop_front();
            }
        }
    }

    /// Whether, before the client's next word, there is a line that begins so.
    fn follows(&self, beginning: &str) -> bool {
        self.lines
            .iter()
            .map(|(_, line)| *line)
            .take_while(|line| !Self::is_said(line))
            .any(|line| line.starts_with(beginning))
    }

    async fn say(&mut self, text: &str) {
        let verb = text.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        let mut bytes = unescape(text);
        if verb == "PASS" && self.follows("! logged-in") {
            bytes = format!("PASS {}", self.password).into_bytes();
        }
        if self.follows("> active") && self.follows("! done") {
            bytes = self.listen(&verb).await.into_bytes();
        }
        let moves = if self.follows("> store") {
            Some(Moves::In)
        } else if self.follows("> retrieve") || self.follows("> list") {
            Some(Moves::Out)
        } else {
            None
        };
        let opens = moves.filter(|_| self.follows("! opened"));
        let agreed =
            if moves.is_some() { std::mem::replace(&mut self.agreed, Agreed::Nowhere) } else { Agreed::Nowhere };
        let early = match (&agreed, opens) {
            (Agreed::To(address), Some(_)) => {
                Some(TcpStream::connect(address).await.expect("the passive port is open"))
            }
            _ => None,
        };
        bytes.extend(b"\r\n");
        self.write(&bytes).await;
        let stream = match agreed {
            Agreed::From(listener) if opens.is_some() => {
                Some(timeout(WITHIN, listener.accept()).await.expect("the server connects").expect("a connection").0)
            }
            _ => early,
        };
        self.aborting = verb.ends_with("ABOR") || (self.aborting && moves.is_none());
        if moves.is_some() {
            self.data = stream.zip(opens);
        }
        if self.follows("S: 200") {
            match text.to_ascii_uppercase().as_str() {
                "PROT P" => self.private = true,
                "PROT C" => self.private = false,
                "MODE Z" => self.deflated = true,
                "MODE S" => self.deflated = false,
                _ => {}
            }
        }
        if self.follows("! secured") {
            self.private = matches!(text, "AUTH SSL" | "AUTH TLS-P");
        }
        if verb == "REIN" {
            self.deflated = false;
        }
    }

    /// The client's own port, as PORT or EPRT tells it.
    async fn listen(&mut self, verb: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        self.agreed = Agreed::From(listener);
        match verb {
            "PORT" => format!("PORT 127,0,0,1,{},{}", port >> 8, port & 0xff),
            _ => format!("EPRT |1|127.0.0.1|{port}|"),
        }
    }

    /// What the engine does in the transcript: here the client's part of it.
    async fn come_of(&mut self, text: &str) {
        let word = text.split(' ').next().unwrap_or_default();
        match word {
            "secured" if text == "secured" => self.secure().await,
            "transferred" => self.finish().await,
            "refused" if !self.aborting => {
                // Refused in the midst: the client does its part, and may find the connection closed.
                if let Some((stream, Moves::In)) = self.data.take()
                    && let Ok(mut stream) = self.secured(stream).await
                {
                    let _ = stream.write_all(&UPLOADED.repeat(100)).await;
                    let _ = stream.shutdown().await;
                }
            }
            _ => {}
        }
    }

    /// A data connection after the 150.
    async fn secured(&self, stream: TcpStream) -> std::io::Result<Box<dyn Wire>> {
        Ok(if self.private {
            Box::new(handshake(stream, Version::Tls13, "localhost").await?)
        } else {
            Box::new(stream)
        })
    }

    /// Moves the bytes of a transfer and ends it in order.
    async fn finish(&mut self) {
        let Some((stream, moves)) = self.data.take() else { return };
        let mut stream = self.secured(stream).await.expect("the handshake of the data connection");
        match moves {
            Moves::In => {
                let bytes = if self.deflated { deflated(UPLOADED) } else { UPLOADED.to_vec() };
                stream.write_all(&bytes).await.expect("the data connection takes bytes");
                stream.shutdown().await.expect("the data connection closes");
            }
            Moves::Out => {
                let mut bytes = Vec::new();
                timeout(WITHIN, stream.read_to_end(&mut bytes)).await.expect("it ends").expect("it gives bytes");
                if self.deflated {
                    ZlibDecoder::new(&bytes[..]).read_to_end(&mut Vec::new()).expect("a zlib stream");
                }
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) {
        let number = self.number;
        self.wire().write_all(bytes).await.unwrap_or_else(|error| panic!("line {number}: {error}"));
    }

    /// Compares a whole reply with the lines from here on.
    async fn hear(&mut self, first: &str) {
        let (code, several) = (first.get(..3).unwrap_or_default(), first.get(3..4) == Some("-"));
        let end = format!("S: {code} ");
        while several && let Some((index, line)) = self.lines.pop_front() {
            self.number = index + 1;
            if line.starts_with(&end) {
                break;
            }
        }
        let said = self.reply().await;
        let same = said.starts_with(code) && (said.get(3..4) == Some("-")) == several;
        assert!(same, "line {}: wanted {first}, came {said}", self.number);
        match code {
            "227" => self.agreed = Agreed::To(pasv_address(&said)),
            "229" => self.agreed = Agreed::To(epsv_address(self.doors.explicit, &said)),
            _ => {}
        }
    }

    /// A whole reply. Read byte by byte: nothing behind it is taken.
    async fn reply(&mut self) -> String {
        let number = self.number;
        let mut text = Vec::new();
        let mut line = 0;
        loop {
            let byte = timeout(WITHIN, self.wire().read_u8()).await;
            let so_far = String::from_utf8_lossy(&text).into_owned();
            let byte = byte.unwrap_or_else(|_| panic!("line {number}: no reply, so far {so_far:?}"));
            text.push(byte.unwrap_or_else(|error| panic!("line {number}: {error}, so far {so_far:?}")));
            if text.ends_with(b"\r\n") {
                let last = &text[line..];
                if last.len() >= 4 && last[..3].iter().all(u8::is_ascii_digit) && last[3] == b' ' {
                    return String::from_utf8_lossy(&text).into_owned();
                }
                line = text.len();
            }
        }
    }

    async fn is_closed(&mut self) {
        let number = self.number;
        let mut byte = [0; 1];
        let read = timeout(WITHIN, self.wire().read(&mut byte)).await;
        let read = read.unwrap_or_else(|_| panic!("line {number}: the connection is still open"));
        assert!(matches!(read, Ok(0) | Err(_)), "line {number}: the connection goes on with {byte:?}");
        self.control = Control::None;
    }
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("it deflates");
    encoder.finish().expect("it deflates")
}
