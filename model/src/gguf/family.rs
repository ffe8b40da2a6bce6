//! The families of models, as `general.architecture` has them.

use crate::gguf::{GgufError, GgufModel};

/// A family of models that this engine can have from a GGUF file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Llama,
    Qwen2Moe,
    Qwen3Moe,
    Olmoe,
    GptOss,
    Deepseek2,
}

impl Family {
    const ALL: [Self; 6] = [Self::Llama, Self::Qwen2Moe, Self::Qwen3Moe, Self::Olmoe, Self::GptOss, Self::Deepseek2];

    pub(crate) fn of(model: &GgufModel) -> Result<Self, GgufError> {
        let file = model.first();
        let supported = || Self::ALL.map(Self::name).join(", ");
        let name = file.text(KEY)?.ok_or_else(|| file.no_key(KEY, &format!("one of {}", supported())))?;
        let found = Self::ALL.into_iter().find(|family| family.name() == name);
        found.ok_or_else(|| file.wrong_text(KEY, format_args!("one of {}", supported()), &format!("{name:?}")))
    }

    /// As `general.architecture` spells it, and as its keys begin.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2Moe => "qwen2moe",
            Self::Qwen3Moe => "qwen3moe",
            Self::Olmoe => "olmoe",
            Self::GptOss => "gpt-oss",
            Self::Deepseek2 => "deepseek2",
        }
    }

    /// Whether the rotary embedding turns neighbours, for which the file's rows are in order, and not halves.
    pub(super) fn turns_neighbours(self) -> bool {
        matches!(self, Self::Llama | Self::Deepseek2)
    }
}

const KEY: &str = "general.architecture";
