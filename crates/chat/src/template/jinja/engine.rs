//! Jinja as transformers runs it, on minijinja.
//!
//! In: the source of a chat template and a context. Out: the rendered text, in which characters of [`GENERATION`] stand
//! around what `{% generation %}` marks. `trim_blocks` and `lstrip_blocks` are on; `tojson` is Python's `json.dumps`;
//! `raise_exception`, `strftime_now`, loop controls and the methods of Python's strings, lists and dicts are there. A
//! template is somebody else's program: how long it runs is limited, and it sees nothing but its context.

use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind};

use super::dumps::{Dumps, dumps};
use super::time::LocalTime;
use crate::json::push_float;
use crate::template::RenderError;

/// What stands before and after a stretch that the template marks as generated: characters that no text should hold.
pub(super) const GENERATION: [char; 2] = ['\u{10fffe}', '\u{10ffff}'];

/// Steps a template may take; a conversation of 10,000 messages takes some millions.
const FUEL: u64 = 20_000_000;
/// The same for the conversations of a few messages that tell a template's habits, dozens of them.
const FUEL_AT_FIRST: u64 = 500_000;
const NAME: &str = "chat_template";

/// A compiled template.
pub(super) struct Engine {
    environment: Environment<'static>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// What `raise_exception` said.
#[derive(Debug)]
struct Refusal(String);

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

impl Engine {
    pub(super) fn compile(source: &str, now: Option<LocalTime>) -> Result<Self, RenderError> {
        let mut environment = Environment::new();
        let mut syntax = SyntaxConfig::builder();
        let syntax =
            syntax.trim_blocks(true).lstrip_blocks(true).build().map_err(|error| syntax_error(&error))?;
        environment.set_syntax(syntax);
        // Messages are the same however this program was built.
        environment.set_debug(false);
        environment.set_fuel(Some(FUEL_AT_FIRST));
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_formatter(|out, state, value| match value.kind() {
            ValueKind::Number if !value.is_integer() => Ok(out.write_str(&python_text(value))?),
            _ => minijinja::escape_formatter(out, state, value),
        });
        environment.add_filter("tojson", tojson);
        environment.add_filter("string", |value: &Value| python_text(value));
        environment.add_filter("generation_block", |body: &str| {
            let [open, close] = GENERATION;
            format!("{open}{body}{close}")
        });
        environment.add_function("raise_exception", |message: &Value| -> Result<Value, Error> {
            let message = message.to_string();
            Err(Error::new(ErrorKind::InvalidOperation, "").with_source(Refusal(message)))
        });
        let now = Arc::new(now);
        environment.add_function("strftime_now", move |format: &str| -> Result<String, Error> {
            let Some(now) = now.as_ref() else {
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    "the template asks for today's date, and none was given",
                ));
            };
            Ok(now.strftime(format))
        });
        environment
            .add_template_owned(NAME, generation_as_filter(source))
            .map_err(|error| syntax_error(&error))?;
        Ok(Self { environment })
    }

    /// Renders conversations of any length from now on.
    pub(super) fn allow_long_conversations(&mut self) {
        self.environment.set_fuel(Some(FUEL));
    }

    pub(super) fn render(&self, context: Value) -> Result<String, RenderError> {
        let template = self.environment.get_template(NAME).map_err(failed)?;
        template.render(context).map_err(failed)
    }
}

fn syntax_error(error: &Error) -> RenderError {
    RenderError::TemplateSyntax { line: line(error), reason: reason(error) }
}

fn failed(error: Error) -> RenderError {
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        if let Some(Refusal(reason)) = cause.downcast_ref() {
            return RenderError::TemplateRefuses { reason: reason.clone() };
        }
        source = cause.source();
    }
    RenderError::TemplateFailed { line: line(&error), reason: reason(&error) }
}

fn line(error: &Error) -> usize {
    error.line().unwrap_or(0)
}

fn reason(error: &Error) -> String {
    match error.detail() {
        Some(detail) => detail.to_owned(),
        None => error.kind().to_string(),
    }
}

/// A value as Python's `str` prints it.
fn python_text(value: &Value) -> String {
    match (value.kind(), value.is_integer()) {
        (ValueKind::Number, false) => {
            let mut text = String::new();
            match f64::try_from(value.clone()) {
                Ok(number) if number.is_finite() => push_float(&mut text, number),
                Ok(number) if number.is_nan() => text.push_str("nan"),
                Ok(number) => text.push_str(if number > 0.0 { "inf" } else { "-inf" }),
                Err(_) => text = value.to_string(),
            }
            text
        }
        _ => value.to_string(),
    }
}

fn tojson(value: &Value, kwargs: Kwargs) -> Result<String, Error> {
    let separators: Option<Value> = kwargs.get("separators")?;
    let separators = match separators.filter(|value| !value.is_none()) {
        None => None,
        Some(pair) => {
            let part = |index| pair.get_item_by_index(index).map(|part| part.to_string());
            Some((part(0)?, part(1)?))
        }
    };
    let indent: Option<Value> = kwargs.get("indent")?;
    let indent = indent.filter(|indent| !indent.is_none()).map(|indent| match indent.as_usize() {
        Some(width) => " ".repeat(width.min(64)),
        None => indent.to_string(),
    });
    let options = Dumps {
        ensure_ascii: kwargs.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        sort_keys: kwargs.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        indent,
        separators,
    };
    kwargs.assert_all_used()?;
    dumps(value, &options)
}

