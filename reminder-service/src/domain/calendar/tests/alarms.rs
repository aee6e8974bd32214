//! Actions, repetitions and malformed times of alarms.

use super::*;

fn alarm(lines: &[&str]) -> String {
    format!("BEGIN:VALARM\r\n{}\r\nEND:VALARM", lines.join("\r\n"))
}

fn import(alarms: &[&str]) -> Import {
    read_text(&event(&["DTSTART:20960507T070000Z", &alarms.join("\r\n")]))
}

fn texts(import: &Import) -> Vec<&str> {
    import.notes.iter().map(|note| note.text.as_str()).collect()
}

#[test]
fn delivers_by_email_when_alarms_are_by_email() {
    let email = alarm(&["ACTION:EMAIL", "TRIGGER:-PT16M", "SUMMARY:Own", "ATTENDEE:mailto:a@b.c"]);
    let push = alarm(&["ACTION:AUDIO", "TRIGGER:-PT5M"]);
    let unreadable = alarm(&["ACTION:EMAIL", "TRIGGER:soon"]);
    for (alarms, channels, offsets, notes) in [
        (vec![&email], Some(vec![Channel::Email]), vec![16], 0),
        (vec![&push], None, vec![5], 0),
        (vec![&push, &email], Some(vec![Channel::Email, Channel::Push]), vec![5, 16], 1),
        (vec![&unreadable], None, vec![0], 1),
        (vec![&unreadable, &email], Some(vec![Channel::Email]), vec![16], 1),
    ] {
        let alarms: Vec<_> = alarms.into_iter().map(String::as_str).collect();
        let import = import(&alarms);
        let entry = &import.entries[0];
        assert_eq!((&entry.channels, &entry.notify_offsets), (&channels, &offsets), "{alarms:?}");
        assert_eq!(import.notes.len(), notes, "{import:?}");
        assert_eq!(import.has_email_alarms(), channels.is_some());
    }
}

#[test]
fn delivers_by_push_when_email_is_refused() {
    let email = alarm(&["ACTION:EMAIL", "TRIGGER:-PT16M"]);
    let mut import = import(&[&email]);
    import.replace_email_alarms("no address");
    assert_eq!((&import.entries[0].channels, import.has_email_alarms()), (&None, false));
    assert_eq!(import.notes, [note(7, "1", "an alarm by e-mail is delivered by push: no address")]);
    // Channels that the file names are not replaced.
    let own = event(&["DTSTART:20960507T070000Z", "X-REMINDER-CHANNELS:email", &email]);
    let mut import = read_text(&own);
    import.replace_email_alarms("no address");
    assert_eq!(import.entries[0].channels, Some(vec![Channel::Email]));
}

#[test]
fn notes_refused_email_once_when_there_are_many_notes() {
    let email = alarm(&["ACTION:EMAIL", "TRIGGER:-PT16M"]);
    let event = [
        "BEGIN:VEVENT\r\nSUMMARY:A\r\nLOCATION:B",
        "DTSTART:20960507T070000Z",
        &email,
        "END:VEVENT\r\n",
    ]
    .join("\r\n");
    let mut import = read_text(&calendar(&[event.repeat(600).trim_end()]));
    import.replace_email_alarms("no address");
    assert_eq!(import.notes.len(), 601);
    let all = "all alarms by e-mail are delivered by push: no address";
    assert_eq!(texts(&import).into_iter().filter(|text| *text == all).count(), 1);
}

#[test]
fn repeats_alarms_and_notes_the_rest() {
    for (lines, offsets, notes) in [
        (["TRIGGER:-PT30M", "REPEAT:2", "DURATION:PT10M"], vec![10, 20, 30], 0),
        (["TRIGGER:-PT30M", "REPEAT:9", "DURATION:PT1M"], vec![26, 27, 28, 29, 30], 2),
        (["TRIGGER:-PT10M", "REPEAT:3", "DURATION:PT10M"], vec![0, 10], 1),
        (["TRIGGER:-PT10M", "REPEAT:many", "DURATION:PT10M"], vec![10], 1),
        (["TRIGGER:-PT10M", "REPEAT:1", "DURATION:ten"], vec![10], 1),
        (["TRIGGER:-PT10M", "REPEAT:1", "X-NO-DURATION:"], vec![10], 1),
        (["TRIGGER:-PT10M", "REPEAT:0", "X-NO-DURATION:"], vec![10], 0),
        (["TRIGGER:-PT10M", "REPEAT:99999999999", "DURATION:P99999W"], vec![10], 1),
    ] {
        let import = import(&[&alarm(&lines)]);
        assert_eq!(import.entries[0].notify_offsets, offsets, "{lines:?}");
        assert_eq!(import.notes.len(), notes, "{lines:?} {import:?}");
    }
}

#[test]
fn repeats_alarms_within_a_day() {
    let alarm = alarm(&["TRIGGER:PT8H", "REPEAT:2", "DURATION:PT1H"]);
    let import = read_text(&event(&["DTSTART;VALUE=DATE:20960507", &alarm]));
    let entry = &import.entries[0];
    assert_eq!(
        (entry.date, &entry.notify_offsets),
        (at("2096-05-07T08:00:00Z"), &vec![0, 60, 120])
    );
    assert_eq!(import.notes, []);
}

#[test]
fn notes_alarm_that_is_moved_to_a_minute() {
    let import = import(&[&alarm(&["TRIGGER:-PT90S"])]);
    assert_eq!(import.entries[0].notify_offsets, [2]);
    assert_eq!(texts(&import), ["an alarm was moved to the whole minute before it"]);
}

#[test]
fn reads_malformed_times_of_alarms() {
    for (trigger, minutes) in [
        ("TRIGGER:-P2H", 120),
        ("TRIGGER:-P1H30M", 90),
        ("TRIGGER:-P120S", 2),
        ("TRIGGER:PT-15M", 15),
        ("TRIGGER:P-1D", 1_440),
        ("TRIGGER:-P1WT1H", 10_140),
        ("TRIGGER: -pt15m ", 15),
        ("TRIGGER;VALUE=DURATION:-PT15M", 15),
        ("TRIGGER:VALUE=DURATION:-PT15M", 15),
        ("TRIGGER;VALUE=DATE-TIME:-PT15M", 15),
        ("TRIGGER;VALUE=DURATION:20960507T064500Z", 15),
        ("TRIGGER:20960507T064500Z", 15),
        ("TRIGGER:DATE-TIME:20960507T064500Z", 15),
        ("TRIGGER;VALUE=DATE-TIME:VALUE=DATE-TIME:20960507T064500Z", 15),
        ("TRIGGER;RELATED=end:-PT15M", 15),
    ] {
        let import = import(&[&alarm(&["ACTION:DISPLAY", trigger])]);
        assert_eq!(import.entries[0].notify_offsets, [minutes], "{trigger}");
        assert_eq!(import.notes, [], "{trigger}");
    }
    for trigger in ["TRIGGER:--PT5M", "TRIGGER:-PT-5M", "TRIGGER:-P5M", "TRIGGER:-15M", "TRIGGER:"]
    {
        let import = import(&[&alarm(&["ACTION:DISPLAY", trigger])]);
        assert_eq!(import.notes.len(), 1, "{trigger}");
    }
}
