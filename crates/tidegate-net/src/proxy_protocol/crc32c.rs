//! CRC32C, as RFC 9260, appendix A has it: the checksum of a PROXY header. No header is long, so
//! there is no table.
#![forbid(unsafe_code)]

/// The polynomial 0x1EDC6F41 with its bits in reverse.
const REVERSED: u32 = 0x82f6_3b78;

pub(crate) fn crc32c(bytes: impl IntoIterator<Item = u8>) -> u32 {
    let step = |crc: u32, byte: u8| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (REVERSED & (crc & 1).wrapping_neg())
        })
    };
    !bytes.into_iter().fold(!0, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720, appendix B.4, and the check value of the catalogues of CRCs.
    #[test]
    fn known_values() {
        assert_eq!(crc32c(*b"123456789"), 0xe306_9283);
        assert_eq!(crc32c([0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c([0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(0..32), 0x46dd_794e);
        assert_eq!(crc32c([]), 0);
    }
}
