//! The progress of a job: a bar on a terminal, lines elsewhere, objects for programs.

use std::io::{self, IsTerminal};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use virtwire::{BlockJob, Progress};

use super::{kind_text, whole_percent};
use crate::failure::Failure;
use crate::output::Output;

pub(super) struct Display {
    label: &'static str,
    disk: String,
    output: Output,
    verbose: bool,
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
    pub(super) fn new(job: &BlockJob, verbose: bool, output: Output) -> Self {
        let form = if output.is_json() {
            Form::Objects
        } else if output.is_quiet() {
            Form::Nothing
        } else if io::stderr().is_terminal() {
            Form::Bar(bar())
        } else {
            Form::Lines(None)
        };
        let disk = job.disk().path().to_owned();
        Self {
            label: kind_text(job.kind()),
            disk,
            output,
            verbose,
            form,
        }
    }

    pub(super) fn show(&mut self, progress: &Progress) -> Result<(), Failure> {
        // Without figures, an empty bar is the truth.
        let (current, end) = match progress.fraction() {
            Some(_) => (progress.current.min(progress.end), progress.end),
            None => (0, 1),
        };
        let percent = whole_percent(current, end).min(99);
        let head = format!("{}: [{percent:>3} %]", self.label);
        let figures = if self.verbose {
            figures(progress)
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
                self.output.remark(&format!("{head}{figures}"));
            }
            Form::Lines(_) | Form::Nothing => {}
            Form::Objects => self.output.json_line(&json!({
                "event": "progress",
                "disk": self.disk,
                "current": progress.current,
                "end": progress.end,
                "percent": progress.fraction().map(|fraction| fraction * 100.0),
                "bandwidth": progress.bandwidth.bytes(),
            }))?,
        }
        Ok(())
    }

    /// Leaves the last state on the screen, full when the job has completed.
    pub(super) fn finish(self, completed: bool) {
        let full = format!("{}: [100 %]", self.label);
        match self.form {
            Form::Bar(bar) if completed => {
                bar.set_prefix(full);
                bar.set_message("");
                bar.finish();
            }
            Form::Bar(bar) => bar.abandon(),
            Form::Lines(_) if completed => self.output.remark(&full),
            Form::Lines(_) | Form::Objects | Form::Nothing => {}
        }
    }
}

fn figures(progress: &Progress) -> String {
    let (current, end) = (HumanBytes(progress.current), HumanBytes(progress.end));
    format!("  {current} of {end}, limit {}", progress.bandwidth)
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{prefix} {wide_bar}{msg}") {
        bar.set_style(style);
    }
    bar
}
