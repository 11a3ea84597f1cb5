//! The keys of what is minimised: `objective` and the groups `dpo` and `orpo`.
//!
//! In: the group of all keys. Out: an [`Objective`], and what is wrong with it. It does not know formulas.

use super::document::Entry;
use super::group::{Group, Range};
use super::issue::Place;
use super::keys::POSITIVE;
use crate::{DpoLoss, DpoOptions, Objective, OrpoOptions};

const SMOOTHING: Range =
    Range { expected: "a number from 0 up to but not including 0.5", holds: |x| (0.0..0.5).contains(&x) };

pub(super) fn read(top: &mut Group<'_>) -> Objective {
    let kinds = [
        ("sft", Objective::Sft),
        ("dpo", Objective::Dpo(DpoOptions::default())),
        ("orpo", Objective::Orpo(OrpoOptions::default())),
    ];
    let mut objective = top.choice("objective", Objective::Sft, &kinds);
    for key in ["dpo", "orpo"] {
        let Some((place, entries)) = top.inner(key) else { continue };
        match &mut objective {
            Objective::Dpo(options) if key == "dpo" => *options = read_dpo(top, &place, entries),
            Objective::Orpo(options) if key == "orpo" => options.beta = read_orpo(top, entries),
            other => {
                let name = other.as_str();
                let message =
                    format_args!("it means nothing with objective: {name}; drop it, or set objective: {key}");
                top.refuse(key, &place, message);
            }
        }
    }
    objective
}

fn read_dpo(top: &mut Group<'_>, place: &Place, entries: Vec<(Entry, Entry)>) -> DpoOptions {
    let default = DpoOptions::default();
    let mut dpo = Group::new("dpo.", entries, top.issues());
    let read = DpoOptions {
        beta: dpo.number("beta", default.beta, &POSITIVE),
        label_smoothing: dpo.number("label_smoothing", default.label_smoothing, &SMOOTHING),
        loss_type: dpo.choice(
            "loss_type",
            default.loss_type,
            &[DpoLoss::Sigmoid, DpoLoss::Ipo].map(|loss| (loss.as_str(), loss)),
        ),
    };
    if read.loss_type == DpoLoss::Ipo && read.label_smoothing > 0.0 {
        dpo.refuse("label_smoothing", place, "it means nothing with loss_type: ipo; drop it");
    }
    dpo.finish(&[]);
    read
}

fn read_orpo(top: &mut Group<'_>, entries: Vec<(Entry, Entry)>) -> f64 {
    let mut orpo = Group::new("orpo.", entries, top.issues());
    let beta = orpo.number("beta", OrpoOptions::default().beta, &POSITIVE);
    orpo.finish(&[("lambda", "did you mean orpo.beta?")]);
    beta
}
