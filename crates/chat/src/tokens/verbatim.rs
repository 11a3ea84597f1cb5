//! Text to ids the way Hugging Face's tokenizer takes a whole string: the names of added tokens become control tokens.
//!
//! In: a text whose control tokens are wanted, such as what a reference encodes. Out: ids. Text of a conversation goes
//! through [`ChatTokenizer::encode`], which never does this; the compatibility modes, which repeat what references did, do.

use super::{ChatTokenizer, TokenizerError};
use crate::template::Rendered;

impl ChatTokenizer {
    /// The ids of a text in which the name of an added token *is* that token, whoever wrote it.
    pub fn encode_with_control(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        self.encode(&Rendered::of_structure(text)).map(|encoded| encoded.input_ids)
    }
}
