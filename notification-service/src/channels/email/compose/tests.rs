use super::*;
use mail_parser::{Encoding, MessageParser, MimeHeaders};
use proptest::prelude::*;

fn composer(unsubscribe_url: Option<&str>) -> Composer {
    let source = "Reminders <reminders@example.org>".parse().unwrap();
    Composer::new(source, unsubscribe_url.map(str::to_owned), templates()).unwrap()
}

fn templates() -> Arc<Templates> {
    Arc::new(Templates::built_in().unwrap())
}

fn email() -> Email<'static> {
    Email {
        occurrence_id: uuid::Uuid::from_u128(0x0198_7654_3210_5abc_8def_0123_4567_89ab),
        to: "ada@example.com",
        title: Some("Water the plants"),
        message: "The ficus too.\nAnd the ivy.",
        url: Some("https://example.com/plants?id=7&room=kitchen"),
        date: "2025-10-03T07:30:00Z".parse().unwrap(),
        time_zone: "Europe/Berlin".parse().expect("a zone"),
        locale: Some("en-GB"),
    }
}

fn compose(composer: &Composer, email: &Email<'_>) -> Vec<u8> {
    composer.compose(email, email.to.parse().unwrap()).unwrap()
}

#[test]
fn renders_golden_email() {
    let RenderedEmail { text, html, .. } = composer(None).write(&email()).unwrap();
    assert_eq!(text, include_str!("../../../../tests/golden/email/reminder.txt").trim_end());
    assert_eq!(html, include_str!("../../../../tests/golden/email/reminder.html").trim_end());
}

#[test]
fn composes_text_and_html_with_headers() {
    let raw = compose(&composer(None), &email());
    let message = MessageParser::default().parse(&raw).unwrap();
    assert_eq!(message.subject(), Some("Water the plants"));
    assert_eq!(message.message_id(), Some("0198765432105abc8def0123456789ab@example.org"));
    assert_eq!(message.header_raw("Auto-Submitted").unwrap().trim(), "auto-generated");
    assert_eq!(message.content_type().unwrap().subtype(), Some("alternative"));
    assert!(
        message.body_text(0).unwrap().contains("Friday, 3 October 2025 at 09:30 (Europe/Berlin)")
    );
    assert!(message.body_html(0).unwrap().contains("<h1"));
    assert!(message.date().is_some() && message.header_raw("List-Unsubscribe").is_none());
}

#[test]
fn offers_unsubscribe_when_url_is_set() {
    let composer = composer(Some("https://example.org/stop?u=1"));
    let raw = compose(&composer, &email());
    let message = MessageParser::default().parse(&raw).unwrap();
    assert_eq!(
        message.header_raw("List-Unsubscribe").unwrap().trim(),
        "<https://example.org/stop?u=1>"
    );
    assert_eq!(
        message.header_raw("List-Unsubscribe-Post").unwrap().trim(),
        "List-Unsubscribe=One-Click"
    );
    assert!(message.body_text(0).unwrap().contains("https://example.org/stop?u=1"));
}

#[test]
fn rejects_unsubscribe_url_that_is_not_https() {
    for url in [
        "http://example.org/",
        "javascript:alert(1)",
        "https://example.org/\r\nBcc: x@example.com ü",
    ] {
        let source = "reminders@example.org".parse().unwrap();
        assert!(matches!(
            Composer::new(source, Some(url.into()), templates()),
            Err(SetupError::UnsubscribeUrl)
        ));
    }
}

#[test]
fn adds_no_header_when_title_has_line_breaks() {
    let hostile = Email { title: Some("Hello\r\nBcc: eve@example.com\r\n\r\nbody\0"), ..email() };
    let raw = compose(&composer(None), &hostile);
    let message = MessageParser::default().parse(&raw).unwrap();
    assert!(message.bcc().is_none());
    assert_eq!(message.subject(), Some("Hello Bcc: eve@example.com body"));
}

#[test]
fn keeps_title_in_any_script() {
    let title = "Bücher zurückbringen 📚 返却";
    let raw = compose(&composer(None), &Email { title: Some(title), ..email() });
    assert!(raw.is_ascii());
    assert_eq!(MessageParser::default().parse(&raw).unwrap().subject(), Some(title));
}

#[test]
fn escapes_user_text_in_html() {
    let hostile = Email {
        title: Some("<script>alert(1)</script>"),
        message: "<img src=x onerror=alert(1)> & more",
        url: Some("https://example.com/\"><script>"),
        ..email()
    };
    let RenderedEmail { text, html, .. } = composer(None).write(&hostile).unwrap();
    assert!(!html.contains("<script>") && !html.contains("<img"));
    assert!(html.contains("&lt;img src=x onerror=alert(1)&gt; &amp; more"));
    assert!(text.contains("<img src=x onerror=alert(1)> & more"));
}

