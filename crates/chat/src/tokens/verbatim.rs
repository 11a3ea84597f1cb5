//! Text to ids the way Hugging Face's tokenizer takes a whole string: the names of added tokens become control tokens.
//!
//! In: a text whose control tokens are wanted, such as what a reference encodes. Out: ids. Text of a conversation goes
//! through [`ChatTokenizer::encode`], which never does this; the compatibility modes, which repeat what references did, do.

use super::{ChatTokenizer, TokenizerError};

impl ChatTokenizer {
    /// The ids of a text in which the name of an added token *is* that token, whoever wrote it.
    pub fn encode_with_control(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let mut ids = Vec::with_capacity(text.len() / 3 + 1);
        let mut rest = text;
        while let Some((range, id)) = self.vocabulary().find_added(rest) {
            if range.start > 0 {
                ids.extend(self.encode_text(&rest[..range.start])?);
            }
            ids.push(id);
            rest = &rest[range.end..];
        }
        if !rest.is_empty() {
            ids.extend(self.encode_text(rest)?);
        }
        Ok(ids)
    }
}
