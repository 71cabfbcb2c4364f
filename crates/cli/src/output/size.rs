//! Numbers of bytes as people read them.

/// The number in the largest unit of which there is one at least.
pub(crate) fn scaled(bytes: u64) -> (f64, &'static str) {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] {
        if value < 1024.0 {
            return (value, unit);
        }
        value /= 1024.0;
    }
    (value, "EiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_unit_that_fits() {
        assert_eq!(scaled(1023), (1023.0, "B"));
        assert_eq!(scaled(1536), (1.5, "KiB"));
        assert_eq!(scaled(8 << 20), (8.0, "MiB"));
        assert_eq!(scaled(1 << 63).1, "EiB");
    }
}
