//! The progress of jobs: bars on a terminal, lines elsewhere, objects for programs.

use std::io::{self, IsTerminal};

use indicatif::{
    HumanBytes, HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle,
};
use serde_json::json;
use virtwire::{BlockJob, Convergence, Progress};

use super::whole_percent;
use crate::escape::escape;
use crate::failure::Failure;
use crate::output::Output;

/// The progress of some jobs, one below the other.
pub(super) struct Display {
    jobs: Vec<Shown>,
    output: Output,
    verbose: bool,
    /// Draws the bars, which go away with it.
    _bars: Option<MultiProgress>,
}

struct Shown {
    label: String,
    disk: String,
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
    pub(super) fn new(jobs: &[BlockJob], label: &str, verbose: bool, output: Output) -> Self {
        let on_terminal = !output.is_json() && !output.is_quiet() && io::stderr().is_terminal();
        let bars =
            on_terminal.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        let shown = jobs.iter().map(|job| {
            let disk = job.disk().path();
            Shown {
                label: match jobs.len() {
                    1 => label.to_owned(),
                    _ => format!("{label} {}", escape(disk)),
                },
                disk: disk.to_owned(),
                form: form(bars.as_ref(), output),
            }
        });
        Self {
            jobs: shown.collect(),
            output,
            verbose,
            _bars: bars,
        }
    }

    /// Shows how far a job is, named by its place among all.
    pub(super) fn show(&mut self, place: usize, progress: &Progress) -> Result<(), Failure> {
        match self.jobs.get_mut(place) {
            Some(job) => job.show(progress, self.verbose, self.output),
            None => Ok(()),
        }
    }

    /// Leaves the last state of a job on the screen, full when its work is done.
    pub(super) fn finish(&mut self, place: usize, done: bool) {
        if let Some(job) = self.jobs.get_mut(place) {
            job.finish(done, self.output);
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
    fn show(&mut self, progress: &Progress, verbose: bool, output: Output) -> Result<(), Failure> {
        // Without figures, an empty bar is the truth.
        let (current, end) = match progress.fraction() {
            Some(_) => (progress.current.min(progress.end), progress.end),
            None => (0, 1),
        };
        let percent = whole_percent(current, end).min(99);
        let head = format!("{}: [{percent:>3} %]", self.label);
        let figures = if verbose {
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
                output.remark(&format!("{head}{figures}"));
            }
            Form::Lines(_) | Form::Nothing => {}
            Form::Objects => output.json_line(&json!({
                "event": "progress",
                "disk": self.disk,
                "current": progress.current,
                "end": progress.end,
                "percent": progress.fraction().map(|fraction| fraction * 100.0),
                "bandwidth": progress.bandwidth.bytes(),
                "rate": progress.rate,
                "eta": progress.eta.map(|eta| eta.as_secs_f64()),
                "convergence": progress.convergence.map(convergence_name),
                "ready": progress.ready,
            }))?,
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

fn figures(progress: &Progress) -> String {
    let (current, end) = (HumanBytes(progress.current), HumanBytes(progress.end));
    let mut text = format!("  {current} of {end}, limit {}", progress.bandwidth);
    if let Some(rate) = progress.rate {
        text.push_str(&format!(", {}/s", HumanBytes(rate)));
    }
    if let Some(eta) = progress.eta {
        text.push_str(&format!(", {} left", HumanDuration(eta)));
    }
    if progress.convergence == Some(Convergence::Diverging) {
        text.push_str(", the guest is faster");
    }
    text
}

fn convergence_name(convergence: Convergence) -> &'static str {
    match convergence {
        Convergence::Converging => "converging",
        Convergence::Stalled => "stalled",
        Convergence::Diverging => "diverging",
        _ => "unknown",
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(1);
    if let Ok(style) = ProgressStyle::with_template("{prefix} {wide_bar}{msg}") {
        bar.set_style(style);
    }
    bar
}
