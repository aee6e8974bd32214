//! Modules of one source file, and the paths that each of them names.
//!
//! The file is read by tokens, not by grammar, so that the arguments of macros count too. Code that
//! is compiled for tests only is left out.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::{
    tokens::{group_of, is_for_tests, is_path_separator, is_punct, name_of},
    use_tree::{Import, imports},
};

/// Module as its source writes it.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// Path inside of the crate; empty for the root.
    pub path: Vec<String>,
    /// Leaves of its `use` declarations, those inside of functions included.
    pub imports: Vec<Import>,
    /// Modules that it declares.
    pub children: BTreeSet<String>,
    /// Modules among them that are compiled for tests only.
    pub test_children: BTreeSet<String>,
    /// Paths with at least two segments that its code names. The first segment is empty if the path
    /// starts with `::`.
    pub paths: Vec<(Vec<String>, usize)>,
    /// Identifiers that stand alone: names that are in scope, and arguments of macros.
    pub names: BTreeSet<String>,
    /// Names of the methods that it calls without arguments.
    pub bare_calls: Vec<(String, usize)>,
}

/// Reads the module of a file, followed by those that are written inline in it.
///
/// # Errors
/// If the source is not made of Rust tokens.
pub(crate) fn parse(source: &str, path: Vec<String>) -> Result<Vec<Module>, String> {
    let tokens: TokenStream =
        source.parse().map_err(|error: proc_macro2::LexError| error.to_string())?;
    let mut reader = Reader { modules: vec![Module { path, ..Module::default() }], current: 0 };
    reader.stream(tokens);
    Ok(reader.modules)
}

struct Reader {
    modules: Vec<Module>,
    current: usize,
}

impl Reader {
    fn stream(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            let previous = at.checked_sub(1).map(|index| &tokens[index]);
            at += self.step(&tokens[at..], previous);
        }
    }

    /// Reads what the tokens start with, and returns the number of tokens read.
    fn step(&mut self, tokens: &[TokenTree], previous: Option<&TokenTree>) -> usize {
        match &tokens[0] {
            token if is_punct(token, '#') => self.attribute(tokens),
            // After a first dot, the second belongs to `..`.
            token if is_punct(token, '.') => match previous {
                Some(dot) if is_punct(dot, '.') => 1,
                _ => self.method(tokens),
            },
            _ if is_path_separator(tokens) => {
                let is_rest_of_path = previous.is_some_and(|token| {
                    is_punct(token, '>') || matches!(token, TokenTree::Group(_))
                });
                if is_rest_of_path { 2 + rest_of_path(&tokens[2..]) } else { self.path(tokens) }
            }
            TokenTree::Group(group) => {
                self.stream(group.stream());
                1
            }
            TokenTree::Ident(ident) if ident == "use" => self.declaration_of_use(tokens),
            TokenTree::Ident(ident) if ident == "mod" => self.declaration_of_module(tokens, false),
            TokenTree::Ident(_) => self.path(tokens),
            _ => 1,
        }
    }

    /// An attribute. One that compiles its item for tests only takes the item with it.
    fn attribute(&mut self, tokens: &[TokenTree]) -> usize {
        let is_inner = tokens.get(1).is_some_and(|token| is_punct(token, '!'));
        let start = if is_inner { 2 } else { 1 };
        let Some(group) = tokens.get(start..).and_then(|rest| group_of(rest, Delimiter::Bracket))
        else {
            return 1;
        };
        let length = start + 1;
        if !is_for_tests(group) {
            self.stream(group.stream());
            return length;
        }
        if is_inner {
            return tokens.len();
        }
        let item = &tokens[length..];
        let end = item.iter().position(ends_item).map_or(item.len(), |index| index + 1);
        for (index, token) in item[..end].iter().enumerate() {
            if name_of(token).is_some_and(|name| name == "mod") {
                self.declaration_of_module(&item[index..end], true);
            }
        }
        length + end
    }

    /// A call of a method, or a field.
    fn method(&mut self, tokens: &[TokenTree]) -> usize {
        let Some(name) = tokens.get(1).and_then(name_of) else {
            return 1;
        };
        let arguments = tokens.get(2..).and_then(|rest| group_of(rest, Delimiter::Parenthesis));
        if arguments.is_some_and(|group| group.stream().is_empty()) {
            let line = tokens[1].span().start().line;
            self.module().bare_calls.push((name, line));
        }
        2
    }

    fn declaration_of_use(&mut self, tokens: &[TokenTree]) -> usize {
        let end = tokens.iter().position(|token| is_punct(token, ';'));
        // `use<'a>` lists the lifetimes that a type captures.
        let Some(end) = end.filter(|_| !tokens.get(1).is_some_and(|token| is_punct(token, '<')))
        else {
            return 1;
        };
        let found = imports(&tokens[1..end]);
        self.module().imports.extend(found);
        end + 1
    }

    fn declaration_of_module(&mut self, tokens: &[TokenTree], is_test: bool) -> usize {
        let Some(name) = tokens.get(1).and_then(name_of) else {
            return 1;
        };
        let module = self.module();
        if is_test {
            module.test_children.insert(name);
            return 2;
        }
        module.children.insert(name.clone());
        let Some(body) = tokens.get(2..).and_then(|rest| group_of(rest, Delimiter::Brace)) else {
            return 2;
        };
        let path = module.path.iter().cloned().chain([name]).collect();
        let outer = self.current;
        self.current = self.modules.len();
        self.modules.push(Module { path, ..Module::default() });
        self.stream(body.stream());
        self.current = outer;
        3
    }

    /// A path, or a single identifier, which names something that is in scope already.
    fn path(&mut self, tokens: &[TokenTree]) -> usize {
        let line = tokens[0].span().start().line;
        let mut segments = Vec::new();
        let mut at = 0;
        if let Some(name) = name_of(&tokens[0]) {
            segments.push(name);
            at = 1;
        } else {
            segments.push(String::new());
        }
        while tokens.get(at..).is_some_and(is_path_separator)
            && let Some(name) = tokens.get(at + 2).and_then(name_of)
        {
            segments.push(name);
            at += 3;
        }
        if segments.len() > 1 {
            self.module().paths.push((segments, line));
        } else {
            self.module().names.extend(segments);
        }
        at.max(1)
    }

    fn module(&mut self) -> &mut Module {
        &mut self.modules[self.current]
    }
}

/// Returns whether a token is the last of an item: a semicolon or a body in braces.
fn ends_item(token: &TokenTree) -> bool {
    is_punct(token, ';')
        || matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

/// Number of tokens of the segments that follow a qualified type and its `::`.
fn rest_of_path(tokens: &[TokenTree]) -> usize {
    let is_name = |token: &TokenTree| name_of(token).is_some();
    let mut length = usize::from(tokens.first().is_some_and(is_name));
    while length > 0
        && tokens.get(length..).is_some_and(is_path_separator)
        && tokens.get(length + 2).is_some_and(is_name)
    {
        length += 3;
    }
    length
}
