//! Files as answers: a name that every browser reads, and the bytes as they come from disk, all or just those that a
//! client still wants.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::ops::Range;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::io::ReaderStream;

use super::error::WebError;

/// What RFC 8187 section 3.2.1 allows unescaped, as far as names often contain it.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_');
/// Bytes read at a time.
const CHUNK_BYTES: usize = 128 * 1024;

/// `Content-Disposition` of a file to keep (RFC 6266): the name in ASCII for clients that know no better, and as it is.
pub fn attachment(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || ".-_ ".contains(c) { c } else { '_' }).collect();
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{}", utf8_percent_encode(name, ENCODED))
}

/// A file that is served.
#[derive(Clone, Copy, Debug)]
pub struct Served<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its size.
    pub size_bytes: u64,
    /// Its unique identifier, in quotation marks (RFC 9110 section 8.8.3).
    pub etag: &'a str,
}

/// The answer with the wanted bytes; `source` is the file from its first byte on.
pub fn answer(served: Served<'_>, wanted: Wanted, mut source: File) -> Result<Response, WebError> {
    let Served { name, size_bytes, etag } = served;
    let response = match wanted {
        Wanted::Whole => file(name, size_bytes, tokio::fs::File::from_std(source)),
        Wanted::Part(wanted) => {
            source.seek(SeekFrom::Start(wanted.start)).map_err(WebError::internal)?;
            part(name, (wanted, size_bytes), tokio::fs::File::from_std(source))
        }
        Wanted::Beyond => beyond(size_bytes),
    };
    Ok(([(ETAG, etag), (ACCEPT_RANGES, "bytes")], response).into_response())
}

/// The first `size_bytes` of `reader` as a file of that name.
fn file(name: &str, size_bytes: u64, reader: impl AsyncRead + Send + 'static) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_LENGTH, size_bytes.to_string()),
        (CONTENT_DISPOSITION, attachment(name)),
    ];
    let stream = ReaderStream::with_capacity(reader.take(size_bytes), CHUNK_BYTES);
    (headers, Body::from_stream(stream)).into_response()
}

/// Which bytes of a file are requested (RFC 9110 section 14.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of them.
    Whole,
    /// These.
    Part(Range<u64>),
    /// Some beyond its end.
    Beyond,
}

impl Wanted {
    /// From method and headers of a request. One that asks for several parts or cannot be read is answered with the
    /// whole, and so is one that has a part of another file. HEAD asks for the size, and there are no parts of that.
    pub fn of(method: &Method, headers: &HeaderMap, Served { size_bytes, etag, .. }: Served<'_>) -> Self {
        if method == Method::HEAD {
            return Self::Whole;
        }
        let is_its = headers.get(IF_RANGE).is_none_or(|condition| condition == etag);
        let ranges = headers.get(RANGE).filter(|_| is_its).and_then(|ranges| ranges.to_str().ok());
        let Some((unit, (first, last))) =
            ranges.and_then(|ranges| ranges.split_once('=')).and_then(|(unit, set)| Some((unit, set.split_once('-')?)))
        else {
            return Self::Whole;
        };
        let (first, last) = (first.trim_start(), last.trim_end());
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !unit.eq_ignore_ascii_case("bytes") || !is_number(first) || !is_number(last) {
            return Self::Whole;
        }
        // A number that does not fit exceeds every length.
        let number = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap_or(u64::MAX));
        match (number(first), number(last)) {
            (None, None) => Self::Whole,
            (Some(first), Some(last)) if last < first => Self::Whole,
            (Some(first), last) if first < size_bytes => {
                Self::Part(first..last.map_or(size_bytes, |last| last.saturating_add(1).min(size_bytes)))
            }
            (None, Some(1..)) if size_bytes == 0 => Self::Whole,
            (None, Some(count @ 1..)) => Self::Part(size_bytes.saturating_sub(count)..size_bytes),
            _ => Self::Beyond,
        }
    }

    /// Whether a request with that method gets any bytes.
    pub fn is_read(&self, method: &Method) -> bool {
        method != Method::HEAD && *self != Self::Beyond
    }
}

/// This part of its `size_bytes`; `reader` starts with its first byte.
fn part(name: &str, (part, size_bytes): (Range<u64>, u64), reader: impl AsyncRead + Send + 'static) -> Response {
    let told = format!("bytes {}-{}/{size_bytes}", part.start, part.end - 1);
    (StatusCode::PARTIAL_CONTENT, [(CONTENT_RANGE, told)], file(name, part.end - part.start, reader)).into_response()
}

/// It does not have what is requested.
fn beyond(size_bytes: u64) -> Response {
    (StatusCode::RANGE_NOT_SATISFIABLE, [(CONTENT_RANGE, format!("bytes */{size_bytes}"))]).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_name_is_told_twice_and_breaks_out_of_neither() {
        assert_eq!(attachment("po 1.x12"), "attachment; filename=\"po 1.x12\"; filename*=UTF-8''po%201.x12");
        assert_eq!(
            attachment("Rechnung \"März\"\r\n;.csv"),
            "attachment; filename=\"Rechnung _M_rz____.csv\"; filename*=UTF-8''Rechnung%20%22M%C3%A4rz%22%0D%0A%3B.csv"
        );
    }

    #[test]
    fn one_part_is_read_and_all_else_is_the_whole_or_beyond() {
        let wanted = |range: &'static str, size_bytes: u64| {
            let headers = HeaderMap::from_iter([(RANGE, HeaderValue::from_static(range))]);
            Wanted::of(&Method::GET, &headers, Served { name: "", size_bytes, etag: "" })
        };
        for (range, part) in [
            ("bytes=0-", 0..10),
            ("Bytes=3-", 3..10),
            ("bytes= 3-5 ", 3..6),
            ("bytes=9-9", 9..10),
            ("bytes=3-99999999999999999999", 3..10),
            ("bytes=-4", 6..10),
            ("bytes=-11", 0..10),
        ] {
            assert_eq!(wanted(range, 10), Wanted::Part(part), "{range}");
        }
        for range in ["bytes=10-", "bytes=10-12", "bytes=99999999999999999999-", "bytes=-0"] {
            assert_eq!(wanted(range, 10), Wanted::Beyond, "{range}");
        }
        for range in ["bytes=0-1,3-4", "bytes=5-3", "bytes=-", "bytes=a-b", "bytes=+1-3", "lines=0-1", "bytes", "0-1"] {
            assert_eq!(wanted(range, 10), Wanted::Whole, "{range}");
        }
        assert_eq!((wanted("bytes=0-", 0), wanted("bytes=-1", 0)), (Wanted::Beyond, Wanted::Whole));
    }
}
