//! Files as answers: a name that every browser reads, and the bytes as they come from disk.

use axum::body::Body;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::io::ReaderStream;

/// What RFC 8187 section 3.2.1 lets stand as it is, of what names often hold.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_');
/// Bytes read at a time.
const CHUNK_BYTES: usize = 128 * 1024;

/// `Content-Disposition` of a file to keep (RFC 6266): the name in ASCII for whoever knows no better, and as it is.
pub fn attachment(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || ".-_ ".contains(c) { c } else { '_' }).collect();
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{}", utf8_percent_encode(name, ENCODED))
}

/// The first `size_bytes` of `reader` as a file of that name.
pub fn file(name: &str, size_bytes: u64, reader: impl AsyncRead + Send + 'static) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_LENGTH, size_bytes.to_string()),
        (CONTENT_DISPOSITION, attachment(name)),
    ];
    let stream = ReaderStream::with_capacity(reader.take(size_bytes), CHUNK_BYTES);
    (headers, Body::from_stream(stream)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_twice_and_breaks_out_of_neither() {
        assert_eq!(attachment("po 1.x12"), "attachment; filename=\"po 1.x12\"; filename*=UTF-8''po%201.x12");
        assert_eq!(
            attachment("Rechnung \"März\"\r\n;.csv"),
            "attachment; filename=\"Rechnung _M_rz____.csv\"; filename*=UTF-8''Rechnung%20%22M%C3%A4rz%22%0D%0A%3B.csv"
        );
    }
}
