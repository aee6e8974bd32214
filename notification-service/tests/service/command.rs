//! Command line of the binary, without database, bus and providers.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

const EXIT_CONFIG: i32 = 78;

fn run(arguments: &[&str], templates: Option<&Path>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_notification-service"));
    command.args(arguments).env_clear().envs(templates.map(|folder| ("TEMPLATES_DIR", folder)));
    command.output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn renders_every_language_without_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    let to = folder.path().join("shown");
    let output = run(&["render", "--to", to.to_str().expect("utf-8")], None);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains(&to.join("index.html").display().to_string()));
    for language in ["de", "en", "es", "fr", "hi", "ja"] {
        for file in ["reminder.html", "untitled.txt", "long.subject.txt", "right-to-left.push.json"]
        {
            assert!(
                fs::metadata(to.join(language).join(file)).is_ok_and(|metadata| metadata.len() > 0),
                "{language}/{file}"
            );
        }
    }
    let push = fs::read_to_string(to.join("ja/untitled.push.json")).expect("written");
    assert!(push.contains("\"title\": \"リマインダー\""), "{push}");
    let index = fs::read_to_string(to.join("index.html")).expect("written");
    assert_eq!(index.matches("<iframe").count(), 2 * index.matches("<section").count());
}

#[test]
fn renders_requested_locales_of_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("email.subject.txt"), "{{ time }} {{ title }}").expect("written");
    let to = tempfile::tempdir().expect("a folder");
    let to_path = to.path().to_str().expect("utf-8");
    let arguments = ["render", "--to", to_path, "--locale", "en-US", "--locale", "fr-CA"];
    assert!(run(&arguments, Some(folder.path())).status.success());
    let subject =
        |locale: &str| fs::read_to_string(to.path().join(locale).join("untitled.subject.txt"));
    assert_eq!(subject("en-US").expect("written"), "9:30 AM Reminder");
    assert_eq!(subject("fr-CA").expect("written"), "09 h 30 Rappel");
    assert!(subject("de").is_err(), "this locale was not requested");
}

#[test]
fn reports_broken_templates_in_every_command() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("email.txt"), "\n{{ nobody }}").expect("written");
    fs::write(folder.path().join("notes.txt"), "").expect("written");
    let to = folder.path().join("shown");
    let render = ["render", "--to", to.to_str().expect("utf-8")];
    for arguments in [&["serve"][..], &["config", "check"], &render] {
        let output = run(arguments, Some(folder.path()));
        let report = text(&output.stderr);
        assert_eq!(output.status.code(), Some(EXIT_CONFIG), "{arguments:?}: {report}");
        assert!(report.contains("TEMPLATES_DIR"), "{report}");
        assert!(report.contains("email.txt:2: there is no variable `nobody`"), "{report}");
        assert!(report.contains("notes.txt: is not a known file"), "{report}");
        assert!(
            !report.contains(&folder.path().display().to_string()),
            "a value is printed: {report}"
        );
    }
    assert!(!to.exists());
}

#[test]
fn distinguishes_usage_error_from_failure() {
    assert_eq!(run(&["render"], None).status.code(), Some(2));
    assert_eq!(run(&["render", "--to", "x", "--locale", "no locale"], None).status.code(), Some(2));
    assert_eq!(run(&["render", "--to", "/dev/null/x"], None).status.code(), Some(1));
    assert!(text(&run(&["--help"], None).stdout).contains("render"));
}
