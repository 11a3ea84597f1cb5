//! The date that a template may print.
//!
//! In: seconds since 1970. Out: what Python's `strftime` makes of them. Time comes from outside: this has no clock.

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A date and time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    year: i64,
    month: usize,
    day: i64,
    /// From 1.
    day_of_year: i64,
    /// From Sunday, 0.
    weekday: usize,
    second_of_day: i64,
}

impl LocalTime {
    /// The time this many seconds after the beginning of 1970; add the time zone's offset for local time.
    pub fn from_unix_secs(secs: i64) -> Self {
        let days = secs.div_euclid(86_400);
        let weekday = usize::try_from((days + 4).rem_euclid(7)).unwrap_or(0);
        // Whole cycles of 400 years first; what is left is walked through.
        let mut year = 1970 + 400 * days.div_euclid(146_097);
        let mut left = days.rem_euclid(146_097);
        while left >= days_of_year(year) {
            left -= days_of_year(year);
            year += 1;
        }
        let day_of_year = left + 1;
        let mut month = 0;
        while left >= days_of_month(year, month) {
            left -= days_of_month(year, month);
            month += 1;
        }
        let second_of_day = secs.rem_euclid(86_400);
        Self { year, month, day: left + 1, day_of_year, weekday, second_of_day }
    }

    /// As Python's `strftime` in the C locale; a directive that it does not know stays as it is.
    pub(super) fn strftime(&self, format: &str) -> String {
        let mut out = String::new();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let mut directive = chars.next();
            let unpadded = directive == Some('-');
            if unpadded {
                directive = chars.next();
            }
            let (hour, minute) = (self.second_of_day / 3600, self.second_of_day / 60 % 60);
            let number = match directive {
                Some('d') => Some((self.day, 2)),
                Some('m') => Some((self.month as i64 + 1, 2)),
                Some('y') => Some((self.year.rem_euclid(100), 2)),
                Some('Y') => Some((self.year, 4)),
                Some('H') => Some((hour, 2)),
                Some('I') => Some(((hour + 11) % 12 + 1, 2)),
                Some('M') => Some((minute, 2)),
                Some('S') => Some((self.second_of_day % 60, 2)),
                Some('j') => Some((self.day_of_year, 3)),
                _ => None,
            };
            if let Some((number, width)) = number {
                let width = if unpadded { 0 } else { width };
                out.push_str(&format!("{number:0width$}"));
                continue;
            }
            match directive {
                Some('a') => out.push_str(&DAYS[self.weekday][..3]),
                Some('A') => out.push_str(DAYS[self.weekday]),
                Some('b' | 'h') => out.push_str(&MONTHS[self.month][..3]),
                Some('B') => out.push_str(MONTHS[self.month]),
                Some('e') => out.push_str(&format!("{:2}", self.day)),
                Some('p') => out.push_str(if hour < 12 { "AM" } else { "PM" }),
                Some('F') => out.push_str(&self.strftime("%Y-%m-%d")),
                Some('T') => out.push_str(&self.strftime("%H:%M:%S")),
                Some('%') => out.push('%'),
                other => {
                    out.push('%');
                    out.extend(unpadded.then_some('-'));
                    out.extend(other);
                }
            }
        }
        out
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of_year(year: i64) -> i64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_of_month(year: i64, month: usize) -> i64 {
    match month {
        1 if is_leap(year) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Expected texts: Python's datetime.utcfromtimestamp(secs).strftime(format).
    #[test]
    fn dates_print_as_python_prints_them() {
        for (secs, expected) in [
            (0, "Thu 01 Jan 1970 00:00:00 001 70 AM 12"),
            (951_782_400, "Tue 29 Feb 2000 00:00:00 060 00 AM 12"),
            (1_795_351_015, "Sun 22 Nov 2026 12:36:55 326 26 PM 12"),
            (-1, "Wed 31 Dec 1969 23:59:59 365 69 PM 11"),
        ] {
            let time = LocalTime::from_unix_secs(secs);
            assert_eq!(time.strftime("%a %d %b %Y %H:%M:%S %j %y %p %I"), expected);
        }
        assert_eq!(
            LocalTime::from_unix_secs(0).strftime("%-d %A %B %e %% %Q %"),
            "1 Thursday January  1 % %Q %"
        );
    }
}
