//! Rendered pieces to ids and labels.
//!
//! In: [`Rendered`]. Out: [`Encoded`]. Between two control tokens the text is encoded as one run, since a merge may
//! straddle structure and content, unless a piece says that it starts a run of its own; which tokens of a run are
//! trained is then told by the bytes that each spells.

use tokenizers::pipeline::PipelineToken;

use super::vocabulary::Added;
use super::{ChatTokenizer, IGNORE_INDEX, TokenizerError};
use crate::template::{Piece, PieceKind, Rendered};

/// Ids and labels of one sample.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Encoded {
    /// The token ids.
    pub input_ids: Vec<u32>,
    /// For each position its id where it is trained, else [`IGNORE_INDEX`]. The model shifts.
    pub labels: Vec<i32>,
    /// How many tokens hold trained and untrained text at once; they are not trained.
    pub straddling_tokens: usize,
}

impl Encoded {
    /// How many positions are trained.
    pub fn trained_tokens(&self) -> usize {
        self.labels.iter().filter(|label| **label != IGNORE_INDEX).count()
    }

    fn push(&mut self, id: u32, trained: bool) {
        self.input_ids.push(id);
        self.labels.push(if trained { id.cast_signed() } else { IGNORE_INDEX });
    }

    fn extend(&mut self, tokens: &[PipelineToken], trained: bool) {
        let ids = PipelineToken::cast_slice(tokens);
        self.input_ids.extend_from_slice(ids);
        match trained {
            true => self.labels.extend(ids.iter().map(|id| id.cast_signed())),
            false => self.labels.resize(self.input_ids.len(), IGNORE_INDEX),
        }
    }
}

/// Where a token comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenOrigin {
    /// Index of the piece in which it begins.
    pub piece: usize,
    /// Index of the piece in which it ends.
    pub last_piece: usize,
    /// Index of the message that the piece belongs to.
    pub message: Option<usize>,
}

impl ChatTokenizer {
    /// The ids and labels of a rendered conversation.
    pub fn encode(&self, rendered: &Rendered) -> Result<Encoded, TokenizerError> {
        self.encode_with(rendered, None)
    }

    /// The same, and where each token comes from.
    pub fn encode_with_origins(
        &self,
        rendered: &Rendered,
    ) -> Result<(Encoded, Vec<TokenOrigin>), TokenizerError> {
        let mut origins = Vec::new();
        let encoded = self.encode_with(rendered, Some(&mut origins))?;
        Ok((encoded, origins))
    }

    fn encode_with(
        &self,
        rendered: &Rendered,
        origins: Option<&mut Vec<TokenOrigin>>,
    ) -> Result<Encoded, TokenizerError> {
        let guess = rendered.text().len() / 3 + 8;
        let mut encoder = Encoder {
            tokenizer: self,
            rendered,
            encoded: Encoded {
                input_ids: Vec::with_capacity(guess),
                labels: Vec::with_capacity(guess),
                straddling_tokens: 0,
            },
            origins,
            tokens: Vec::new(),
            run_start: 0,
            run_piece: 0,
        };
        for (index, piece) in rendered.pieces().iter().enumerate() {
            if piece.starts_run {
                encoder.flush(piece.start)?;
                encoder.run_start = piece.start;
                encoder.run_piece = index;
            }
            match piece.kind {
                PieceKind::Control => {
                    let name = rendered.piece_text(piece);
                    let added = self.vocabulary().added_by_name(name);
                    let added = added.ok_or_else(|| self.no_control_token(name))?;
                    encoder.control(index, piece.start, piece.end, added)?;
                }
                PieceKind::Structure => {
                    let mut from = piece.start;
                    while let Some((range, added)) =
                        self.vocabulary().find_added(&rendered.text()[..piece.end], from)
                    {
                        from = range.end;
                        encoder.control(index, range.start, range.end, added)?;
                    }
                }
                PieceKind::Content => {}
            }
        }
        encoder.flush(rendered.text().len())?;
        Ok(encoder.encoded)
    }

    fn no_control_token(&self, name: &str) -> TokenizerError {
        let names: Vec<_> = self.added_tokens().collect();
        let shown = names.iter().take(12).copied().collect::<Vec<_>>().join(" ");
        let known = match names.len() {
            0 => "none".to_owned(),
            1..=12 => shown,
            more => format!("{shown} and {} more", more - 12),
        };
        TokenizerError::NoControlToken { token: name.to_owned(), known }
    }
}

struct Encoder<'a, 'o> {
    tokenizer: &'a ChatTokenizer,
    rendered: &'a Rendered,
    encoded: Encoded,
    origins: Option<&'o mut Vec<TokenOrigin>>,
    tokens: Vec<PipelineToken>,
    /// Where the run that is not encoded yet starts, and the first piece it can be in.
    run_start: usize,
    run_piece: usize,
}

