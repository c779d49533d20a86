//! TLS on the control connection.

use super::connection::Control;
use crate::domain::refusal::Rule;
use crate::engine::stream::Stream;
use crate::engine::tls::{self, SessionTls};
use crate::ftp::session::Protection;

impl Control {
    /// Shakes hands on the control connection. Nothing that was read in clear is used afterwards: a byte that came
    /// behind AUTH closes the connection, since anybody in between could have put it there.
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
        let session = SessionTls::new(&base);
        match session.accept(stream).await {
            Ok(secured) => {
                self.tls_text = tls::describe(secured.get_ref().1);
                let presented = secured.get_ref().1.peer_certificates().unwrap_or_default();
                self.certificates = presented.iter().map(|one| one.clone().into_owned()).collect();
                let text = self.tls_text.clone();
                self.place.update(|doing| doing.tls = text);
                self.stream = Stream::Tls(Box::new(secured));
                self.tls = Some(session);
                self.session.secured(implicit);
                self.reader.clear();
                self.log_out();
            }
            Err(error) => {
                self.refused(Rule::TlsHandshakeFailed, &format!("control connection: {error}"));
                self.closed = true;
            }
        }
    }

    /// TLS of data connections, where the client asked for it.
    pub(super) fn data_tls(&self) -> Option<SessionTls> {
        self.tls.clone().filter(|_| self.session.protection() == Protection::Private)
    }
}
