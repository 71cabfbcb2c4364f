//! How far work is: bars on a terminal, lines elsewhere, objects for programs.

use std::io::{self, IsTerminal};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use super::Output;
use crate::failure::Failure;

/// How far a piece of work is.
pub(crate) trait Step {
    /// What is done and what there is to do; `None` while there are no figures.
    fn part(&self) -> Option<(u64, u64)>;

    /// More about it, to stand behind the bar.
    fn figures(&self) -> String;

    /// Everything about it, for programs.
    fn document(&self) -> Value;
}

/// The progress of some pieces of work, one below the other.
pub(crate) struct Display {
    shown: Vec<Shown>,
    output: Output,
    verbose: bool,
    /// Draws the bars, which go away with it.
    _bars: Option<MultiProgress>,
}

struct Shown {
    label: String,
    form: Form,
}

enum Form {
    Bar(ProgressBar),
    /// Lines, with the last per cent shown.
    Lines(Option<u64>),
    Objects,
    Nothing,
}

impl Display {
    /// One for each label. Figures are shown where it is to be verbose.
    pub(crate) fn new(
        labels: impl IntoIterator<Item = String>,
        verbose: bool,
        output: Output,
    ) -> Self {
        let on_terminal = !output.is_json() && !output.is_quiet() && io::stderr().is_terminal();
        let bars =
            on_terminal.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        let shown = labels.into_iter().map(|label| Shown {
            label,
            form: form(bars.as_ref(), output),
        });
        Self {
            shown: shown.collect(),
            output,
            verbose,
            _bars: bars,
        }
    }

    /// Shows how far a piece of work is, named by its place among all.
    pub(crate) fn show(&mut self, place: usize, step: &impl Step) -> Result<(), Failure> {
        match self.shown.get_mut(place) {
            Some(shown) => shown.show(step, self.verbose, self.output),
            None => Ok(()),
        }
    }

    /// Leaves the last state on the screen, full when the work is done.
    pub(crate) fn finish(&mut self, place: usize, done: bool) {
        if let Some(shown) = self.shown.get_mut(place) {
            shown.finish(done, self.output);
        }
    }
}

fn form(bars: Option<&MultiProgress>, output: Output) -> Form {
    match bars {
        Some(bars) => Form::Bar(bars.add(bar())),
        None if output.is_json() => Form::Objects,
        None if output.is_quiet() => Form::Nothing,
        None => Form::Lines(None),
    }
}

impl Shown {
    fn show(&mut self, step: &impl Step, verbose: bool, output: Output) -> Result<(), Failure> {
        // Without figures, an empty bar is the truth.
        let (current, end) = step.part().unwrap_or((0, 1));
        let percent = whole_percent(current, end).min(99);
        let head = format!("{}: [{percent:>3} %]", self.label);
        let figures = if verbose {
            step.figures()
        } else {
            String::new()
        };
        match &mut self.form {
            Form::Bar(bar) => {
                bar.set_length(end);
                bar.set_position(current);
                bar.set_prefix(head);
                bar.set_message(figures);
            }
            Form::Lines(last) if *last != Some(percent) => {
                *last = Some(percent);
                output.remark(&format!("{head}{figures}"));
            }
            Form::Lines(_) | Form::Nothing => {}
            Form::Objects => output.json_line(&step.document())?,
        }
        Ok(())
    }

    fn finish(&mut self, done: bool, output: Output) {
        let full = format!("{}: [100 %]", self.label);
        match &self.form {
            Form::Bar(bar) if done => {
                bar.set_prefix(full);
                bar.set_message("");
                bar.finish();
            }
            Form::Bar(bar) => bar.abandon(),
            Form::Lines(_) if done => output.remark(&full),
            Form::Lines(_) | Form::Objects | Form::Nothing => {}
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(1);
    if let Ok(style) = ProgressStyle::with_template("{prefix} {wide_bar}{msg}") {
        bar.set_style(style);
    }
    bar
}

/// Per cent as virsh shows them: 100 only when nothing is left.
pub(crate) fn whole_percent(current: u64, end: u64) -> u64 {
    match end.saturating_sub(current) {
        0 => 100,
        _ => {
            let done = u128::from(current) * 100 / u128::from(end.max(1));
            u64::try_from(done).unwrap_or(99).min(99)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_is_whole_and_full_only_at_the_end() {
        assert_eq!(whole_percent(0, 0), 100);
        assert_eq!(whole_percent(0, 1), 0);
        assert_eq!(whole_percent(999, 1000), 99);
        assert_eq!(whole_percent(u64::MAX / 2, u64::MAX), 49);
        assert_eq!(whole_percent(7, 7), 100);
    }
}
