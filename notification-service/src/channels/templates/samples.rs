//! Reminders that templates are tried with and shown with.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use time_zone::Zone;

use super::Notice;

/// Unsubscribe URL of the samples.
pub const UNSUBSCRIBE_URL: &str = "https://example.com/unsubscribe?user=4711&list=reminders";

/// Sample reminder to render templates with.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Name, usable as a file name.
    pub name: &'static str,
    /// Content.
    pub notice: Notice<'static>,
}

/// Text of the longest allowed length, with many lines and one long word.
static LONG: LazyLock<String> = LazyLock::new(|| {
    let paragraph = "Take the passports, both tickets and the letter of the insurance. \
        Turn off the water, close the windows, and leave the key with the neighbours & \
        tell them about the <big> parcel.\n\n";
    format!("{}https://example.com/{}", paragraph.repeat(9), "a-path-that-has-no-end/".repeat(14))
});

/// Returns the samples: with all parts, with the fewest parts, long, and written from right to
/// left.
#[must_use]
pub fn samples() -> [Sample; 4] {
    let notice = Notice {
        title: Some("Dentist"),
        message: "Dr. Lang, second floor.\nBring the insurance card.",
        url: Some("https://example.com/appointments/17?from=reminder&lang=en"),
        date: date(),
        time_zone: zone("Europe/Berlin"),
        locale: None,
    };
    let untitled = Notice { title: None, message: "Water the plants", url: None, ..notice };
    let long = Notice {
        title: Some("Before the journey: everything that must not be forgotten"),
        message: &LONG,
        ..notice
    };
    let right_to_left = Notice {
        title: Some("موعد طبيب الأسنان"),
        message: "الدكتور لانغ، الطابق الثاني.\nأحضر بطاقة التأمين (AOK 4711)!",
        time_zone: zone("Asia/Riyadh"),
        ..notice
    };
    [("reminder", notice), ("untitled", untitled), ("long", long), ("right-to-left", right_to_left)]
        .map(|(name, notice)| Sample { name, notice })
}

/// The zone of a name that every edition of the database has.
fn zone(name: &str) -> Zone {
    Zone::parse(name).unwrap_or_default()
}

fn date() -> DateTime<Utc> {
    // 3 October 2025, 07:30 UTC.
    DateTime::from_timestamp(1_759_476_600, 0).unwrap_or_default()
}
