use super::*;
use proptest::prelude::*;
use std::{fs, sync::LazyLock};
use tempfile::TempDir;

static OURS: LazyLock<Templates> = LazyLock::new(|| Templates::built_in().unwrap());

fn notice() -> Notice<'static> {
    Notice { title: None, ..samples()[0].notice }
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn loaded(files: &[(&str, &str)]) -> Templates {
    Templates::load(folder(files).path()).unwrap()
}

fn faults(files: &[(&str, &str)]) -> Vec<String> {
    let faults = Templates::load(folder(files).path()).unwrap_err();
    faults.to_string().lines().skip(1).map(|line| line.trim().to_owned()).collect()
}

fn rendered(templates: &Templates, part: Part, locale: &str) -> String {
    templates.texts(&Notice { locale: Some(locale), ..notice() }, None).render(part).unwrap()
}

#[test]
fn renders_golden_file_of_each_language() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/languages");
    for tag in OURS.languages().chain(["en-GB", "de-AT", "fr-CA"]) {
        let texts = OURS.texts(&Notice { locale: Some(tag), ..notice() }, Some(UNSUBSCRIBE_URL));
        let [subject, text] =
            [Part::EmailSubject, Part::EmailText].map(|part| texts.render(part).unwrap());
        let expected = fs::read_to_string(golden.join(format!("{tag}.txt"))).unwrap();
        assert_eq!(format!("Subject: {subject}\n\n{text}\n"), expected, "{tag}");
        let push = texts.push("Water");
        assert_eq!((&push.title, &*push.body), (&subject, notice().message), "{tag}");
    }
}

#[test]
fn falls_back_on_english_when_locale_is_unknown() {
    for locale in [None, Some("tlh"), Some(""), Some("x-y"), Some("no locale"), Some("und")] {
        let localized = OURS.for_locale(locale);
        assert_eq!((localized.language(), localized.title(None)), ("en", "Reminder"), "{locale:?}");
        assert_eq!(
            localized.write(notice().date, time_zone::Zone::UTC).phrase,
            "Friday, 3 October 2025 at 07:30 (UTC)"
        );
    }
    for (locale, language) in [
        ("EN-us", "en"),
        ("de-1996", "de"),
        ("pt-PT", "pt-PT"),
        ("pt-BR", "pt"),
        ("ja-Jpan-JP", "ja"),
    ] {
        assert_eq!(OURS.for_locale(Some(locale)).language(), language, "{locale}");
    }
}

