//! [`Frame`]: what goes around a part of a body.
#![forbid(unsafe_code)]

/// What goes around a part of a body.
///
/// ```
/// use tidegate_http::codec::{Answering, Encoder, Length};
/// let mut encoder = Encoder::new();
/// encoder.response(&mut Vec::new(), Answering::default(), 200, Length::Unknown, None, [])?;
/// let frame = encoder.data(26)?;
/// assert!(frame.is_sent());
/// assert_eq!((frame.before(), frame.after()), (&b"1a\r\n"[..], &b"\r\n"[..]));
/// # Ok::<(), tidegate_http::codec::EncodeError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    hex: [u8; 18],
    from: u8,
    is_sent: bool,
}

impl Frame {
    pub(super) const PLAIN: Frame = Frame { hex: [0; 18], from: 18, is_sent: true };
    pub(super) const DROPPED: Frame = Frame { hex: [0; 18], from: 18, is_sent: false };

    pub(super) fn chunk(len: usize) -> Frame {
        let (mut hex, mut from, mut left) = ([0; 18], 16, len);
        hex[16..].copy_from_slice(b"\r\n");
        while left > 0 {
            from -= 1;
            hex[from] = b"0123456789abcdef"[left & 15];
            left >>= 4;
        }
        Frame { hex, from: from as u8, is_sent: true }
    }

    /// What goes before the part; may be empty.
    pub fn before(&self) -> &[u8] {
        &self.hex[usize::from(self.from)..]
    }

    /// What goes behind it; may be empty.
    pub fn after(&self) -> &'static [u8] {
        if self.from < 18 { b"\r\n" } else { b"" }
    }

    /// Whether the part is sent at all: not in the answer to a HEAD, and not if it is empty.
    pub fn is_sent(&self) -> bool {
        self.is_sent
    }
}
