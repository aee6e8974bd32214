//! Check of the mechanical rules of `docs/STYLE.md` on Rust sources.
//!
//! A rule stands here only if it cannot raise a false alarm; the others are left to the reviewer of
//! a change.

mod rules;

use std::fmt;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use rules::{check_doc_comment, check_identifier, check_width};

/// Breach of a rule at one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Line of the source, from 1.
    pub line: usize,
    /// Rule that the line breaks, and the replacement.
    pub rule: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.rule)
    }
}

/// Checks the source of one file and returns its findings by line.
///
/// # Errors
/// If the source is not made of Rust tokens.
pub fn check(source: &str) -> Result<Vec<Finding>, String> {
    let tokens: TokenStream =
        source.parse().map_err(|error: proc_macro2::LexError| error.to_string())?;
    let mut scan = Scan::default();
    scan.stream(tokens);
    let lines = source.lines().enumerate().map(|(index, text)| (index + 1, text));
    scan.findings.extend(lines.filter_map(|(line, text)| {
        check_width(
            text,
            scan.literals.iter().any(|(first, last)| (*first..=*last).contains(&line)),
        )
        .map(|rule| Finding { line, rule })
    }));
    scan.findings.sort();
    Ok(scan.findings)
}

/// State of a walk through the tokens of a file.
#[derive(Debug, Default)]
struct Scan {
    findings: Vec<Finding>,
    /// First and last lines of the literals that may exceed the width.
    literals: Vec<(usize, usize)>,
    /// Line that ends the doc comment seen last.
    documented: Option<usize>,
}

impl Scan {
    fn stream(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => match doc_comment(&group) {
                    Some(text) => self.doc_comment(&text, group.span().start().line),
                    None => self.stream(group.stream()),
                },
                TokenTree::Ident(ident) => {
                    let rule = check_identifier(&ident.to_string());
                    self.note(ident.span().start().line, rule);
                }
                TokenTree::Literal(literal) => {
                    let (start, end) = (literal.span().start(), literal.span().end());
                    if end.line > start.line || end.column - start.column > LONG_LITERAL {
                        self.literals.push((start.line, end.line));
                    }
                }
                TokenTree::Punct(_) => {}
            }
        }
    }

    /// Checks the first line of a doc comment; those that follow continue it.
    fn doc_comment(&mut self, text: &str, line: usize) {
        let continues = self.documented == line.checked_sub(1);
        self.documented = Some(line);
        if !continues {
            self.note(line, check_doc_comment(text));
        }
    }

    fn note(&mut self, line: usize, rule: Option<String>) {
        self.findings.extend(rule.map(|rule| Finding { line, rule }));
    }
}

/// Columns of a literal that may make its line too wide: a message or an address is not broken.
const LONG_LITERAL: usize = 60;

/// Text of a doc comment, which the lexer turns into `[doc = "…"]`.
fn doc_comment(group: &Group) -> Option<String> {
    if group.delimiter() != Delimiter::Bracket {
        return None;
    }
    let mut tokens = group.stream().into_iter();
    match (tokens.next()?, tokens.next()?, tokens.next()?) {
        (TokenTree::Ident(name), TokenTree::Punct(equals), TokenTree::Literal(text))
            if name == "doc" && equals.as_char() == '=' =>
        {
            Some(text.to_string().trim_start_matches(['r', '#', '"']).trim_start().to_owned())
        }
        _ => None,
    }
}
