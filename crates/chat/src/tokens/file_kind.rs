//! Which kind of tokenizer file it is.
//!
//! In: bytes. Out: a [`FileKind`], told from the bytes alone, since `tokenizer.model` names files of two kinds. Whether the
//! file is whole is for its reader to find out.

use super::TokenizerError;

/// The kinds of files that tokenizers come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    /// `tokenizer.json`.
    Json,
    /// Lines of base64 and a rank.
    Tiktoken,
    /// A SentencePiece model, which is a protocol buffer.
    SentencePiece,
}

pub(super) fn kind_of(bytes: &[u8]) -> Result<FileKind, TokenizerError> {
    let unknown = |found: &str, mend| TokenizerError::UnknownKind { found: found.to_owned(), mend };
    // The first field of a model is a piece (1), a message that begins with its text (1).
    if let [0x0a, length, 0x0a, ..] = bytes
        && *length > 2
    {
        return Ok(FileKind::SentencePiece);
    }
    let text = bytes.trim_ascii_start();
    let first_line = text.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    if first_line.is_empty() {
        return Err(unknown("the file is empty", "Fetch it again"));
    }
    if matches!(text[0], b'{' | b'[') {
        return Ok(FileKind::Json);
    }
    if first_line.starts_with(b"version https://git-lfs") {
        return Err(unknown(
            "this is the pointer that Git keeps in place of a large file",
            "Run `git lfs pull` in the model's folder, or download the file itself",
        ));
    }
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let mut words = first_line.split(|byte| *byte == b' ');
    if let (Some(token), Some(rank), None) = (words.next(), words.next(), words.next())
        && !token.is_empty()
        && token.iter().all(is_base64)
        && !rank.is_empty()
        && rank.iter().all(u8::is_ascii_digit)
    {
        return Ok(FileKind::Tiktoken);
    }
    let begins: String = String::from_utf8_lossy(&bytes[..bytes.len().min(48)]).chars().take(24).collect();
    Err(unknown(&format!("it begins with {begins:?}"), "Fetch it again from where the model comes from"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_from_the_bytes() {
        assert_eq!(kind_of(b" {\"version\""), Ok(FileKind::Json));
        assert_eq!(kind_of(b"[]"), Ok(FileKind::Json));
        assert_eq!(kind_of(b"IQ== 0\nIg== 1\n"), Ok(FileKind::Tiktoken));
        assert_eq!(kind_of(b"\nIQ== 0\r\n"), Ok(FileKind::Tiktoken));
        assert_eq!(kind_of(b"\x0a\x0e\x0a\x05<unk>\x15\0\0\0\0\x18\x02"), Ok(FileKind::SentencePiece));
    }

    #[test]
    fn other_files_are_named() {
        let message = |bytes: &[u8]| kind_of(bytes).unwrap_err().to_string();
        assert!(message(b"").contains("the file is empty"));
        assert!(message(b"\n").contains("the file is empty"));
        assert!(message(b"version https://git-lfs.github.com/spec/v1\n").contains("git lfs pull"));
        assert!(message(b"<!doctype html>").contains("it begins with \"<!doctype html>\""));
        assert!(message(b"\x80\x04\x95").contains("it begins with"));
    }
}
