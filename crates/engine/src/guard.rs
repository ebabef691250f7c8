//! The guard in front of Cedar's parser, whose recursion follows the text: 1 KB of nested parentheses
//! ends the process on a 2 MB stack, and long operator chains do so when a policy is serialised.

use crate::finding::{Finding, Rule};

/// Levels of brackets a source may nest.
pub const MAX_NESTING: usize = 64;
/// Operator characters and `if`s one policy may hold.
pub const MAX_OPERATORS: usize = 400;
/// Bytes of one policy.
pub const MAX_POLICY_BYTES: usize = 32 * 1024;
/// Bytes of one source.
pub const MAX_SOURCE_BYTES: usize = 4 * 1024 * 1024;

/// Accepts a source that Cedar can parse within a known stack.
pub(crate) fn check(source: (&str, &str)) -> Result<(), Vec<Finding>> {
    let (_, text) = source;
    if text.len() > MAX_SOURCE_BYTES {
        let message = format!("{} bytes; the limit of one file is {MAX_SOURCE_BYTES}", text.len());
        let help = Some("split it into several files".into());
        return Err(vec![Finding::whole(source, Rule::Size, message, help)]);
    }
    let mut statement = Statement::default();
    let mut scan = Scan::new(text);
    while let Some((at, token)) = scan.next() {
        if let Some((message, help)) = statement.take(at, token) {
            return Err(vec![Finding::at(source, (at, 1), Rule::Size, message, Some(help.into()))]);
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Token {
    Open,
    Close,
    Operator,
    End,
    Other,
}

#[derive(Default)]
struct Statement {
    start: usize,
    depth: usize,
    operators: usize,
}

impl Statement {
    fn take(&mut self, at: usize, token: Token) -> Option<(String, &'static str)> {
        match token {
            Token::Open => self.depth += 1,
            Token::Close => self.depth = self.depth.saturating_sub(1),
            Token::Operator => self.operators += 1,
            // A schema ends its declarations inside the braces of a namespace; the depth goes on.
            Token::End => *self = Self { start: at, depth: self.depth, ..Self::default() },
            Token::Other => {}
        }
        if self.depth > MAX_NESTING {
            return Some((format!("brackets nest more than {MAX_NESTING} levels deep"), "flatten the expression"));
        }
        if self.operators > MAX_OPERATORS {
            let message = format!("one policy holds more than {MAX_OPERATORS} operators");
            return Some((message, "split it into several policies, or move the data into attributes or groups"));
        }
        (at - self.start > MAX_POLICY_BYTES)
            .then(|| (format!("one policy is longer than {MAX_POLICY_BYTES} bytes"), "split it into several policies"))
    }
}

/// Tokens outside strings and comments, with their byte offsets.
struct Scan<'a> {
    chars: std::iter::Peekable<std::str::CharIndices<'a>>,
    previous: char,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Self {
        Self { chars: text.char_indices().peekable(), previous: ' ' }
    }

    fn next(&mut self) -> Option<(usize, Token)> {
        let (at, c) = self.chars.next()?;
        let token = match c {
            '(' | '[' | '{' => Token::Open,
            ')' | ']' | '}' => Token::Close,
            ';' => Token::End,
            '"' => self.skip_string(),
            '/' if self.peek() == Some('/') => self.skip_line(),
            '&' | '|' | '+' | '-' | '*' | '.' | '!' | '=' | '<' | '>' => Token::Operator,
            'i' if !is_word(self.previous) && self.peek() == Some('f') => Token::Operator,
            // Clauses are joined to one expression.
            'w' if !is_word(self.previous) && self.follows("hen") => Token::Operator,
            'u' if !is_word(self.previous) && self.follows("nless") => Token::Operator,
            _ => Token::Other,
        };
        self.previous = c;
        Some((at, token))
    }

    fn peek(&mut self) -> Option<char> {
        self.chars.peek().map(|(_, c)| *c)
    }

    fn follows(&self, rest: &str) -> bool {
        let ahead: String = self.chars.clone().map(|(_, c)| c).take(rest.len()).collect();
        ahead == rest
    }

    fn skip_string(&mut self) -> Token {
        while let Some((_, c)) = self.chars.next() {
            match c {
                '"' => break,
                '\\' => drop(self.chars.next()),
                _ => {}
            }
        }
        Token::Other
    }

    fn skip_line(&mut self) -> Token {
        while self.chars.next_if(|(_, c)| *c != '\n').is_some() {}
        Token::Other
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
