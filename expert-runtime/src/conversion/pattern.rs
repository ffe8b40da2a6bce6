//! Types for tensors by name: `blk.*.ffn_down_exps.weight=q6_k`.

use std::str::FromStr;

use neuro_model::TensorType;

/// A type for all tensors whose names match a pattern. In a pattern `*` stands for any text and `?` for any character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    pattern: String,
    /// The type that they get.
    pub tensor_type: TensorType,
}

impl Override {
    /// Whether the pattern covers all of `name`.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        matches(self.pattern.as_bytes(), name.as_bytes())
    }
}

/// A text that is no override.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// There is no pattern before, or no type after, an equals sign.
    #[error("{got:?}, expected PATTERN=TYPE")]
    Form {
        /// The text.
        got: String,
    },
    /// No type is called so.
    #[error("no tensor type {got:?}; expected one of {}", TensorType::ALL.map(TensorType::name).join(", "))]
    Type {
        /// The name.
        got: String,
    },
}

impl FromStr for Override {
    type Err = OverrideError;

    fn from_str(text: &str) -> Result<Self, OverrideError> {
        let parts = text.rsplit_once('=').filter(|(pattern, _)| !pattern.is_empty());
        let (pattern, name) = parts.ok_or_else(|| OverrideError::Form { got: text.to_owned() })?;
        let tensor_type = TensorType::from_name(name).ok_or_else(|| OverrideError::Type { got: name.to_owned() })?;
        Ok(Self { pattern: pattern.to_owned(), tensor_type })
    }
}

/// Steps back only to the last star, so the time is at most the product of both lengths.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while read < name.len() {
        match (pattern.get(at), star) {
            (Some(b'*'), _) => {
                star = Some((at + 1, read));
                at += 1;
            }
            (Some(byte), _) if *byte == b'?' || *byte == name[read] => {
                at += 1;
                read += 1;
            }
            (_, Some((after, covered))) => {
                star = Some((after, covered + 1));
                at = after;
                read = covered + 1;
            }
            _ => return false,
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_whole_names() {
        let covers = |pattern: &str, name: &str| {
            format!("{pattern}=q8_0").parse::<Override>().expect("a good override").matches(name)
        };
        assert!(covers("blk.*.ffn_*_exps.weight", "blk.12.ffn_down_exps.weight"));
        assert!(covers("*", "output.weight") && covers("output.weight", "output.weight"));
        assert!(covers("blk.?.attn_q.weight", "blk.3.attn_q.weight"));
        assert!(covers("*a*b*c", "xxaxbxbxc"));
        assert!(!covers("blk.?.attn_q.weight", "blk.13.attn_q.weight"));
        assert!(!covers("output", "output.weight") && !covers("*.bias", "output.weight"));
    }

    #[test]
    fn what_is_no_override_is_refused() {
        let refused = |text: &str| text.parse::<Override>().expect_err("refused").to_string();
        assert_eq!(refused("q8_0"), "\"q8_0\", expected PATTERN=TYPE");
        assert_eq!(refused("=q8_0"), "\"=q8_0\", expected PATTERN=TYPE");
        let message =
            "no tensor type \"q9\"; expected one of f32, f16, q4_0, q8_0, q4_k, q5_k, q6_k, iq4_nl, bf16, mxfp4";
        assert_eq!(refused("*=q9"), message);
    }
}
