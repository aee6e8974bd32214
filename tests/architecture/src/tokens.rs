//! Small questions about tokens.

use proc_macro2::{Delimiter, Group, Spacing, TokenTree};

/// Returns whether a token is this punctuation character.
pub(crate) fn is_punct(token: &TokenTree, char: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == char)
}

/// Returns whether tokens start with `::`.
pub(crate) fn is_path_separator(tokens: &[TokenTree]) -> bool {
    match tokens {
        [TokenTree::Punct(first), second, ..] => {
            first.as_char() == ':' && first.spacing() == Spacing::Joint && is_punct(second, ':')
        }
        _ => false,
    }
}

/// Name of an identifier, without the prefix of a raw one.
pub(crate) fn name_of(token: &TokenTree) -> Option<String> {
    match token {
        TokenTree::Ident(ident) => {
            let text = ident.to_string();
            Some(text.strip_prefix("r#").unwrap_or(&text).to_owned())
        }
        _ => None,
    }
}

/// Group at the start of tokens, if it has this delimiter.
pub(crate) fn group_of(tokens: &[TokenTree], delimiter: Delimiter) -> Option<&Group> {
    match tokens.first()? {
        TokenTree::Group(group) if group.delimiter() == delimiter => Some(group),
        _ => None,
    }
}

/// Returns whether the tokens of an attribute compile its item for tests only: `cfg(test)`, or
/// `cfg(all(test, …))`.
pub(crate) fn is_for_tests(attribute: &Group) -> bool {
    let tokens: Vec<TokenTree> = attribute.stream().into_iter().collect();
    let is_cfg = tokens.first().and_then(name_of).is_some_and(|name| name == "cfg");
    is_cfg && group_of(&tokens[1..], Delimiter::Parenthesis).is_some_and(requires_test)
}

fn requires_test(predicate: &Group) -> bool {
    let tokens: Vec<TokenTree> = predicate.stream().into_iter().collect();
    tokens.split(|token| is_punct(token, ',')).any(|condition| {
        match condition.first().and_then(name_of).as_deref() {
            Some("test") => condition.len() == 1,
            Some("all") => {
                group_of(&condition[1..], Delimiter::Parenthesis).is_some_and(requires_test)
            }
            _ => false,
        }
    })
}
