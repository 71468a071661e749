//! The only reader of the time in this crate.

use std::time::{SystemTime, UNIX_EPOCH};

use schema::time::Timestamp;

/// Now, by this machine's wall clock.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_millis() as u64)
}

/// A time as RFC 3339 in UTC with milliseconds: `2026-11-20T14:02:11.123Z`.
pub fn rfc3339(time: Timestamp) -> String {
    let (days, ms) = ((time.0 / 86_400_000) as i64, time.0 % 86_400_000);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
}

/// Reads a time of the form `2026-11-20T14:02:11Z`, with or without seconds and fractions of them; `None` for any other.
pub fn from_rfc3339(text: &str) -> Option<Timestamp> {
    let (date, time) = text.strip_suffix(['Z', 'z'])?.split_once(['T', 't', ' '])?;
    let mut date = date.split('-').map(str::parse::<u32>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let mut time = time.split(':');
    let (hour, minute) = (time.next()?.parse().ok()?, time.next()?.parse().ok()?);
    let seconds: f64 = time.next().map_or(Some(0.0), |seconds| seconds.parse().ok())?;
    let is_whole = date.next().is_none() && time.next().is_none() && (0.0..61.0).contains(&seconds);
    let start = from_civil(i64::from(year), month, day, hour, minute).filter(|_| is_whole)?;
    Some(Timestamp(start.0 + (seconds * 1000.0).round() as u64))
}

/// The time of a UTC date; `None` if there is no such date.
pub fn from_civil(year: i64, month: u32, day: u32, hour: u32, minute: u32) -> Option<Timestamp> {
    if !(1..=12).contains(&month) || hour > 23 || minute > 59 {
        return None;
    }
    let days = days(year, month, day);
    (civil(days) == (year, month, day)).then_some(())?;
    let seconds = days.checked_mul(86_400)? + i64::from(hour) * 3600 + i64::from(minute) * 60;
    u64::try_from(seconds).ok()?.checked_mul(1000).map(Timestamp)
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar, counted in 400-year eras from March.
fn days(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The reverse of [`days`].
fn civil(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 } as u32;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_go_there_and_back() {
        assert_eq!(rfc3339(Timestamp(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(Timestamp(1_456_707_360_042)), "2016-02-29T00:56:00.042Z", "a leap day");
        assert_eq!(from_civil(2016, 2, 29, 0, 56), Some(Timestamp(1_456_707_360_000)));
        assert_eq!(from_civil(2015, 2, 29, 0, 0), None, "no such day");
        assert_eq!(from_civil(i64::from(u32::MAX), 1, 1, 0, 0), None, "milliseconds would not fit");
        assert_eq!(from_rfc3339("2016-02-29T00:56:00.042Z"), Some(Timestamp(1_456_707_360_042)), "back again");
        assert_eq!(from_rfc3339("2016-02-29T00:56Z"), Some(Timestamp(1_456_707_360_000)));
        for none in
            ["", "2016-02-30T00:00Z", "2016-02-29T00:56", "2016-02-29T00:56:99Z", "2016-02-29T0:NaN:0Z", "yesterday"]
        {
            assert_eq!(from_rfc3339(none), None, "{none:?} is no time");
        }
        for day in (0..40_000).step_by(13) {
            let (year, month, dom) = civil(day);
            assert_eq!(days(year, month, dom), day, "the calendar has no gaps");
        }
    }
}
