//! The adapter that training goes on from, beside what the configuration says of it.
//!
//! In: a configuration, and the settings in the adapter's folder. Out: the method in that adapter's shape, or every key
//! that says something else. It opens no file.

use std::path::PathBuf;

use toolsmith_model::{AdapterConfig, LoraConfig, PrefixConfig, TargetModules, TrainMethod};

use super::TrainConfig;
use super::issue::{ConfigIssues, Issue, Place};

/// The adapter that training goes on from.
#[derive(Debug, Clone, PartialEq)]
pub struct StartingAdapter {
    /// Its folder.
    pub path: PathBuf,
    /// Keys of `lora` and `prefix_tuning` that the configuration sets all the same, and where.
    pub repeated: Vec<(String, Place)>,
}

impl TrainConfig {
    /// Gives the method the shape of the adapter that training goes on from, if it does; `found` is what its folder says,
    /// `layers` are the names of the model's linear layers.
    ///
    /// # Errors
    /// An adapter of another method, and every key that the configuration sets to another value than the adapter has.
    pub fn take_shape(
        &mut self,
        file: &str,
        found: AdapterConfig,
        layers: &[&str],
    ) -> Result<(), ConfigIssues> {
        let Some(StartingAdapter { path, repeated }) = &self.adapter else { return Ok(()) };
        let adapter = path.display();
        let place = |key: &str| repeated.iter().find(|(name, _)| name == key).map(|(_, place)| place);
        let mut kept = TrainMethod::of_adapter(found);
        if let (TrainMethod::Lora(kept), TrainMethod::Lora(said)) = (&mut kept, &self.method) {
            // Not a part of the shape: an adapter is the same one with and without dropout.
            kept.lora_dropout = said.lora_dropout;
        }
        let mut issues = Vec::new();
        let mut refuse = |place: &Place, message| issues.push(Issue { place: place.clone(), message });
        if let TrainMethod::Lora(LoraConfig { use_dora: true, lora_dropout, .. }) = &kept
            && *lora_dropout > 0.0
            && let Some(place) = place("lora.lora_dropout")
        {
            let message = format!(
                "lora.lora_dropout: found {lora_dropout}, but the adapter {adapter} has use_dora, which is trained without \
                 dropout here; drop the key"
            );
            refuse(place, message);
        }
        let (wanted, has) = (name(&self.method), name(&kept));
        if wanted == has {
            let settings = settings(&self.method, layers).into_iter().zip(settings(&kept, layers));
            for ((key, said), (_, has)) in settings.filter(|(said, has)| said != has) {
                let Some(place) = place(key) else { continue };
                let message = format!(
                    "{key}: found {said}, but the adapter {adapter} has {has} and keeps it; drop the key"
                );
                refuse(place, message);
            }
        } else {
            let message = format!(
                "method: found {wanted}, but the adapter {adapter} is one of {has}; set method: {has}"
            );
            refuse(&Place::Absent, message);
        }
        if !issues.is_empty() {
            issues.sort_by(|a, b| a.place.cmp(&b.place));
            return Err(ConfigIssues { file: file.to_owned(), issues });
        }
        self.method = kept;
        Ok(())
    }
}

fn name(method: &TrainMethod) -> &'static str {
    match method {
        TrainMethod::Full | TrainMethod::FullExcept(_) => "full",
        TrainMethod::Lora(_) => "lora",
        TrainMethod::Prefix(_) => "prefix_tuning",
    }
}

/// The settings that make an adapter what it is, by their keys, as a message shows them.
fn settings(method: &TrainMethod, layers: &[&str]) -> Vec<(&'static str, String)> {
    match method {
        TrainMethod::Full | TrainMethod::FullExcept(_) => Vec::new(),
        TrainMethod::Lora(LoraConfig {
            r,
            lora_alpha,
            lora_dropout: _,
            target_modules,
            use_rslora,
            use_dora,
            modules_to_save,
        }) => {
            let targets = match target_modules {
                TargetModules::Names(names) => names.clone(),
                TargetModules::AllLinear => layers.iter().map(|layer| last_part(layer)).collect(),
            };
            vec![
                ("lora.r", r.to_string()),
                ("lora.lora_alpha", lora_alpha.to_string()),
                ("lora.target_modules", set(targets)),
                ("lora.use_rslora", use_rslora.to_string()),
                ("lora.use_dora", use_dora.to_string()),
                ("lora.modules_to_save", set(modules_to_save.clone())),
            ]
        }
        TrainMethod::Prefix(PrefixConfig { num_virtual_tokens, encoder_hidden_size, positions }) => vec![
            ("prefix_tuning.num_virtual_tokens", num_virtual_tokens.to_string()),
            (
                "prefix_tuning.prefix_projection",
                encoder_hidden_size.map_or("false (keys and values alone)", |_| "true").to_owned(),
            ),
            ("prefix_tuning.positions", positions.as_str().to_owned()),
        ],
    }
}

fn last_part(layer: &str) -> String {
    layer.rsplit('.').next().unwrap_or(layer).to_owned()
}

/// Names whose order and number mean nothing.
fn set(mut names: Vec<String>) -> String {
    names.sort_unstable();
    names.dedup();
    format!("[{}]", names.join(", "))
}
