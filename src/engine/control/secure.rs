//! TLS on the control connection.

use std::sync::Arc;

use rustls::ServerConfig;

use super::connection::Control;
use crate::access::certificate::ForHost;
use crate::domain::refusal::Rule;
use crate::engine::stream::Stream;
use crate::engine::tls::{self, SessionTls};
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
        let session = SessionTls::new(&self.presenting(base));
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
                self.host = None;
                self.log_out();
            }
            Err(error) => {
                self.refused(Rule::TlsHandshakeFailed, &format!("control connection: {}", tls::explain(&error)));
                self.closed = true;
            }
        }
    }

    /// Uses the certificate for the client's HOST. A name in its handshake takes precedence.
    fn presenting(&self, base: Arc<ServerConfig>) -> Arc<ServerConfig> {
        let Some(host) = &self.host else { return base };
        let mut config = ServerConfig::clone(&base);
        config.cert_resolver = Arc::new(ForHost::new(self.engine.certificates.served(), host.clone()));
        Arc::new(config)
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
