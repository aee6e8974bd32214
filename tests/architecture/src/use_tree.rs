//! Names that a `use` declaration brings into scope.

use proc_macro2::{Delimiter, TokenTree};

use crate::tokens::{is_path_separator, is_punct, name_of};

/// Leaf of the tree of a `use` declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Import {
    /// Segments of the imported path. The first is empty if the path starts with `::`.
    pub path: Vec<String>,
    /// Name in scope; `None` for a glob, which brings all names of the path into scope.
    pub name: Option<String>,
    /// Line of the last segment.
    pub line: usize,
}

/// Reads the tokens between `use` and its semicolon.
pub(crate) fn imports(tokens: &[TokenTree]) -> Vec<Import> {
    let mut found = Vec::new();
    read_tree(tokens, &[], &mut found);
    found
}

fn read_tree(tokens: &[TokenTree], prefix: &[String], found: &mut Vec<Import>) {
    let mut path = prefix.to_vec();
    let mut line = 0;
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        line = token.span().start().line;
        match token {
            _ if is_path_separator(&tokens[at..]) => {
                if path.is_empty() && at == 0 {
                    path.push(String::new());
                }
                at += 1;
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                for branch in inner.split(|token| is_punct(token, ',')) {
                    read_tree(branch, &path, found);
                }
                return;
            }
            TokenTree::Punct(punct) if punct.as_char() == '*' => {
                found.push(Import { path, name: None, line });
                return;
            }
            TokenTree::Ident(ident) if ident == "as" => {
                let name = tokens.get(at + 1).and_then(name_of);
                found.push(Import { path, name: name.or(Some("_".to_owned())), line });
                return;
            }
            TokenTree::Ident(ident) if ident == "self" && !path.is_empty() => {}
            _ => path.extend(name_of(token)),
        }
        at += 1;
    }
    if line > 0 {
        let name = path.last().cloned();
        found.push(Import { path, name, line });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &str) -> Vec<(String, Option<String>)> {
        let tokens: Vec<TokenTree> =
            source.parse::<proc_macro2::TokenStream>().unwrap().into_iter().collect();
        imports(&tokens).into_iter().map(|found| (found.path.join("::"), found.name)).collect()
    }

    fn pair(path: &str, name: &str) -> (String, Option<String>) {
        (path.to_owned(), Some(name.to_owned()))
    }

    #[test]
    fn reads_groups_renames_and_self() {
        let found = read("a::{self, b as c, d::{e, self as f, g as _,}}");
        let expected = [
            pair("a", "a"),
            pair("a::b", "c"),
            pair("a::d::e", "e"),
            pair("a::d", "f"),
            pair("a::d::g", "_"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn reads_globs_and_single_names() {
        assert_eq!(read("super::x::*"), [("super::x".to_owned(), None)]);
        assert_eq!(read("self::x"), [pair("self::x", "x")]);
        assert_eq!(read("chrono"), [pair("chrono", "chrono")]);
    }

    #[test]
    fn marks_leading_separator() {
        assert_eq!(read("::sqlx::query"), [pair("::sqlx::query", "query")]);
        assert_eq!(read("::{a, b::c}"), [pair("::a", "a"), pair("::b::c", "c")]);
    }
}
