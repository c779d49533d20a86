//! Converts line ends, across chunks.

/// Turns CRLF into LF, across chunks (`to_lf`).
#[derive(Debug, Default)]
pub struct ToLf {
    carriage_return: bool,
}

impl ToLf {
    /// The bytes to store for `bytes`, in `out`.
    pub fn turn(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.clear();
        for byte in bytes {
            if self.carriage_return && *byte != b'\n' {
                out.push(b'\r');
            }
            self.carriage_return = *byte == b'\r';
            if !self.carriage_return {
                out.push(*byte);
            }
        }
    }

    /// The rest held back at the end.
    pub fn rest(&self) -> &'static [u8] {
        if self.carriage_return { b"\r" } else { b"" }
    }
}

/// Turns bare LF into CRLF, across chunks (TYPE A).
#[derive(Debug, Default)]
pub struct ToCrLf {
    after_carriage_return: bool,
}

impl ToCrLf {
    /// The bytes to send for `bytes`, in `out`.
    pub fn turn(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.clear();
        for byte in bytes {
            if *byte == b'\n' && !self.after_carriage_return {
                out.push(b'\r');
            }
            self.after_carriage_return = *byte == b'\r';
            out.push(*byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn line_ends_do_not_depend_on_how_the_bytes_were_cut(text in "[a\r\n]{0,40}", at in 0_usize..40) {
            let bytes = text.as_bytes();
            let (one, two) = bytes.split_at(at.min(bytes.len()));
            let mut out = Vec::new();
            let mut lf = ToLf::default();
            let mut turned = Vec::new();
            for chunk in [one, two] {
                lf.turn(chunk, &mut out);
                turned.extend_from_slice(&out);
            }
            turned.extend_from_slice(lf.rest());
            prop_assert_eq!(turned, text.replace("\r\n", "\n").into_bytes());

            let mut crlf = ToCrLf::default();
            let mut sent = Vec::new();
            for chunk in [one, two] {
                crlf.turn(chunk, &mut out);
                sent.extend_from_slice(&out);
            }
            prop_assert_eq!(sent, text.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes());
        }
    }
}
