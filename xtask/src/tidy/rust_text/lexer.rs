//! Blanks comments and strings, so that what is left can be searched for words and brackets.

/// The source with every comment turned into spaces and every string or character content into underscores.
///
/// Line breaks stay, so line numbers do too.
pub fn mask(source: &str) -> String {
    let mut lexer = Lexer { chars: source.chars().collect(), at: 0, out: String::with_capacity(source.len()) };
    while lexer.at < lexer.chars.len() {
        lexer.step();
    }
    lexer.out
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    out: String,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn step(&mut self) {
        match (self.peek(0), self.peek(1)) {
            ('/', '/') => self.line_comment(),
            ('/', '*') => self.block_comment(),
            ('r', '"' | '#') if self.starts_token() => self.raw_string(),
            ('"', _) => self.quoted('"'),
            ('\'', '\\') => self.quoted('\''),
            ('\'', _) if self.peek(2) == '\'' => self.quoted('\''),
            _ => self.keep(1),
        }
    }

    /// Whether the `r` here can open a raw string: nothing before it but `b` or `c` belongs to the same word.
    fn starts_token(&self) -> bool {
        let before: Vec<char> = self.chars[..self.at].iter().rev().take(2).copied().collect();
        let word = |c: &char| c.is_alphanumeric() || *c == '_';
        match before[..] {
            ['b' | 'c', further] => !word(&further),
            ['b' | 'c'] => true,
            [c, ..] => !word(&c),
            [] => true,
        }
    }

    fn keep(&mut self, count: usize) {
        let end = (self.at + count).min(self.chars.len());
        self.out.extend(&self.chars[self.at..end]);
        self.at = end;
    }

    fn blank(&mut self, count: usize, with: char) {
        let end = (self.at + count).min(self.chars.len());
        self.out.extend(self.chars[self.at..end].iter().map(|&c| if c == '\n' { '\n' } else { with }));
        self.at = end;
    }

    fn line_comment(&mut self) {
        while self.at < self.chars.len() && self.peek(0) != '\n' {
            self.blank(1, ' ');
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.chars.len() {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => depth += 1,
                ('*', '/') => depth -= 1,
                _ => {
                    self.blank(1, ' ');
                    continue;
                }
            }
            self.blank(2, ' ');
            if depth == 0 {
                return;
            }
        }
    }

    /// A string or character with escapes, from quote to quote.
    fn quoted(&mut self, quote: char) {
        self.keep(1);
        while self.at < self.chars.len() && self.peek(0) != quote {
            let escaped = if self.peek(0) == '\\' { 2 } else { 1 };
            self.blank(escaped, '_');
        }
        self.keep(1);
    }

    /// `r"…"`, `r#"…"#` and so on; `r#name` is an identifier and stays.
    fn raw_string(&mut self) {
        let hashes = self.chars[self.at + 1..].iter().take_while(|c| **c == '#').count();
        if self.peek(1 + hashes) != '"' {
            return self.keep(1 + hashes);
        }
        self.keep(2 + hashes);
        while self.at < self.chars.len() && !self.closes_raw(hashes) {
            self.blank(1, '_');
        }
        self.keep(1 + hashes);
    }

    fn closes_raw(&self, hashes: usize) -> bool {
        self.peek(0) == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == '#')
    }
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn comments_and_strings_are_blanked() {
        for (source, expected) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("{ \" }")"#, r#"f("______")"#),
            ("r\"\\\" x", "r\"_\" x"),
            ("br##\"a\"# b\"## c", "br##\"_____\"## c"),
            ("r#type x", "r#type x"),
            ("for_r \"a\"", "for_r \"_\""),
            ("'{' '\\'' '\\u{1F}'", "'_' '__' '______'"),
            ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
            ("\"a\nb\"", "\"_\n_\""),
            ("\"open", "\"____"),
        ] {
            assert_eq!(mask(source), expected, "{source}");
        }
    }
}
