//! Bounds on memory, by the input and not by what the input says.

/// Runs `work`, which may hold at most `budget` bytes more than were held before.
pub(crate) fn within<T>(budget: usize, work: impl FnOnce() -> T) -> T {
    let mut result = None;
    let used = allocation_counter::measure(|| result = Some(work()));
    let peak = usize::try_from(used.bytes_max).unwrap_or(usize::MAX);
    assert!(peak <= budget, "{peak} bytes held, {budget} allowed");
    result.expect("the work is done by now")
}
