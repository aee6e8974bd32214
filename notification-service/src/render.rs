//! Command `render`: writes sample messages to files, so that templates can be reviewed before use.
//!
//! Needs only the templates: no database, bus or provider.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use chrono::TimeDelta;
use contract::Priority;
use env_config::Env;
use icu_locale_core::Locale;
use minijinja::context;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    channels::{
        push::{self, Push},
        templates::{Notice, Part, Sample, Templates, Texts, UNSUBSCRIBE_URL, samples},
    },
    config::read_templates,
    domain::device::DeviceType,
};

/// Page that shows all samples.
const INDEX: &str = include_str!("render/index.html");

/// Writes sample e-mails and pushes in every language to files
#[derive(Debug, Clone, clap::Parser)]
#[command(
    name = "render",
    after_help = "Needs no database, bus or provider. \
        TEMPLATES_DIR names the folder of templates to render."
)]
pub struct Arguments {
    /// Target folder, created if it does not exist
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Only this locale (BCP 47), may be repeated; all languages by default
    #[arg(long = "locale", value_name = "TAG")]
    pub locales: Vec<Locale>,
}

/// Renders the samples and prints the path of the page.
///
/// # Errors
/// If the templates are broken (a report), or if a file cannot be written.
pub fn run(arguments: &Arguments, env: &dyn Env) -> anyhow::Result<()> {
    let templates = env_config::read(env, read_templates)?;
    let locales = if arguments.locales.is_empty() {
        templates.languages().map(str::to_owned).collect()
    } else {
        arguments.locales.iter().map(Locale::to_string).collect::<Vec<_>>()
    };
    let index = write(&templates, &locales, &arguments.to)?;
    println!("rendered {} locales; open {}", locales.len(), index.display());
    Ok(())
}

/// Writes a folder for each locale, and a page that shows all of them. Returns the path of the
/// page.
fn write(templates: &Templates, locales: &[String], to: &Path) -> anyhow::Result<PathBuf> {
    let mut sections = Vec::new();
    for locale in locales {
        let folder = to.join(locale);
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let shown = samples()
            .iter()
            .map(|sample| RenderedSample::of(templates, locale, sample))
            .collect::<Result<Vec<_>, _>>()?;
        for sample in &shown {
            sample
                .files()
                .into_iter()
                .try_for_each(|(name, text)| write_file(&folder.join(name), text))?;
        }
        sections.push(Section {
            locale,
            language: templates.for_locale(Some(locale)).language(),
            samples: shown,
        });
    }
    let mut page = minijinja::Environment::new();
    page.add_template("index.html", INDEX)?;
    let page = page.get_template("index.html")?.render(context! { sections })?;
    let index = to.join("index.html");
    write_file(&index, &page)?;
    Ok(index)
}

fn write_file(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Section of a locale on the page.
#[derive(Serialize)]
struct Section<'a> {
    locale: &'a str,
    language: &'a str,
    samples: Vec<RenderedSample>,
}

/// Sample as its reader would receive it.
#[derive(Serialize)]
struct RenderedSample {
    name: &'static str,
    subject: String,
    text: String,
    html: String,
    light: String,
    dark: String,
    push: String,
    push_title: String,
    push_body: String,
}

impl RenderedSample {
    fn of(templates: &Templates, locale: &str, sample: &Sample) -> anyhow::Result<Self> {
        let notice = Notice { locale: Some(locale), ..sample.notice };
        let texts = templates.texts(&notice, Some(UNSUBSCRIBE_URL));
        let html = texts.render(Part::EmailHtml)?;
        let push: Value = serde_json::from_slice(&fcm_request(&notice, &texts))?;
        let shown = |field: &str| {
            push["message"]["notification"][field].as_str().unwrap_or_default().to_owned()
        };
        Ok(Self {
            name: sample.name,
            subject: texts.render(Part::EmailSubject)?,
            text: texts.render(Part::EmailText)?,
            light: with_color_scheme(&html, "light"),
            dark: with_color_scheme(&html, "dark"),
            html,
            push_title: shown("title"),
            push_body: shown("body"),
            push: serde_json::to_string_pretty(&push)?,
        })
    }

    fn files(&self) -> [(String, &str); 4] {
        [
            (format!("{}.subject.txt", self.name), self.subject.as_str()),
            (format!("{}.txt", self.name), &self.text),
            (format!("{}.html", self.name), &self.html),
            (format!("{}.push.json", self.name), &self.push),
        ]
    }
}

/// Returns the FCM request for an Android phone.
fn fcm_request(notice: &Notice<'_>, texts: &Texts<'_>) -> bytes::Bytes {
    let push = Push {
        occurrence_id: Uuid::nil(),
        source: "reminder",
        item_id: "0000000000000000",
        title: notice.title,
        message: notice.message,
        url: notice.url,
        data: &Default::default(),
        priority: Priority::Normal,
        date: notice.date,
        time_zone: notice.time_zone,
        expires_at: notice.date + TimeDelta::days(1),
        locale: notice.locale,
    };
    let text = texts.push(notice.message);
    push::request_body("DEVICE-TOKEN", DeviceType::Android, &push, text, notice.date)
}

/// Returns the HTML of an e-mail in one colour scheme, independent of the viewer's preference.
fn with_color_scheme(html: &str, scheme: &str) -> String {
    ["light", "dark"].into_iter().fold(html.to_owned(), |html, preferred| {
        let query = if preferred == scheme { "all" } else { "not all" };
        html.replace(&format!("(prefers-color-scheme: {preferred})"), query)
    })
}