#[test]
fn prefers_language_over_general_over_built_in() {
    let templates = loaded(&[
        ("email.subject.txt", "all: {{ title }}"),
        ("de/email.subject.txt", "de: {{ title }}"),
        ("de-AT/email.subject.txt", "at: {{ title }}"),
        ("de/words.json", r#"{"reminder": "Denk dran"}"#),
    ]);
    let subject = |locale| rendered(&templates, Part::EmailSubject, locale);
    assert_eq!(subject("de-AT"), "at: Denk dran");
    assert_eq!(subject("de-CH"), "de: Denk dran");
    assert_eq!(subject("fr"), "all: Rappel");
    assert_eq!(
        rendered(&templates, Part::EmailText, "de"),
        rendered(&OURS, Part::EmailText, "de").replace("Erinnerung\n", "Denk dran\n")
    );
}

#[test]
fn adds_language_of_folder() {
    let words = r#"{"reminder": "تذكير", "openLink": "فتح الرابط", "why": "لأنك أنشأت تذكيرًا.",
        "unsubscribe": "إلغاء", "direction": "rtl"}"#;
    let html = rendered(&loaded(&[("ar/words.json", words)]), Part::EmailHtml, "ar-EG");
    assert!(
        html.contains(r#"<html lang="ar" dir="rtl">"#) && html.contains("فتح الرابط"),
        "{html}"
    );
    assert_eq!(
        faults(&[("sv/words.json", r#"{"reminder": "Påminnelse"}"#)]),
        ["sv/words.json: a new language needs `openLink`, `why`, `unsubscribe`"]
    );
}

#[test]
fn renders_time_in_push() {
    let templates =
        loaded(&[("push.body.txt", "{{ time }}, {{ date }} ({{ timeZone }}): {{ message }}\n\n")]);
    let push = templates.texts(&Notice { locale: Some("en-US"), ..notice() }, None).push("");
    assert!(
        push.body.starts_with("9:30 AM, Friday, October 3, 2025 (Europe/Berlin): Dr. Lang"),
        "{}",
        push.body
    );
}

#[test]
fn names_file_and_line_of_each_fault() {
    let found = faults(&[
        ("email.html", "<p>\n{{ message }\n</p>"),
        ("email.txt", "{{ message }}\n{% if url %}\n{{ titel }} {{ words.opnLink }}{% endif %}"),
        ("de/push.body.txt", "{{ message | shout }}"),
        ("de/words.json", "{\n\"remindr\": \"x\"\n}"),
        ("fr/push.title.txt", "{# nothing #}"),
        ("fr/mail.html", ""),
        ("readme.md", ""),
        ("pt_br/email.txt", "{{ message }}"),
        (".hidden/email.txt", "{{ nobody }}"),
    ]);
    let begins = [
        "de/words.json:2: unknown field `remindr`",
        "email.html:2: syntax error",
        "email.txt:3: there is no variable `titel`",
        "email.txt:3: there is no variable `words.opnLink`",
        "fr/mail.html: is not a known file",
        "pt_br: is not a BCP 47 language tag",
        "readme.md: is not a known file",
    ];
    assert_eq!(found.len(), begins.len(), "{found:#?}");
    found
        .iter()
        .zip(begins)
        .for_each(|(found, begin)| assert!(found.starts_with(begin), "{found}"));
}

#[test]
fn finds_faults_that_appear_when_rendered() {
    assert_eq!(
        faults(&[("de/push.body.txt", "\n{{ message | shout }}")]),
        ["de/push.body.txt:2: unknown filter: filter shout is unknown"]
    );
    assert_eq!(
        faults(&[("push.title.txt", "{# nothing #}")]),
        ["push.title.txt: renders to nothing"]
    );
    let endless = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
    assert_eq!(
        faults(&[("email.txt", endless)]),
        ["email.txt:1: it does not end within 200000 steps"]
    );
}

#[test]
fn rejects_tags_that_include_or_disable_escaping() {
    for tag in [
        "include 'email.txt'",
        "- extends \"/etc/passwd\"",
        "autoescape false",
        "from 'email.txt' import x",
    ] {
        let found = faults(&[(
            "email.html",
            &format!("\n{{%{tag}%}}{{{{ message }}}}{{% endautoescape %}}"),
        )]);
        assert!(found.iter().all(|fault| fault.starts_with("email.html:2: ")), "{found:?}");
    }
    assert_eq!(
        faults(&[("email.html", "{{ message | safe }}")]),
        ["email.html:1: unknown filter: filter safe is unknown"]
    );
}

#[test]
fn reports_files_that_cannot_be_read() {
    let missing = Templates::load(Path::new("/nowhere/at/all")).unwrap_err();
    assert!(missing.to_string().contains(".: cannot be read: entity not found"), "{missing}");
    let folder = folder(&[]);
    fs::write(folder.path().join("email.txt"), [0xff, 0xfe]).unwrap();
    fs::write(folder.path().join("email.html"), vec![b'x'; 300 * 1024]).unwrap();
    let text = Templates::load(folder.path()).unwrap_err().to_string();
    assert!(
        text.contains("email.txt: is not UTF-8") && text.contains("email.html: is larger"),
        "{text}"
    );
}

#[test]
fn uses_built_in_template_when_own_fails() {
    let templates =
        loaded(&[("email.txt", "{% if message == 'x' %}{{ message | int }}{% endif %}own")]);
    assert_eq!(rendered(&templates, Part::EmailText, "en"), "own");
    let broken = Notice { message: "x", ..notice() };
    let text =
        |templates: &Templates| templates.texts(&broken, None).render(Part::EmailText).unwrap();
    assert_eq!(text(&templates), text(&OURS));
}

/// Characters that form HTML markup.
fn markup(html: &str) -> Vec<char> {
    html.chars().filter(|character| matches!(character, '<' | '>' | '"' | '\'')).collect()
}

proptest! {
    #[test]
    fn escapes_any_text_in_html(
        title in prop::option::of("[\\PC<>\"'&{}%]{0,40}"),
        message in "[\\PC<>\"'&{}%]{1,80}",
        path in "[\\PC<>\"'&{}%]{0,40}",
    ) {
        static OWN: LazyLock<Templates> = LazyLock::new(|| {
            let template = "{{ message | replace('a', title) }}\
                <a title=\"{{ title | e }}\" href='{{ url }}'>{{ words.openLink | upper }}</a>";
            loaded(&[("email.html", template)])
        });
        let url = format!("https://example.com/{path}");
        let title = title.as_deref();
        let hostile = Notice { title, message: &message, url: Some(&url), ..notice() };
        let url = "https://example.com/";
        let harmless = Notice { title: None, message: "m", url: Some(url), ..notice() };
        for templates in [&*OURS, &*OWN] {
            let html = |notice| templates.texts(notice, None).render(Part::EmailHtml).unwrap();
            prop_assert_eq!(markup(&html(&hostile)), markup(&html(&harmless)));
        }
    }
}
