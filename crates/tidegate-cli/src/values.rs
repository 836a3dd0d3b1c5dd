//! How arguments are read: times (`300ms`), sizes (`64K`), texts with escapes (`PING\r\n`).
#![forbid(unsafe_code)]

use std::time::Duration;

/// `250us`, `300ms`, `5s`, `2m`; a bare number counts seconds.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" | "" => 1.0,
        "m" => 60.0,
        _ => return Err(format!("{unit:?} is no unit of time: us, ms, s or m")),
    };
    let number: f64 = number.parse().map_err(|_| "write a time as 300ms or 5s".to_owned())?;
    let time = Duration::try_from_secs_f64(number * seconds).map_err(|e| e.to_string())?;
    if time > Duration::from_secs(7 * 86_400) {
        return Err("a week is the most".to_owned());
    }
    Ok(time)
}

/// `512`, `64K`, `1M`, `2G`, in powers of 1024.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let shift = match unit {
        "" | "B" => 0,
        "K" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        _ => return Err(format!("{unit:?} is no unit of size: K, M or G")),
    };
    let number: u64 = number.parse().map_err(|_| "write a size as 512 or 64K".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "too large".to_owned())
}

/// As [`size`], but not 0.
pub(crate) fn some_bytes(text: &str) -> Result<u64, String> {
    match size(text)? {
        0 => Err("it must be at least 1".to_owned()),
        bytes => Ok(bytes),
    }
}

fn split(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()))
}

/// Bytes from a text. (As a `Vec<u8>` clap would take it for many values.)
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

/// A text in which `\n`, `\r`, `\t`, `\0`, `\\` and `\x41` stand for one byte.
pub(crate) fn escaped(text: &str) -> Result<Bytes, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escape = rest.next();
        bytes.push(match escape {
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('0') => 0,
            Some('\\') => b'\\',
            Some('x') => {
                let digits: String = rest.by_ref().take(2).collect();
                let byte = u8::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 2);
                byte.ok_or_else(|| format!("\\x{digits} is no byte"))?
            }
            Some(c) => return Err(format!("\\{c} is no escape")),
            None => return Err("a \\ at the end".to_owned()),
        });
    }
    Ok(Bytes(bytes))
}

/// How long bytes may take at a rate: who waits so long after each read keeps to it.
pub(crate) fn at_rate(bytes: usize, a_second: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / a_second.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(time("300ms"), Ok(Duration::from_millis(300)));
        assert_eq!(time("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(time("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(time("7"), Ok(Duration::from_secs(7)));
        for wrong in ["", "ms", "5h", "-1s", "1e300s", "nan", "700000s"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!((size("512"), size("64K"), size("2G")), (Ok(512), Ok(65_536), Ok(2 << 30)));
        for wrong in ["", "K", "1T", "-1", "1.5K", "99999999999G"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        assert!(some_bytes("0").is_err());
    }

    #[test]
    fn escapes() {
        assert_eq!(escaped(r"PING\r\n\x00\\é"), Ok(Bytes("PING\r\n\0\\é".as_bytes().to_vec())));
        for wrong in [r"\", r"\q", r"\x1", r"\xgg"] {
            assert!(escaped(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rate_is_kept() {
        assert_eq!(at_rate(2048, 1024), Duration::from_secs(2));
    }
}
