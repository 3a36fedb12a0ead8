//! Times of events.

/// Whether it is `YYYY-MM-DDTHH:MM:SS`, a fraction of one to nine digits or none, and `Z`, of a day
/// that the calendar has.
///
/// The year 9999 is left out: Python refuses its last moment, which it rounds up.
pub fn is_time(text: &[u8]) -> bool {
    let [c1, c2, y1, y2, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', i1, i2, b':', s1, s2, rest @ .., b'Z'] =
        text
    else {
        return false;
    };
    let digits = [c1, c2, y1, y2, m1, m2, d1, d2, h1, h2, i1, i2, s1, s2];
    if !digits.iter().all(|digit| digit.is_ascii_digit()) {
        return false;
    }
    let two = |tens: &u8, ones: &u8| u32::from(tens - b'0') * 10 + u32::from(ones - b'0');
    let year = 100 * two(c1, c2) + two(y1, y2);
    let (month, day) = (two(m1, m2), two(d1, d2));
    let (hour, minute, second) = (two(h1, h2), two(i1, i2), two(s1, s2));
    let is_fraction = match rest {
        [] => true,
        [b'.', digits @ ..] => {
            matches!(digits.len(), 1..=9) && digits.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    };
    (1..9999).contains(&year)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60
        && is_fraction
}

/// The number of days of a month; 0 if there is no such month.
fn days_of(year: u32, month: u32) -> u32 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::is_time;

    #[test]
    fn times_that_are_real() {
        for time in [
            "2026-11-24T04:32:37Z",
            "2026-11-24T04:32:37.1Z",
            "2026-11-24T04:32:37.123456789Z",
            "2024-02-29T23:59:59Z",
            "2000-02-29T00:00:00Z",
            "0001-01-01T00:00:00Z",
        ] {
            assert!(is_time(time.as_bytes()), "{time}");
        }
    }

    #[test]
    fn times_that_are_not() {
        for time in [
            "",
            "Z",
            "2026-11-24T04:32:37",
            "2026-11-24T04:32:37.Z",
            "2026-11-24T04:32:37.1234567890Z",
            "2026-11-24T04:32:37.12x4Z",
            "2026-11-24t04:32:37Z",
            "2026-11-24T04:32:37z",
            "2026-11-24T04:32:37+00:00",
            "2026-13-24T04:32:37Z",
            "2026-00-24T04:32:37Z",
            "2026-02-29T04:32:37Z",
            "1900-02-29T04:32:37Z",
            "2026-04-31T04:32:37Z",
            "2026-11-24T24:32:37Z",
            "2026-11-24T04:60:37Z",
            "2026-11-24T04:32:60Z",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59.999999999Z",
            "2026/11-24T04:32:37Z",
            "+026-11-24T04:32:37Z",
        ] {
            assert!(!is_time(time.as_bytes()), "{time}");
        }
    }
}