impl Encoder<'_, '_> {
    fn control(
        &mut self,
        piece: usize,
        start: usize,
        end: usize,
        added: &Added,
    ) -> Result<(), TokenizerError> {
        let text = self.rendered.text();
        let before = if added.lstrip { text[..start].trim_end().len() } else { start };
        self.flush(before)?;
        let at = self.rendered.pieces()[piece];
        self.encoded.push(added.id, at.trained);
        if let Some(origins) = &mut self.origins {
            origins.push(TokenOrigin { piece, last_piece: piece, message: at.message });
        }
        let after = if added.rstrip { text[end..].trim_start() } else { &text[end..] };
        self.run_start = text.len() - after.len();
        self.run_piece = piece;
        Ok(())
    }

    /// Encodes the run that ends here.
    fn flush(&mut self, end: usize) -> Result<(), TokenizerError> {
        let start = self.run_start;
        if start >= end {
            return Ok(());
        }
        let text = &self.rendered.text()[start..end];
        self.tokens.clear();
        self.tokenizer.encode_into(text, &mut self.tokens)?;

        let pieces = self.rendered.pieces();
        let mut first = self.run_piece;
        while pieces[first].end <= start {
            first += 1;
        }
        let last = first + pieces[first..].iter().take_while(|piece| piece.start < end).count();
        let run = &pieces[first..last];
        // Behind the last piece that differs from its successor, tokens need no look at what they spell.
        let decisive = match &self.origins {
            Some(_) => run.len() - 1,
            None => {
                run.windows(2).rposition(|pair| pair[0].trained != pair[1].trained).map_or(0, |at| at + 1)
            }
        };
        if decisive == 0 && self.origins.is_none() {
            self.encoded.extend(&self.tokens, run[0].trained);
            return Ok(());
        }
        let cuts = self.cuts(text, start, &run[..=decisive])?;
        self.label(first, &run[..=decisive], &cuts);
        Ok(())
    }

    /// Where each of these pieces but the last ends, in bytes of what the tokens spell.
    fn cuts(&self, text: &str, start: usize, run: &[Piece]) -> Result<Vec<usize>, TokenizerError> {
        let ends = || run[..run.len() - 1].iter().map(|piece| piece.end - start);
        let Some(last) = ends().next_back() else { return Ok(Vec::new()) };
        if self.spells(text, last) {
            return Ok(ends().collect());
        }
        let seen = self.tokenizer.normalize(text)?;
        if !self.spells(&seen, seen.len()) {
            let vocabulary = self.tokenizer.vocabulary();
            let spelled = self.tokens.iter().map(|token| vocabulary.bytes(token.id()).len()).sum();
            let text = text.chars().take(60).collect();
            return Err(TokenizerError::NotAligned { bytes: seen.len(), spelled, text });
        }
        let mut cuts = Vec::with_capacity(run.len());
        for (index, cut) in ends().enumerate() {
            let before = self.tokenizer.normalize(&text[..cut])?;
            let after = self.tokenizer.normalize(&text[cut..])?;
            // Characters on both sides of a cut may have become one, which then belongs to the untrained side.
            let low = common(before.bytes(), seen.bytes());
            let high = seen.len() - common(after.bytes().rev(), seen.bytes().rev());
            let ends_training = run[index].trained && !run[index + 1].trained;
            cuts.push(if ends_training { low.min(high) } else { low.max(high) });
        }
        Ok(cuts)
    }

    /// Whether the tokens spell this text, up to the token that reaches this place.
    fn spells(&self, text: &str, to: usize) -> bool {
        let mut at = 0;
        for token in &self.tokens {
            if at >= to {
                return true;
            }
            let bytes = self.tokenizer.vocabulary().bytes(token.id());
            if !text.as_bytes()[at..].starts_with(bytes) {
                return false;
            }
            at += bytes.len();
        }
        at >= to
    }

    fn label(&mut self, first: usize, run: &[Piece], cuts: &[usize]) {
        let last = run.len() - 1;
        let (mut piece, mut at) = (0, 0);
        for (index, token) in self.tokens.iter().enumerate() {
            while piece < last && cuts[piece] <= at {
                piece += 1;
            }
            if piece == last {
                let rest = &self.tokens[index..];
                self.encoded.extend(rest, run[last].trained);
                if let Some(origins) = &mut self.origins {
                    let (piece, message) = (first + last, run[last].message);
                    let origin = TokenOrigin { piece, last_piece: piece, message };
                    origins.extend(std::iter::repeat_n(origin, rest.len()));
                }
                return;
            }
            let end = at + self.tokenizer.vocabulary().bytes(token.id()).len();
            let begins = piece;
            let (mut all, mut any) = (run[piece].trained, run[piece].trained);
            while piece < last && cuts[piece] < end {
                piece += 1;
                all &= run[piece].trained;
                any |= run[piece].trained;
            }
            self.encoded.straddling_tokens += usize::from(any && !all);
            self.encoded.push(token.id(), all);
            if let Some(origins) = &mut self.origins {
                origins.push(TokenOrigin {
                    piece: first + begins,
                    last_piece: first + piece,
                    message: run[begins].message,
                });
            }
            at = end;
        }
    }
}

fn common(a: impl Iterator<Item = u8>, b: impl Iterator<Item = u8>) -> usize {
    a.zip(b).take_while(|(a, b)| a == b).count()
}
