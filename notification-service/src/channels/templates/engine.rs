//! The template engine, as templates get it: strict, without a way to files, and in HTML without a
//! way around escaping.

use minijinja::{
    AutoEscape, Environment, Error, Output, State, UndefinedBehavior, Value, escape_formatter,
};

/// Instructions that a template of a folder may take for a message: some ten milliseconds of them.
pub(super) const FUEL: u64 = 200_000;

/// For our own templates.
pub(super) fn ours() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_formatter(write_value);
    environment
}

/// For templates of a folder.
pub(super) fn custom() -> Environment<'static> {
    let mut environment = ours();
    environment.set_fuel(Some(FUEL));
    environment.remove_filter("safe");
    environment
}

/// Writes a value into a template. In HTML only what has a meaning there is escaped: minijinja's
/// own escaping turns every slash of a link into an entity too, which some mail scanners do not
/// read as a link.
fn write_value(out: &mut Output<'_>, state: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    let text = match (state.auto_escape(), value.as_str()) {
        (AutoEscape::Html, Some(text)) if !value.is_safe() => text,
        _ => return escape_formatter(out, state, value),
    };
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    Ok(out.write_str(&escaped)?)
}
