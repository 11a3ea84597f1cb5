//! The run's `report.html`: one self-contained page with the loss curve, the scores and example conversations.
//!
//! In: plain values that the demo gathered. Out: HTML text. It reads no file, runs no model and fetches nothing.

use anyhow::{Context, Result};
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Value};
use plotters::prelude::*;
use serde::Serialize;

use crate::house;

/// Everything that the page shows.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// What was run, one line.
    pub(crate) title: String,
    /// Facts about the run, in the order shown.
    pub(crate) facts: Vec<Fact>,
    /// One row a measure.
    pub(crate) scores: Vec<ScoreRow>,
    /// (step, loss) as trained.
    #[serde(skip)]
    pub(crate) loss: Vec<(u64, f32)>,
    /// A training sample, token by token.
    pub(crate) samples: Vec<TokenSample>,
    /// Held-out questions with what was expected and what each model wrote.
    pub(crate) examples: Vec<Example>,
}

/// A named fact.
#[derive(Debug, Serialize)]
pub(crate) struct Fact {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// A measure before and after tuning.
#[derive(Debug, Serialize)]
pub(crate) struct ScoreRow {
    pub(crate) measure: String,
    pub(crate) base: String,
    pub(crate) tuned: String,
    /// 0 to 100 where the measure is a share, for the bars.
    pub(crate) base_percent: Option<f64>,
    pub(crate) tuned_percent: Option<f64>,
}

/// A sample as tokens.
#[derive(Debug, Serialize)]
pub(crate) struct TokenSample {
    pub(crate) title: String,
    pub(crate) tokens: Vec<Token>,
}

/// One token of a sample.
#[derive(Debug, Serialize)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) id: u32,
    pub(crate) label: i32,
    /// `trained`, `untrained` or `control`; several may apply, separated by spaces.
    pub(crate) class: &'static str,
}

/// One held-out turn.
#[derive(Debug, Serialize)]
pub(crate) struct Example {
    pub(crate) tools: Vec<String>,
    pub(crate) question: String,
    pub(crate) expected: String,
    pub(crate) base: String,
    pub(crate) base_right: bool,
    pub(crate) tuned: String,
    pub(crate) tuned_right: bool,
}

const PAGE: &str = include_str!("report.html.j2");

/// Writes the page.
pub(crate) fn render(report: &Report) -> Result<String> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_template("report.html", PAGE).context("the report's template")?;
    let curve = loss_curve(&report.loss)?;
    let page = environment.get_template("report.html").context("the report's template")?;
    let house = Value::from_safe_string(house::STYLE.to_owned());
    page.render(minijinja::context! { report => Value::from(Serde(report)), curve, house })
        .context("the report's template")
}

/// The loss over the steps as SVG: each step faint, a running mean in front.
fn loss_curve(points: &[(u64, f32)]) -> Result<String> {
    let highest = points.iter().map(|&(_, loss)| loss).fold(0.0_f32, f32::max);
    let Some(&(last_step, _)) = points.last() else { return Ok(String::new()) };
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (860, 300)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .x_label_area_size(36)
            .y_label_area_size(48)
            .build_cartesian_2d(0..last_step.max(1), 0.0_f32..highest * 1.05)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(RGBColor(225, 228, 232))
            .axis_style(RGBColor(120, 125, 135))
            .x_desc("optimizer step")
            .y_desc("loss per trained token")
            .label_style(("sans-serif", 13, &RGBColor(90, 95, 105)))
            .draw()?;
        chart
            .draw_series(LineSeries::new(points.iter().copied(), RGBColor(185, 205, 235).stroke_width(1)))?;
        chart.draw_series(LineSeries::new(running_mean(points), RGBColor(35, 95, 190).stroke_width(2)))?;
        area.present()?;
    }
    Ok(svg)
}

/// An exponential running mean, started without bias towards zero.
fn running_mean(points: &[(u64, f32)]) -> Vec<(u64, f32)> {
    const KEPT: f32 = 0.85;
    let (mut mean, mut weight) = (0.0, 0.0);
    points
        .iter()
        .map(|&(step, loss)| {
            mean = KEPT * mean + (1.0 - KEPT) * loss;
            weight = KEPT * weight + (1.0 - KEPT);
            (step, mean / weight)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            title: "demo".into(),
            facts: vec![Fact { name: "seed".into(), value: "7".into() }],
            scores: vec![ScoreRow {
                measure: "exactly right".into(),
                base: "10%".into(),
                tuned: "90%".into(),
                base_percent: Some(10.0),
                tuned_percent: Some(90.0),
            }],
            loss: vec![(1, 2.0), (2, 1.0), (3, 0.5)],
            samples: vec![TokenSample {
                title: "first".into(),
                tokens: vec![Token { text: "<x-tag>".into(), id: 3, label: -100, class: "untrained" }],
            }],
            examples: vec![],
        }
    }

    #[test]
    fn text_of_a_sample_cannot_become_markup() {
        let page = render(&report()).unwrap();
        assert!(page.contains("&lt;x-tag&gt;"));
        assert!(!page.contains("<x-tag>"));
    }

    #[test]
    fn the_page_fetches_nothing() {
        let page = render(&report()).unwrap();
        for forbidden in ["src=\"http", "href=\"http", "@import", "<link"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        assert!(page.contains("<svg"));
    }

    #[test]
    fn the_running_mean_starts_at_the_first_value() {
        assert_eq!(running_mean(&[(1, 4.0), (2, 4.0)]), vec![(1, 4.0), (2, 4.0)]);
    }
}
