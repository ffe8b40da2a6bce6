//! How a byte-level tokenizer cuts text before it merges: the patterns behind the names in `tokenizer.ggml.pre`.
//!
//! The name says which tokenizer the patterns are from. A file whose name is not known here is refused: with the wrong
//! patterns a tokenizer gives other tokens than the model was trained on, and nothing else shows it.

use serde_json::{Value, json};

use crate::gguf::{GgufError, GgufFile};

/// A set of patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PreTokenizer {
    Default,
    Gpt2,
    Llama3,
    /// The patterns of [`Self::Llama3`], with merges and without a beginning.
    Dbrx,
    Qwen2,
    Gpt4o,
    Tekken,
    DeepseekLlm,
    DeepseekCoder,
    DeepseekV3,
    Starcoder,
    Falcon,
}

impl PreTokenizer {
    /// The patterns that the file names; those called `default` where it names none.
    pub(super) fn of(file: &GgufFile) -> Result<Self, GgufError> {
        let name = file.text(KEY)?.unwrap_or("default");
        let found = NAMES.iter().find(|(names, _)| names.contains(&name)).map(|(_, found)| *found);
        found.ok_or_else(|| {
            let known: Vec<&str> = NAMES.iter().flat_map(|(names, _)| names.iter().copied()).collect();
            file.wrong_text(KEY, format_args!("one of {}", known.join(", ")), &format!("{name:?}"))
        })
    }

    /// Whether a text begins with the token for it, unless the file says otherwise.
    pub(super) fn adds_begin(self) -> bool {
        matches!(self, Self::Llama3 | Self::Tekken)
    }

    /// Whether a piece that is a token as a whole is taken before any merge.
    pub(super) fn ignores_merges(self) -> bool {
        matches!(self, Self::Llama3 | Self::Tekken)
    }

    /// As `tokenizer.json` has it: cut by each pattern in turn, then bytes to letters.
    pub(super) fn json(self) -> Value {
        let split = |pattern: &&str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
        let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
        let steps: Vec<Value> = self.patterns().iter().map(split).chain([bytes]).collect();
        json!({"type": "Sequence", "pretokenizers": steps})
    }

    fn patterns(self) -> &'static [&'static str] {
        match self {
            Self::Default => &[PUNCTUATION, GPT2, r"\p{N}+", THREE_DIGITS],
            Self::Gpt2 => &[GPT2],
            Self::Llama3 | Self::Dbrx => &[LLAMA3],
            Self::Qwen2 => &[QWEN2],
            Self::Gpt4o => &[GPT4O],
            Self::Tekken => &[TEKKEN],
            Self::DeepseekLlm => &[r"[\r\n]", LETTERS, SIGNS, r"\s+$", EAST_ASIAN, r"\p{N}+"],
            Self::DeepseekCoder => &[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", EAST_ASIAN, r"\p{N}"],
            Self::DeepseekV3 => &[r"\p{N}{1,3}", CHINESE_JAPANESE, DEEPSEEK_V3],
            Self::Starcoder => &[r"\p{N}", GPT2],
            Self::Falcon => &[FALCON_PUNCTUATION, GPT2, THREE_DIGITS],
        }
    }
}

/// The name for cutting by `patterns` and by nothing else.
pub(crate) fn name(patterns: &[&str]) -> Option<&'static str> {
    let found = NAMES.iter().find(|(_, known)| known.patterns() == patterns)?;
    found.0.first().copied()
}

/// Names that share their patterns.
const NAMES: &[(&[&str], PreTokenizer)] = &[
    (&["default"], PreTokenizer::Default),
    (&["gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "gigachat", "exaone4", "mellum"], PreTokenizer::Gpt2),
    (&["llama3", "llama-v3", "llama-bpe", "falcon3", "pixtral", "lfm2"], PreTokenizer::Llama3),
    (&["dbrx", "smaug-bpe", "glm4", "chatglm-bpe"], PreTokenizer::Dbrx),
    (&["qwen2", "deepseek-r1-qwen", "stablelm2", "hunyuan", "megrez", "grok-2"], PreTokenizer::Qwen2),
    (&["gpt-4o", "llama4"], PreTokenizer::Gpt4o),
    (&["tekken"], PreTokenizer::Tekken),
    (&["deepseek-llm"], PreTokenizer::DeepseekLlm),
    (&["deepseek-coder"], PreTokenizer::DeepseekCoder),
    (&["deepseek-v3", "hunyuan-dense"], PreTokenizer::DeepseekV3),
    (&["starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b"], PreTokenizer::Starcoder),
    (&["falcon"], PreTokenizer::Falcon),
];

const KEY: &str = "tokenizer.ggml.pre";

// The patterns are part of the released tokenizers and cannot be written otherwise.

pub(crate) const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK_V3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
const CHINESE_JAPANESE: &str = "[一-龥\u{3040}-ゟ゠-ヿ]+";
const PUNCTUATION: &str = r"[\p{P}\$\+<=>\^~\|]+";
const FALCON_PUNCTUATION: &str = r"[\p{P}\$\+<=>\^~\|`]+";
const THREE_DIGITS: &str = "[0-9][0-9][0-9]";
const EAST_ASIAN: &str = "[一-龥ࠀ-一가-\u{d7ff}]+";
const SIGNS: &str = r"\s?[!-/:-~！-／：-～‘-‟　-。]+";
const LETTERS: &str = concat!(
    "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u{1f7d}ᾀ-ᾴᾶ-ᾼ",
    "\u{1fbe}ῂ-ῄῆ-ῌῐ-\u{1fd3}ῖ-\u{1fdb}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u{2126}ℨ\u{212a}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿ",
    "ﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+",
);
