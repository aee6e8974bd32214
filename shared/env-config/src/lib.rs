//! Configuration: read once, in `main`, from the environment and parsed into types. One report
//! names every fault, and never prints a value.
//!
//! Any variable `X` may be given as `X_FILE=/path` instead, as for mounted Secrets.

mod app_env;
mod live;
mod reader;
mod report;
pub mod secret_file;

pub use app_env::AppEnv;
pub use live::LiveSecret;
pub use reader::{Env, ProcessEnv, Reader};
pub use report::{Fault, Report, Setting};

/// Reads a configuration.
///
/// # Errors
/// A [`Report`] that names every missing or malformed variable.
pub fn read<C>(
    env: &dyn Env,
    parse: impl FnOnce(&mut Reader<'_>) -> Option<C>,
) -> Result<C, Report> {
    let mut reader = Reader::new(env);
    let config = parse(&mut reader);
    let report = reader.into_report();
    match config {
        Some(config) if report.faults.is_empty() => Ok(config),
        _ => Err(report),
    }
}

/// Lists every variable that a configuration reads, even if the environment is incomplete.
pub fn list<C>(env: &dyn Env, parse: impl FnOnce(&mut Reader<'_>) -> Option<C>) -> Report {
    let mut reader = Reader::new(env);
    let _ = parse(&mut reader);
    reader.into_report()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn two(reader: &mut Reader<'_>) -> Option<(u16, String)> {
        let port = reader.or("PORT", "the port", 3000);
        let name = reader.required("NAME", "the name");
        Some((port?, name?))
    }

    #[test]
    fn parses_complete_environment_with_defaults() {
        assert_eq!(read(&env(&[("NAME", "a")]), two).ok(), Some((3000, "a".to_owned())));
    }

    #[test]
    fn reports_every_fault_without_values() {
        let report = read(&env(&[("PORT", "s3cret")]), two).expect_err("two faults");
        let text = report.to_string();
        assert!(text.contains("PORT") && text.contains("NAME"), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
    }

    #[test]
    fn reads_value_from_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("name");
        std::fs::write(&path, "from the file\n").expect("written");
        let read = read(&env(&[("NAME_FILE", path.to_str().expect("utf-8"))]), two);
        assert_eq!(read.ok().map(|(_, name)| name).as_deref(), Some("from the file"));
    }

    #[test]
    fn refuses_value_beside_file() {
        let report =
            read(&env(&[("NAME", "a"), ("NAME_FILE", "/nowhere")]), two).expect_err("ambiguous");
        assert!(report.to_string().contains("NAME_FILE"));
    }

    #[test]
    fn lists_variables_of_incomplete_environment() {
        let names: Vec<_> =
            list(&env(&[]), two).settings.iter().map(|setting| setting.name).collect();
        assert_eq!(names, ["PORT", "NAME"]);
    }
}
