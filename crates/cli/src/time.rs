//! Moments as people and programs read them, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

const SECONDS_OF_A_DAY: u64 = 24 * 60 * 60;

/// A moment of the calendar, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    year: u64,
    month: u64,
    day: u64,
    second_of_day: u64,
    micros: u32,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self::from(SystemTime::now())
    }

    /// As virsh writes it: `2026-02-28 23:59:59.123+0000`.
    pub(crate) fn virsh(&self) -> String {
        let millis = self.micros / 1000;
        format!("{} {}.{millis:03}+0000", self.date(), self.time())
    }

    /// As virsh writes it in tables: `2026-02-28 23:59:59 +0000`.
    pub(crate) fn table_cell(&self) -> String {
        format!("{} {} +0000", self.date(), self.time())
    }

    /// As RFC 3339 has it: `2026-02-28T23:59:59.123456Z`.
    pub(crate) fn rfc3339(&self) -> String {
        format!("{}T{}.{:06}Z", self.date(), self.time(), self.micros)
    }

    fn date(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    fn time(&self) -> String {
        let minute = self.second_of_day / 60;
        let (hour, minute, second) = (minute / 60, minute % 60, self.second_of_day % 60);
        format!("{hour:02}:{minute:02}:{second:02}")
    }
}

impl From<SystemTime> for Moment {
    /// A clock that stands before 1970 is taken to stand there.
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (year, month, day) = date(since.as_secs() / SECONDS_OF_A_DAY);
        Self {
            year,
            month,
            day,
            second_of_day: since.as_secs() % SECONDS_OF_A_DAY,
            micros: since.subsec_micros(),
        }
    }
}

/// Year, month and day so many days after 1970-01-01, by the Gregorian calendar.
fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_OF_400_YEARS: u64 = 146_097;
    // Counted from 0000-03-01, a leap day is the last of its year, and each month begins
    // (153 * month + 2) / 5 days after the year does.
    let days = days + 719_468;
    let (era, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year;
    match month {
        0..=9 => (year, month + 3, day),
        _ => (year + 1, month - 9, day),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64, micros: u32) -> Moment {
        Moment::from(UNIX_EPOCH + Duration::new(seconds, micros * 1000))
    }

    #[test]
    fn both_forms_are_utc() {
        let moment = at(1_700_000_000, 123_456);
        assert_eq!(moment.virsh(), "2023-11-14 22:13:20.123+0000");
        assert_eq!(moment.rfc3339(), "2023-11-14T22:13:20.123456Z");
        assert_eq!(moment.table_cell(), "2023-11-14 22:13:20 +0000");
        assert_eq!(at(0, 7).rfc3339(), "1970-01-01T00:00:00.000007Z");
        let before = Moment::from(UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(before, at(0, 0));
    }

    #[test]
    fn every_day_has_the_date_that_follows() {
        let leap = |year: u64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let mut expected = (1970, 1, 1);
        for days in 0..400_000 {
            assert_eq!(date(days), expected, "day {days}");
            let (year, month, day) = expected;
            let length = match month {
                2 => 28 + u64::from(leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            expected = match (day < length, month < 12) {
                (true, _) => (year, month, day + 1),
                (false, true) => (year, month + 1, 1),
                (false, false) => (year + 1, 1, 1),
            };
        }
    }
}
