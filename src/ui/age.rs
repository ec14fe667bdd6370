//! Pure: spans of time as Docker says them: `About a minute`, `3 weeks`.

use std::time::Duration;

use jiff::Timestamp;

/// How long it was, roughly.
pub fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let minutes = seconds / 60;
    // Docker rounds hours to the nearest and cuts everything else off.
    let hours = (seconds + 1800) / 3600;
    match () {
        () if seconds < 1 => "Less than a second".into(),
        () if seconds == 1 => "1 second".into(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".into(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".into(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// The same, from one moment to another; `Less than a second` when the clock went back.
pub fn between(then: Timestamp, now: Timestamp) -> String {
    human(Duration::try_from(now.duration_since(then)).unwrap_or_default())
}

/// Elapsed time beside a line of progress: `0.5s`, `75.3s`.
pub fn tenths(duration: Duration) -> String {
    format!("{:.1}s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_said_in_dockers_words() {
        let said = |seconds| human(Duration::from_secs(seconds));
        assert_eq!(said(0), "Less than a second");
        assert_eq!(said(1), "1 second");
        assert_eq!(said(59), "59 seconds");
        assert_eq!(said(60), "About a minute");
        assert_eq!(said(179), "2 minutes");
        assert_eq!(said(3600), "About an hour");
        assert_eq!(said(2 * 3600), "2 hours");
        assert_eq!(said(3 * 24 * 3600), "3 days");
        assert_eq!(said(20 * 24 * 3600), "2 weeks");
        assert_eq!(said(90 * 24 * 3600), "3 months");
        assert_eq!(said(3 * 365 * 24 * 3600), "3 years");
    }

    #[test]
    fn a_clock_that_went_back_gives_no_age() {
        let now = Timestamp::from_second(10).unwrap();
        let later = Timestamp::from_second(20).unwrap();
        assert_eq!(between(later, now), "Less than a second");
    }
}