#[test]
fn loads_nothing_external_and_sets_language() {
    let html = composer(None).write(&email()).unwrap().html;
    for external in [" src=", "url(", "@import", "<link", "<img", "<script"] {
        assert!(!html.contains(external), "{external}");
    }
    assert_eq!(
        html.matches("<table").count(),
        html.matches("<table role=\"presentation\"").count()
    );
    assert!(
        html.contains("<html lang=\"en\" dir=\"ltr\">") && html.contains("name=\"color-scheme\"")
    );
}

#[test]
fn links_only_web_urls() {
    let script = Email { url: Some("javascript:alert(1)"), ..email() };
    let RenderedEmail { text, html, .. } = composer(None).write(&script).unwrap();
    assert!(!text.contains("javascript:") && !html.contains("javascript:"));
}

#[test]
fn truncates_long_subject() {
    assert_eq!(subject(&"ä".repeat(500)).chars().count(), LONGEST_SUBJECT + 1);
}

#[test]
fn writes_date_in_language_of_reader() {
    let german = Email { locale: Some("de-AT"), title: None, ..email() };
    let RenderedEmail { subject, text, html } = composer(None).write(&german).unwrap();
    assert_eq!(subject, "Erinnerung");
    assert!(
        text.starts_with("Erinnerung\nFreitag, 3. Oktober 2025 um 09:30 (Europe/Berlin)\n"),
        "{text}"
    );
    assert!(
        html.contains("<html lang=\"de\" dir=\"ltr\">") && html.contains(">Link öffnen</a>"),
        "{html}"
    );
}

proptest! {
    #[test]
    fn adds_no_header_for_any_text(
        title in "[\\PC\\r\\n\\t:@<>,;\\x00-\\x1f]{0,300}",
        message in "[\\PC\\r\\n.]{1,100}",
    ) {
        let email = Email { title: Some(&title), message: &message, ..email() };
        let raw = compose(&composer(None), &email);
        let mail = MessageParser::default().parse(&raw).unwrap();
        let mut headers: Vec<_> =
            mail.headers().iter().map(|header| header.name().to_owned()).collect();
        headers.sort();
        let expected = [
            "Auto-Submitted",
            "Content-Type",
            "Date",
            "From",
            "MIME-Version",
            "Message-ID",
            "Subject",
            "To",
        ];
        prop_assert_eq!(headers, expected);
    }
}

#[test]
fn keeps_header_lines_short_when_text_is_long() {
    let to = format!("{}@{}.example", "a".repeat(64), "b".repeat(63));
    for title in
        ["a".repeat(2_000), "a ".repeat(1_000), "😀".repeat(2_000), "\u{202e}ä".repeat(1_000)]
    {
        let raw = compose(&composer(None), &Email { title: Some(&title), to: &to, ..email() });
        // RFC 5322, section 2.1.1: a line has at most 998 characters.
        assert!(raw.split(|byte| *byte == b'\n').all(|line| line.len() <= 999));
        let message = MessageParser::default().parse(&raw).unwrap();
        let subject = message.subject().unwrap();
        assert!(
            subject.chars().count() <= LONGEST_SUBJECT + 1 && subject.ends_with('…'),
            "{subject}"
        );
    }
}

/// Case M4.
#[test]
fn keeps_lines_short_and_text_whole_m4() {
    let (letters, others, title) = ("ü".repeat(2_000), "x".repeat(2_000), "漢".repeat(200));
    for message in [letters.as_str(), &others, "before\n.\nafter", "."] {
        let raw = compose(&composer(None), &Email { title: Some(&title), message, ..email() });
        assert!(longest_line(&raw) <= 998, "RFC 5322, section 2.1.1");
        let mail = MessageParser::default().parse(&raw).unwrap();
        let encoded = mail.parts.iter().filter(|part| part.encoding != Encoding::None);
        for part in encoded {
            let body = &raw[part.offset_body as usize..part.offset_end as usize];
            assert!(longest_line(body) <= 76, "RFC 2045, section 6.7");
        }
        let source = str::from_utf8(&raw).unwrap();
        let words = source.split_ascii_whitespace().filter(|word| word.starts_with("=?"));
        assert!(words.clone().count() > 1 && words.clone().all(|word| word.len() <= 75));
        assert_eq!(mail.subject(), Some(&*title));
        let text = mail.body_text(0).unwrap().replace("\r\n", "\n");
        assert!(text.lines().collect::<Vec<_>>().join("\n").contains(message), "{text}");
        let html = mail.body_html(0).unwrap();
        assert!(message.lines().all(|line| html.contains(line)), "{html}");
    }
}

fn longest_line(source: &[u8]) -> usize {
    let lines = source.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    lines.map(<[u8]>::len).max().unwrap_or_default()
}
