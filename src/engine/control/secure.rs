//! TLS on the control connection.

use super::connection::Control;
use crate::domain::refusal::Rule;
use crate::engine::stream::Stream;
use crate::engine::tls::{self, Accepted, SessionTls};
use crate::ftp::session::Protection;

impl Control {
    /// Does the handshake on the control connection. Nothing read in clear is used afterwards: a byte behind AUTH
    /// closes the connection, since anybody in between could have put it there.
    pub(super) async fn secure(&mut self, implicit: bool) {
        let base = self.engine.tls.current();
        let clean = self.reader.is_empty() && self.waiting.is_empty();
        let (Some(base), true, Stream::Plain(stream)) =
            (base, clean, std::mem::replace(&mut self.stream, Stream::Gone))
        else {
            self.refused(Rule::TlsHandshakeFailed, "bytes came in clear behind AUTH");
            self.closed = true;
            return;
        };
        match SessionTls::accept(&base, self.host.as_deref(), stream).await {
            Ok(Accepted { session, secured, shown }) => {
                self.tls_text = tls::describe(secured.get_ref().1);
                self.certificate = shown;
                let text = self.tls_text.clone();
                self.place.update(|doing| doing.tls = text);
                self.stream = Stream::Tls(Box::new(secured));
                self.tls = Some(session);
                self.session.secured(implicit);
                self.reader.clear();
                self.host = None;
                self.log_out();
            }
            Err(error) => {
                self.refused(Rule::TlsHandshakeFailed, &format!("control connection: {}", tls::explain(&error)));
                self.closed = true;
            }
        }
    }

    /// The name in the client's TLS handshake.
    pub(super) fn name_of_handshake(&self) -> Option<&str> {
        match &self.stream {
            Stream::Tls(stream) => stream.get_ref().1.server_name(),
            Stream::Plain(_) | Stream::Gone => None,
        }
    }

    /// TLS for data connections, if the client asked for it.
    pub(super) fn data_tls(&self) -> Option<SessionTls> {
        self.tls.clone().filter(|_| self.session.protection() == Protection::Private)
    }
}
