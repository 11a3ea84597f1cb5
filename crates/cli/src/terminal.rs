//! What the terminal can show: colours, progress bars, and how errors are printed.
//!
//! In: the user's wish, the environment, whether output goes to a terminal. Out: styles and bars that are silent where
//! they would only be noise in a file or pipe.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::args::ColorChoice;

/// The styles of everything that is printed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Styles {
    /// Whether any style is used; without colours, marks must carry the meaning.
    pub(crate) colours: bool,
    /// Tokens that are trained.
    pub(crate) trained: Style,
    /// Tokens that are only read.
    pub(crate) untrained: Style,
    /// Control tokens.
    pub(crate) control: Style,
    /// Titles.
    pub(crate) heading: Style,
    /// What succeeded.
    pub(crate) good: Style,
    /// What is wrong.
    pub(crate) bad: Style,
    /// What is worth a look.
    pub(crate) warning: Style,
    /// Remarks of less weight.
    pub(crate) dim: Style,
}

impl Styles {
    /// Styles for standard output.
    pub(crate) fn stdout(choice: ColorChoice) -> Self {
        Self::when(choice, io::stdout().is_terminal())
    }

    /// Styles for standard error.
    pub(crate) fn stderr(choice: ColorChoice) -> Self {
        Self::when(choice, io::stderr().is_terminal())
    }

    fn when(choice: ColorChoice, terminal: bool) -> Self {
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let wanted = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && !forbidden,
        };
        if wanted { Self::coloured() } else { Self::default() }
    }

    /// Every style.
    pub(crate) fn coloured() -> Self {
        Self {
            colours: true,
            trained: AnsiColor::Green.on_default(),
            untrained: Style::new().dimmed(),
            control: AnsiColor::Magenta.on_default().bold(),
            heading: Style::new().bold(),
            good: AnsiColor::Green.on_default().bold(),
            bad: AnsiColor::Red.on_default().bold(),
            warning: AnsiColor::Yellow.on_default().bold(),
            dim: Style::new().dimmed(),
        }
    }
}

/// `text` in `style`.
pub(crate) fn painted(style: Style, text: impl fmt::Display) -> impl fmt::Display {
    struct Painted<T>(Style, T);
    impl<T: fmt::Display> fmt::Display for Painted<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{}{}{}", self.0.render(), self.1, self.0.render_reset())
        }
    }
    Painted(style, text)
}

/// The text without characters that would steer the terminal.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// A bar over bytes: how much, how fast, how long still.
pub(crate) fn byte_bar(total: u64) -> ProgressBar {
    bar(total, "{msg} [{bar:30}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}, {eta} left")
}

/// A bar over countable things; `unit` stands in the plural.
pub(crate) fn count_bar(total: u64, unit: &str) -> ProgressBar {
    bar(total, &format!("{{msg}} [{{bar:30}}] {{pos}}/{{len}} {unit}, {{per_sec}}, {{eta}} left"))
}

/// A bar over training steps; the message carries loss and speed.
pub(crate) fn step_bar(total: u64) -> ProgressBar {
    bar(total, "step {pos}/{len} [{bar:24}] {msg}, {eta} left")
}

/// Progress over pairs whose answers are measured.
pub(crate) fn pair_bar(total: u64) -> ProgressBar {
    bar(total, "{msg}: pair {pos}/{len} [{bar:24}] {eta} left")
}

fn bar(total: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    bar.set_style(style.progress_chars("=> "));
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

/// Prints a line to standard error; when nobody can read it there, nothing else can be done.
pub(crate) fn say(line: impl fmt::Display) {
    let _nowhere_to_complain = writeln!(io::stderr(), "{line}");
}

/// Standard output, whose errors say what they are about.
pub(crate) struct StandardOutput<W>(pub(crate) W);

impl<W: Write> Write for StandardOutput<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(about_output)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(about_output)
    }
}

fn about_output(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("standard output cannot be written: {error}"))
}

/// Prints an error with its causes.
pub(crate) fn print_error(error: &anyhow::Error, styles: &Styles) {
    let mut text = format!("{} {error}\n", painted(styles.bad, "error:"));
    let mut said = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // Many errors already quote their cause.
        if !said.contains(&cause) {
            text.push_str(&format!("  because: {cause}\n"));
            said.push_str(&cause);
        }
    }
    let _nowhere_to_complain = io::stderr().write_all(text.as_bytes());
}

/// Whether the reader of our output went away (`toolsmith render … | head`): no failure of ours.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let own = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let in_json = cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
        own.or(in_json) == Some(io::ErrorKind::BrokenPipe)
    })
}
