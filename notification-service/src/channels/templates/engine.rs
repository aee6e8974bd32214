//! Template engine: strict, without access to files, and with escaping in HTML that templates
//! cannot disable.

use minijinja::{
    AutoEscape, Environment, Error, Output, State, UndefinedBehavior, Value, escape_formatter,
};

/// Instructions that a template of a folder may execute for a message: about ten milliseconds.
pub(super) const FUEL: u64 = 200_000;

/// Returns the environment of the built-in templates.
pub(super) fn built_in() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_formatter(write_value);
    environment
}

/// Returns the environment of the templates of a folder.
pub(super) fn custom() -> Environment<'static> {
    let mut environment = built_in();
    environment.set_fuel(Some(FUEL));
    environment.remove_filter("safe");
    environment
}

/// Writes a value into a template. Escapes only the characters that have a meaning in HTML:
/// minijinja's escaping also turns every slash of a link into an entity, which some mail scanners
/// do not recognise as a link.
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
