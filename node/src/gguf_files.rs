//! GGUF files by their names: a model is one file, or a set of parts `NAME-00001-of-00003.gguf`.

use std::path::Path;

/// What people call the model in the file at `path`: the file's name without its ending and without the number of the
/// part. `None` for what is no GGUF file.
pub fn model_name(path: &Path) -> Option<String> {
    // The name as given, not that of the file that a link leads to: caches keep files under their hashes.
    let stem = stem(path).filter(|_| !path.is_dir())?;
    Some(part_of(stem).unwrap_or(stem).to_owned())
}

/// The name of a GGUF file without its ending.
fn stem(path: &Path) -> Option<&str> {
    let is_gguf = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
    path.file_stem().filter(|_| is_gguf)?.to_str()
}

/// The model's name, of `NAME-00001-of-00003`.
fn part_of(stem: &str) -> Option<&str> {
    let (rest, count) = stem.rsplit_once("-of-")?;
    let (name, index) = rest.rsplit_once('-')?;
    let number = |digits: &str| -> Option<u32> {
        let plain = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| plain)
    };
    let (index, count) = (number(index)?, number(count)?);
    (!name.is_empty() && (1..=count).contains(&index)).then_some(name)
}

/// Digits of the number of a part, and of their count.
const DIGITS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_called_like_its_file_without_the_number_of_the_part() {
        for (path, name) in [
            ("models/Qwen3-30B-A3B-Q4_K_M.gguf", Some("Qwen3-30B-A3B-Q4_K_M")),
            ("big-00002-of-00003.gguf", Some("big")),
            ("a-of-b-00001-of-00001.GGUF", Some("a-of-b")),
            ("one-of-00003.gguf", Some("one-of-00003")),
            ("big-2-of-3.gguf", Some("big-2-of-3")),
            ("big-00004-of-00003.gguf", Some("big-00004-of-00003")),
            ("v1.2.gguf", Some("v1.2")),
            ("folder", None),
            ("model.safetensors", None),
        ] {
            assert_eq!(model_name(Path::new(path)).as_deref(), name, "{path}");
        }
    }

    #[test]
    fn a_folder_that_looks_like_a_file_is_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("model.gguf");
        std::fs::create_dir(&folder).unwrap();
        assert_eq!(model_name(&folder), None);
    }
}
