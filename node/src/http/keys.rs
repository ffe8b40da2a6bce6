//! Bearer keys: who may use the API.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Bytes of a key file: some hundred keys.
const FILE_BYTES: u64 = 64 * 1024;

/// Characters of a key. Sixteen hexadecimal digits are 64 bits, the least that cannot be guessed over a network.
const KEY_CHARACTERS: usize = 16;

/// Named bearer keys. Only their hashes are kept, and nothing of them is ever printed.
#[derive(Clone)]
pub struct ApiKeys(Vec<NamedKey>);

#[derive(Clone)]
struct NamedKey {
    name: String,
    /// BLAKE3. Its comparison takes the same time wherever two hashes differ.
    hash: blake3::Hash,
}

/// A key file that cannot be used. No message holds a key.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read.
    #[error("cannot read the key file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others on this machine may read or change the file.
    #[error("the key file {} has mode {mode:04o}, open to every user; run: chmod 600 {}", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is larger than 64 KiB.
    #[error("the key file {} is larger than {FILE_BYTES} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file has no key.
    #[error("the key file {} holds no key; expected lines `name: key` or `key`", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A line that is no key.
    #[error("line {line} of the key file {}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl ApiKeys {
    /// Reads `path`: a key per line, as `name: key` or `key` alone; empty lines and lines that start with `#` are
    /// skipped. A key has at least 16 visible ASCII characters.
    ///
    /// # Errors
    /// When the file is unreadable, open to every user of the machine, too large, without a key, or has a bad line.
    pub fn from_file(path: &Path) -> Result<Self, KeysError> {
        let fail = |source| KeysError::Read { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(fail)?;
        // Asked of the open file: a path could be swapped between the two.
        check_mode(path, &file.metadata().map_err(fail)?)?;
        let mut text = String::new();
        let bytes = (&mut file).take(FILE_BYTES + 1).read_to_string(&mut text).map_err(fail)?;
        if bytes as u64 > FILE_BYTES {
            return Err(KeysError::TooLarge { path: path.to_owned() });
        }
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, KeysError> {
        let mut keys: Vec<NamedKey> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line_of_text = line.trim();
            if line_of_text.is_empty() || line_of_text.starts_with('#') {
                continue;
            }
            let bad = |problem| KeysError::Line { path: path.to_owned(), line: index + 1, problem };
            let key = NamedKey::parse(line_of_text, index + 1).map_err(bad)?;
            if keys.iter().any(|other| other.name == key.name) {
                return Err(bad("a name comes twice"));
            }
            keys.push(key);
        }
        if keys.is_empty() { Err(KeysError::Empty { path: path.to_owned() }) } else { Ok(Self(keys)) }
    }

    /// The name of the key `presented`, if it is one. Takes the same time whichever it is.
    #[must_use]
    pub fn name_of(&self, presented: &str) -> Option<&str> {
        let hash = blake3::hash(presented.as_bytes());
        self.0.iter().fold(None, |found, key| if key.hash == hash { Some(key.name.as_str()) } else { found })
    }

    /// The keys' names, as in the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|key| key.name.as_str())
    }
}

impl std::fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl NamedKey {
    fn parse(line: &str, number: usize) -> Result<Self, &'static str> {
        let (name, key) = match line.split_once(':') {
            Some((name, key)) => (name.trim().to_owned(), key.trim()),
            None => (format!("line {number}"), line),
        };
        if name.is_empty() {
            return Err("the name before the colon is empty");
        }
        if key.len() < KEY_CHARACTERS {
            return Err("a key needs at least 16 characters");
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a key consists of visible ASCII characters, without spaces");
        }
        Ok(Self { name, hash: blake3::hash(key.as_bytes()) })
    }
}

#[cfg(unix)]
fn check_mode(path: &Path, metadata: &std::fs::Metadata) -> Result<(), KeysError> {
    use std::os::unix::fs::MetadataExt;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o007 == 0 { Ok(()) } else { Err(KeysError::Exposed { path: path.to_owned(), mode }) }
}

/// Other systems' folders of a user are closed to other users by default, and have no such bits to check.
#[cfg(not(unix))]
fn check_mode(_: &Path, _: &std::fs::Metadata) -> Result<(), KeysError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ApiKeys, KeysError> {
        ApiKeys::parse(Path::new("keys"), text)
    }

    #[test]
    fn names_comments_and_bare_keys_are_read() {
        let keys = parse("# team\n\nalice: 0123456789abcdef\n  fedcba9876543210  \n").unwrap();
        assert_eq!(keys.names().collect::<Vec<_>>(), ["alice", "line 4"]);
        assert_eq!(keys.name_of("0123456789abcdef"), Some("alice"));
        assert_eq!(keys.name_of("fedcba9876543210"), Some("line 4"));
        for wrong in ["", "0123456789abcde", "0123456789abcdef ", "alice: 0123456789abcdef", "0123456789ABCDEF"] {
            assert_eq!(keys.name_of(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn bad_lines_are_named_and_keys_never_shown() {
        let cases = [
            ("short: secret", "line 1 of the key file keys: a key needs at least 16 characters"),
            ("\n: 0123456789abcdef", "line 2 of the key file keys: the name before the colon is empty"),
            ("a: 0123456789abcdef\na: 1123456789abcdef", "line 2 of the key file keys: a name comes twice"),
            (
                "a: 0123456789 abcdef",
                "line 1 of the key file keys: a key consists of visible ASCII characters, without spaces",
            ),
            ("# nothing", "the key file keys holds no key; expected lines `name: key` or `key`"),
        ];
        for (text, message) in cases {
            assert_eq!(parse(text).unwrap_err().to_string(), message);
        }
        assert_eq!(format!("{:?}", parse("a: 0123456789abcdef").unwrap()), "[\"a\"]");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_open_to_every_user_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        std::fs::write(&path, "a: 0123456789abcdef\n").unwrap();
        for (mode, accepted) in [(0o600, true), (0o640, true), (0o644, false), (0o602, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let outcome = ApiKeys::from_file(&path);
            assert_eq!(outcome.is_ok(), accepted, "{mode:o}: {outcome:?}");
            if let Err(error) = outcome {
                assert!(error.to_string().contains("chmod 600"), "{error}");
            }
        }
    }

    #[test]
    fn a_missing_and_an_oversized_file_say_so() {
        let dir = tempfile::tempdir().unwrap();
        let missing = ApiKeys::from_file(&dir.path().join("none")).unwrap_err();
        assert!(matches!(missing, KeysError::Read { .. }), "{missing}");
        let path = dir.path().join("large");
        std::fs::write(&path, "#".repeat(FILE_BYTES as usize + 1)).unwrap();
        #[cfg(unix)]
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        assert!(matches!(ApiKeys::from_file(&path), Err(KeysError::TooLarge { .. })));
    }
}
