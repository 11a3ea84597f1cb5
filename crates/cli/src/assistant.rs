//! A model that answers: weights, tokenizer, chat template and stop tokens together.
//!
//! In: `--model` and `--adapter`. Out: answers to conversations, streamed or in batches. Does not print.

use anyhow::{Context, bail};
use toolsmith_chat::data::Conversation;
use toolsmith_chat::template::{
    AssistantTurn, ChatTemplate, ParseEvent, RenderOptions, Template, TemplateName,
};
use toolsmith_chat::tokens::ChatTokenizer;
use toolsmith_kernels::CpuDevice;
use toolsmith_model::{AdapterConfig, Decoder, Generated, GenerationOptions, StopReason, generate};

use crate::adapter_folder::{adapter_folder, base_of};
use crate::args::{ModelArgs, SamplingArgs};
use crate::hub::Need;
use crate::model_folder::{ModelFolder, TOKENIZER_FILES};

/// A model that answers.
pub(crate) struct Assistant {
    /// The weights, a given adapter merged into them (a prefix, or one beside packed weights, attached to them).
    pub(crate) decoder: Decoder<CpuDevice>,
    /// Its tokenizer.
    pub(crate) tokenizer: ChatTokenizer,
    /// Its chat format, where it is known.
    pub(crate) template: Option<ChatTemplate>,
    /// Ids that end an answer.
    pub(crate) stop_ids: Vec<u32>,
    /// Its small files, those of the adapter before the base's.
    pub(crate) files: ModelFolder,
}

/// One answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// What was generated, the stop token left out.
    pub(crate) text: String,
    /// What it says.
    pub(crate) turn: AssistantTurn,
    /// Whether it was cut off by the limit of new tokens.
    pub(crate) cut_off: bool,
    /// Tokens generated.
    pub(crate) tokens: usize,
}

impl Assistant {
    /// Loads model and adapter. The adapter's own tokenizer and template files, where it has them, go before the base's.
    pub(crate) fn load(args: &ModelArgs, template: Option<TemplateName>) -> anyhow::Result<Self> {
        let adapter = args.adapter.as_deref().map(adapter_folder).transpose()?;
        let base = match (&adapter, args.model.as_str()) {
            (Some(adapter), "") => base_of(adapter)?,
            (_, model) => model.to_owned(),
        };
        let folder = ModelFolder::open(&base, Need::Weights)?;
        let mut files = folder.clone();
        if let Some(adapter) = &adapter
            && TOKENIZER_FILES.iter().any(|name| adapter.join(name).exists())
        {
            files = folder.overlaid_with(adapter)?;
        }
        let tokenizer = files.tokenizer()?;
        let template = files.find_template(template, &tokenizer)?;
        let stop_ids = files.stop_ids(template.as_ref(), &tokenizer);
        let mut decoder = Decoder::load(&folder.weights, CpuDevice::new())?;
        if let Some(adapter) = &adapter {
            decoder.load_adapter(adapter)?;
            // Merging saves time at each token, but makes packed weights plain.
            if matches!(decoder.adapter(), Some(AdapterConfig::Lora(_))) && !decoder.is_packed() {
                decoder.merge_adapter()?;
            }
        }
        Ok(Self { decoder, tokenizer, template, stop_ids, files })
    }

    /// The chat template, which answering needs.
    pub(crate) fn template(&self) -> anyhow::Result<&ChatTemplate> {
        self.template.as_ref().with_context(|| {
            format!(
                "the model's files hold no chat template. Name the one it was trained with: --template {}",
                Template::ALL.map(Template::as_str).join(" or --template ")
            )
        })
    }

    /// The ids after which the next answer begins.
    pub(crate) fn prompt(&self, conversation: &Conversation) -> anyhow::Result<Vec<u32>> {
        let rendered = self.template()?.render(conversation, &RenderOptions::PROMPT)?;
        Ok(self.tokenizer.encode(&rendered)?.input_ids)
    }

    /// Continues prompts together; `on_token(prompt, id)` hears of each token.
    pub(crate) fn complete(
        &self,
        prompts: &[Vec<u32>],
        sampling: &SamplingArgs,
        on_token: &mut dyn FnMut(usize, u32),
    ) -> anyhow::Result<Vec<Generated>> {
        let most = self.decoder.config().max_position_embeddings;
        let limit = most.saturating_sub(self.decoder.first_position());
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
        if longest >= limit {
            bail!(
                "the prompt has {longest} tokens, and the model takes at most {limit} (max_position_embeddings). Shorten it"
            );
        }
        let options = GenerationOptions {
            max_new_tokens: sampling.max_new_tokens.min(limit - longest),
            stop_ids: self.stop_ids.clone(),
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            top_k: sampling.top_k,
            repetition_penalty: sampling.repetition_penalty,
            seed: sampling.seed,
            vocab_limit: Some(self.tokenizer.vocab_size()),
        };
        Ok(generate(&self.decoder, prompts, &options, on_token)?)
    }

    /// Answers conversations together; a call counts whatever tool it names, where the format marks calls.
    pub(crate) fn answer_all(
        &self,
        conversations: &[Conversation],
        sampling: &SamplingArgs,
    ) -> anyhow::Result<Vec<Answer>> {
        let template = self.template()?;
        let prompts = conversations
            .iter()
            .map(|conversation| self.prompt(conversation))
            .collect::<Result<Vec<_>, _>>()?;
        let generated = self.complete(&prompts, sampling, &mut |_, _| ())?;
        let answer = |(generated, conversation): (Generated, &Conversation)| {
            let ids = without_stop(&generated);
            let text = self.tokenizer.decode(ids);
            let turn = template.parse_to_score(&text, conversation.tools());
            let cut_off = generated.stop_reason == StopReason::Length;
            Answer { turn, cut_off, tokens: generated.ids.len(), text }
        };
        Ok(generated.into_iter().zip(conversations).map(answer).collect())
    }

    /// Answers one conversation, telling each part as soon as it is certain.
    pub(crate) fn answer_streamed(
        &self,
        conversation: &Conversation,
        sampling: &SamplingArgs,
        on_event: &mut dyn FnMut(&ParseEvent),
    ) -> anyhow::Result<Answer> {
        let mut parser = self.template()?.stream_parser(Some(conversation.tools()));
        let mut decoded = self.tokenizer.decode_stream();
        let mut turn = AssistantTurn::default();
        let mut text = String::new();
        let mut tell = |turn: &mut AssistantTurn, events: Vec<ParseEvent>| {
            events.iter().for_each(&mut *on_event);
            turn.extend(events);
        };
        let prompt = self.prompt(conversation)?;
        let mut tokens = 0;
        let generated = self.complete(&[prompt], sampling, &mut |_, id| {
            tokens += 1;
            if !self.stop_ids.contains(&id) {
                let part = decoded.push(id);
                tell(&mut turn, parser.push(&part));
                text.push_str(&part);
            }
        })?;
        let rest = decoded.finish();
        tell(&mut turn, parser.push(&rest));
        text.push_str(&rest);
        tell(&mut turn, parser.finish());
        let cut_off = generated.first().is_some_and(|generated| generated.stop_reason == StopReason::Length);
        Ok(Answer { text, turn, cut_off, tokens })
    }
}

/// The generated ids before the stop token.
pub(crate) fn without_stop(generated: &Generated) -> &[u32] {
    match (generated.stop_reason, generated.ids.split_last()) {
        (StopReason::StopId(_), Some((_, before))) => before,
        _ => &generated.ids,
    }
}