/// minijinja knows no tags but its own: a generation block becomes a filter block with a scope of its own.
fn generation_as_filter(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%").into_iter().chain(rest.find("{#")).min() {
        let (end_mark, is_comment) = if rest[at..].starts_with("{#") { ("#}", true) } else { ("%}", false) };
        let Some(length) = rest[at + 2..].find(end_mark) else { break };
        let end = at + 2 + length + end_mark.len();
        out.push_str(&rest[..at]);
        let tag = &rest[at..end];
        let name = tag[2..tag.len() - 2].trim_matches(['-', '+']).trim();
        match name {
            "generation" if !is_comment => {
                out.push_str(&tag.replace(name, "filter generation_block %}{% with"))
            }
            "endgeneration" if !is_comment => out.push_str(&tag.replace(name, "endwith %}{% endfilter")),
            _ => out.push_str(tag),
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// Whether the template marks what is generated.
pub(super) fn marks_generation(source: &str) -> bool {
    generation_as_filter(source).contains("filter generation_block")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str) -> Result<String, RenderError> {
        let value: crate::Json =
            crate::json::parse(r#"{"b": [1, 2.5, 1e22, null, true], "a": "é\"\n"}"#).unwrap();
        let context = Value::from_pairs([("x", super::super::dumps::value_of(&value))]);
        Engine::compile(source, LocalTime::from_unix_secs(0).into())?.render(context)
    }

    // Expected texts: what transformers 5.23.0's environment (jinja2 3.1.6) prints.
    #[test]
    fn it_prints_what_jinja2_prints() {
        for (source, expected) in [
            ("{{ x | tojson }}", r#"{"b": [1, 2.5, 1e+22, null, true], "a": "é\"\n"}"#),
            (
                "{{ x | tojson(ensure_ascii=True, sort_keys=True, separators=(',', ':')) }}",
                "{\"a\":\"\\u00e9\\\"\\n\",\"b\":[1,2.5,1e+22,null,true]}",
            ),
            ("{{ x.b | tojson(indent=2) }}", "[\n  1,\n  2.5,\n  1e+22,\n  null,\n  true\n]"),
            ("{{ x.b[2] }} {{ x.b[2] | string }} {{ x.b[3] }} {{ x.b[4] }}", "1e+22 1e+22 None True"),
            ("{{ x.b[0:2] }} {{ {'a': 'é\"\\n', 'b': none} }}", "[1, 2.5] {'a': 'é\"\\n', 'b': None}"),
            ("{% for k, v in x.items() %}\n    {{ k }}\n{% endfor %}", "    b\n    a\n"),
            ("{% for i in [1, 2, 3] %}{% if i == 2 %}{% continue %}{% endif %}{{ i }}{% endfor %}", "13"),
            (
                "{% set ns = namespace(n=0) %}{% for i in x.b %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
                "5",
            ),
            ("{{ 'a-b-c'.split('-')[-1] }} {{ ' x '.strip() }} {{ 'abc'[::-1] }}", "c x cba"),
            (
                "{% macro m(t, n=1) %}{{ t * n }}{% endmacro %}{{ m('ab', n=2) }} {{ 'a' ~ 1.0 ~ none }}",
                "abab a1.0None",
            ),
            ("{{ strftime_now('%d %b %Y, %H:%M %j') }}", "01 Jan 1970, 00:00 001"),
            ("a {%- generation -%} b {%- endgeneration %} c", "a\u{10fffe}b\u{10ffff} c"),
            ("{# {% generation %} #}{% raw %}{{ }}{% endraw %}", "{{ }}"),
        ] {
            assert_eq!(render(source).as_deref(), Ok(expected), "{source}");
        }
    }

    #[test]
    fn what_goes_wrong_is_said_with_its_line() {
        assert_eq!(
            render("\n{{ raise_exception('No ' ~ x.a[0]) }}"),
            Err(RenderError::TemplateRefuses { reason: "No é".to_owned() })
        );
        assert!(matches!(render("\n{% if %}"), Err(RenderError::TemplateSyntax { line: 2, .. })));
        for source in ["{%}", "{#}", "{%} %}"] {
            assert!(matches!(render(source), Err(RenderError::TemplateSyntax { line: 1, .. })), "{source}");
        }
        assert!(matches!(render("\n\n{{ x.y.z }}"), Err(RenderError::TemplateFailed { line: 3, .. })));
    }

    #[test]
    fn a_template_that_never_ends_is_stopped() {
        let loops = |count: usize| {
            format!(
                "{{% for a in range(99999) %}}{{% for b in range({count}) %}}{{% endfor %}}{{% endfor %}}"
            )
        };
        let mut engine = Engine::compile(&loops(10), None).unwrap();
        assert!(matches!(engine.render(Value::from(())), Err(RenderError::TemplateFailed { .. })));
        engine.allow_long_conversations();
        assert_eq!(engine.render(Value::from(())).as_deref(), Ok(""));
        let mut engine = Engine::compile(&loops(99_999), None).unwrap();
        engine.allow_long_conversations();
        assert!(matches!(engine.render(Value::from(())), Err(RenderError::TemplateFailed { .. })));
    }

    #[test]
    fn a_value_that_doubles_without_end_is_not_written() {
        let source = "{% set ns = namespace(x=[1]) %}{% for i in range(80) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}\
            {{ ns.x | tojson }}";
        assert!(matches!(render(source), Err(RenderError::TemplateFailed { .. })));
    }
}
