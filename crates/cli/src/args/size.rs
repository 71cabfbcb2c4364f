//! Sizes with units, as libvirt reads them.

/// A size that is in bytes unless a unit follows.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    size(text, 1)
}

/// A size that is in KiB unless a unit follows.
pub(super) fn kibibytes(text: &str) -> Result<u64, String> {
    size(text, 1024)
}

/// In bytes: a number of `default`, or of the unit behind it.
fn size(text: &str, default: u64) -> Result<u64, String> {
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (number, suffix) = text.split_at(end.unwrap_or(text.len()));
    let number: u64 = match number.parse() {
        Ok(number) => number,
        Err(_) if number.is_empty() => return Err("must begin with a number".to_owned()),
        Err(_) => return Err("is too large".to_owned()),
    };
    let unit = if suffix.is_empty() {
        Some(default)
    } else {
        unit(suffix)
    };
    let unit = unit.ok_or_else(|| format!("has no unit that is known: {suffix}"))?;
    number
        .checked_mul(unit)
        .ok_or_else(|| "is too large".to_owned())
}

/// `b`, `byte` and `bytes`; `k`, `kib` and so on for powers of 1024, `kb` and so on for those of
/// 1000, in upper or lower case.
fn unit(suffix: &str) -> Option<u64> {
    let suffix = suffix.to_ascii_lowercase();
    if matches!(suffix.as_str(), "b" | "byte" | "bytes") {
        return Some(1);
    }
    let mut letters = suffix.chars();
    let power = "kmgtpe".chars().zip(1..);
    let first = letters.next()?;
    let (_, power) = power.into_iter().find(|(letter, _)| *letter == first)?;
    match letters.as_str() {
        "" | "ib" => Some(1024_u64.pow(power)),
        "b" => Some(1000_u64.pow(power)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_of_libvirt() {
        for (text, expected) in [
            ("0", 0),
            ("7", 7 << 10),
            ("7b", 7),
            ("7Bytes", 7),
            ("7k", 7 << 10),
            ("7KiB", 7 << 10),
            ("7kb", 7000),
            ("3M", 3 << 20),
            ("3MB", 3_000_000),
            ("2g", 2 << 30),
            ("15E", 15 << 60),
        ] {
            assert_eq!(kibibytes(text), Ok(expected), "{text}");
        }
        assert_eq!(bytes("7"), Ok(7));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "",
            "k",
            "-1",
            "1.5G",
            "7x",
            "7kk",
            "7ki",
            "16E",
            "99999999999999999999",
        ] {
            assert!(kibibytes(text).is_err(), "{text}");
        }
    }
}
