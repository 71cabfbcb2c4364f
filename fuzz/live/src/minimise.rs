//! Making a sequence as short as it can be while it still does what it did.

/// Removes what is not needed: the beginning first, then parts of any size from anywhere.
///
/// `test` says whether what is left still does it, and `None` when there is no more time; the
/// shortest sequence that did it is returned, or `None` if not even the whole one does.
pub fn minimise<T: Clone>(
    items: &[T],
    mut test: impl FnMut(&[T]) -> Option<bool>,
) -> Option<Vec<T>> {
    let mut best = ending(items, &mut test)?;
    let mut part = best.len().div_ceil(2);
    while part > 0 && best.len() > 1 {
        let mut start = 0;
        let mut shorter = false;
        while start < best.len() && best.len() > 1 {
            let end = (start + part).min(best.len());
            let (before, after) = (best.get(..start)?, best.get(end..)?);
            let rest = [before, after].concat();
            match test(&rest) {
                Some(true) => {
                    best = rest;
                    shorter = true;
                }
                Some(false) => start = end,
                None => return Some(best),
            }
        }
        // Again with the same size, as what was needed before may not be any more.
        if part == 1 && !shorter {
            break;
        }
        part = if part == 1 { 1 } else { part.div_ceil(2) };
    }
    Some(best)
}

/// The shortest of some endings that still does it: most often the last few do.
fn ending<T: Clone>(items: &[T], test: &mut impl FnMut(&[T]) -> Option<bool>) -> Option<Vec<T>> {
    let mut length = 1;
    loop {
        let start = items.len().saturating_sub(length);
        let tail = items.get(start..)?;
        if test(tail)? {
            return Some(tail.to_vec());
        }
        if start == 0 {
            return None;
        }
        length *= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::minimise;

    fn contains_all(items: &[u32], needed: &[u32]) -> bool {
        needed.iter().all(|item| items.contains(item))
    }

    #[test]
    fn only_what_is_needed_is_left() {
        let items: Vec<u32> = (0..500).collect();
        for needed in [
            vec![499],
            vec![0],
            vec![3, 250, 251, 499],
            vec![10, 20, 30, 40],
        ] {
            let shortest = minimise(&items, |left| Some(contains_all(left, &needed)));
            assert_eq!(shortest, Some(needed));
        }
    }

    #[test]
    fn the_order_is_kept() {
        let shortest = minimise(&[5, 1, 4, 2, 3], |left| {
            let four = left.iter().position(|&item| item == 4);
            let three = left.iter().position(|&item| item == 3);
            Some(four.zip(three).is_some_and(|(four, three)| four < three))
        });
        assert_eq!(shortest, Some(vec![4, 3]));
    }

    #[test]
    fn what_does_not_happen_again_is_not_minimised() {
        assert_eq!(minimise(&[1, 2, 3], |_| Some(false)), None);
        assert_eq!(minimise::<u8>(&[], |_| Some(false)), None);
    }

    #[test]
    fn the_best_so_far_is_kept_when_time_runs_out() {
        let items: Vec<u32> = (0..64).collect();
        let mut left = 12;
        let shortest = minimise(&items, |rest| {
            left -= 1;
            (left > 0).then(|| contains_all(rest, &[1, 62]))
        });
        let shortest = shortest.unwrap();
        assert!(
            shortest.len() < 64 && contains_all(&shortest, &[1, 62]),
            "{shortest:?}"
        );
    }

    #[test]
    fn few_tests_are_enough() {
        let items: Vec<u32> = (0..2000).collect();
        let mut tests = 0;
        minimise(&items, |left| {
            tests += 1;
            Some(contains_all(left, &[1500, 1990]))
        });
        assert!(tests < 150, "{tests}");
    }
}
